//! One client, measured in a process of its own: `measured --client ours --at-once 64 --latency`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pooled_fetch_bench::main(false)
}
