//! The same as `measured`, with every allocation counted, which takes far more time than what is measured.

use std::process::ExitCode;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

fn main() -> ExitCode {
    let _counting = dhat::Profiler::builder().testing().build();
    pooled_fetch_bench::main(true)
}
