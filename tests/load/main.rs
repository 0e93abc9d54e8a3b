//! The `load` of the examples, as a process of its own: what it tells against what its server has seen.

mod arguments;
mod figures;
// Compiled in, so that what is tested is always what stands there.
#[path = "../../pooled-fetch/examples/load/main.rs"]
mod load;
mod pace;
mod process;

use std::env;
use std::process::ExitCode;

use crate::process::ARGUMENTS;

/// What [`process::Load`] starts, in a process of its own.
#[test]
#[ignore = "the other tests run it, as the load"]
fn the_load_itself() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let ended = load::run(arguments.split('\n').map(str::to_owned));
    // At once, or the harness of tests would add words of its own.
    std::process::exit(i32::from(ended != ExitCode::SUCCESS));
}
