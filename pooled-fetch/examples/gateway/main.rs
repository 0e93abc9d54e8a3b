//! A reverse proxy that somebody can run, with a live page of what its pool does.
//!
//! ```text
//! cargo run --release --example gateway --features tls -- \
//!     --listen 127.0.0.1:8080 --to 127.0.0.1:9001,127.0.0.1:9002 --admin 127.0.0.1:9090
//! ```
//!
//! `--help` tells the rest. It never answers `502` for a request that its client may send again, and never passes
//! half a message on as a whole one.
//!
//! | file | what it is |
//! | --- | --- |
//! | `options` | what can be set |
//! | `upstreams` | the addresses, and the pool that reaches them |
//! | `balance` | which upstream is next |
//! | `forward` | a request on its way, and the answer on its way back |
//! | `fields` | what is of one connection, and what a proxy adds |
//! | `verdict` | what the client of a failed request is told |
//! | `tunnel` | bytes both ways, after `101` |
//! | `watched` | a body that is counted to its end |
//! | `tally` | what is counted for each upstream beside the pool |
//! | `samples` | the last minute, second by second |
//! | `metrics` | the same for Prometheus |
//! | `admin` | the page, its figures, metrics and health |
//! | `workers` | threads that serve |
//! | `serve` | listening, and stopping without cutting anything |
//! | `tls` | certificates, those shown and those believed |

mod admin;
mod balance;
mod fields;
mod forward;
mod metrics;
mod options;
mod samples;
mod serve;
mod tally;
mod tls;
mod tunnel;
mod upstreams;
mod verdict;
mod watched;
mod workers;

use std::error::Error as StdError;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::LevelFilter;

use self::options::Options;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

#[cfg_attr(test, expect(dead_code, reason = "tests call `run` themselves"))]
fn main() -> ExitCode {
    run(std::env::args())
}

/// The whole program.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = Options::parse_from(arguments);
    let level = if options.access_log { LevelFilter::INFO } else { LevelFilter::WARN };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .init();
    let served = workers::runtime().map_err(BoxError::from).and_then(|runtime| {
        runtime.block_on(async { serve::serve(options, serve::until_told_to_stop()?).await })
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}
