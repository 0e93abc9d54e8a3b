//! Drives a server through the pool, and tells how fast it answered and what its connections went through.
//!
//! ```text
//! cargo run --release --example load --features tls -- http://127.0.0.1:8080/ -c 64 -d 10s
//! ```
//!
//! `--help` tells the rest, and what is measured.
//!
//! | file | what it is |
//! | --- | --- |
//! | `options` | what can be set |
//! | `target` | where requests go, and what they say |
//! | `tls` | which certificates are believed |
//! | `schedule` | when each request is due |
//! | `drive` | the workers, from the first request to the last |
//! | `tally` | what a worker has seen |
//! | `progress` | a line on the terminal meanwhile |
//! | `report` | the figures, and as JSON |
//! | `text` | the same for people |

mod drive;
mod options;
mod progress;
mod report;
mod schedule;
mod tally;
mod target;
mod text;
mod tls;

use std::error::Error as StdError;
use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;

use self::options::Options;
use self::report::Report;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

#[cfg_attr(test, expect(dead_code, reason = "tests call `run` themselves"))]
fn main() -> ExitCode {
    run(std::env::args())
}

/// The whole program.
pub(crate) fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let options = Options::parse_from(arguments);
    match measured(&options).and_then(|report| tell(&report, options.json).map(|()| report)) {
        Ok(report) if report.requests.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measured(options: &Options) -> Result<Report, BoxError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads.get());
    }
    runtime.enable_all().build()?.block_on(drive::drive(options))
}

fn tell(report: &Report, json: bool) -> Result<(), BoxError> {
    let text = if json { serde_json::to_string(report)? + "\n" } else { text::of(report) };
    Ok(stdout().write_all(text.as_bytes())?)
}
