//! The gateway of the examples, as a process of its own: what clients, upstreams, and a look at its page say of it.

mod browser;
mod client;
mod failures;
mod forwarding;
// Compiled in, so that what is tested is always what stands there.
#[path = "../../pooled-fetch/examples/gateway/main.rs"]
mod gateway;
mod metrics;
mod page;
mod process;
mod protocols;
mod stopping;

use std::env;
use std::process::ExitCode;

use crate::process::ARGUMENTS;

/// What [`process::Gateway`] starts, in a process of its own.
#[test]
#[ignore = "the other tests run it, as the gateway"]
fn the_gateway_itself() {
    let Ok(arguments) = env::var(ARGUMENTS) else { return };
    let ended = gateway::run(arguments.split('\n').map(str::to_owned));
    assert_eq!(ended, ExitCode::SUCCESS);
}
