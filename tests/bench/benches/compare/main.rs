//! All clients side by side: what a request costs, what a connection holds, and what the checkout alone takes; and what
//! servers that give connections up cost.
//!
//! `cargo xtask bench [--race] [--quick]`
//!
//! Everything that takes time runs in turns, one client after the other and round after round, so that what else
//! the machine does hits all of them alike; the figures are medians, and the ratios are of one run. What is counted
//! and not timed is counted once.

mod chart;
mod checkout;
mod cliff;
mod counts;
mod loads;
mod parallel;
mod plan;
mod progress;
mod race;
mod table;
mod turns;

use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lexopt::{Arg, Parser};
use pooled_fetch_bench::{Programs, Server};
use serde::Serialize;

use plan::Plan;
use progress::Progress;
use table::Table;

type Error = Box<dyn StdError + Send + Sync>;

const PROGRAMS: Programs<'static> =
    Programs { measured: env!("CARGO_BIN_EXE_measured"), counted: env!("CARGO_BIN_EXE_counted") };

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<(), Error> {
    if race::serve_if_asked()? {
        return Ok(());
    }
    let (mut arguments, mut quick, mut race) = (Parser::from_env(), false, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("quick") => quick = true,
            Arg::Long("race") => race = true,
            // Cargo says so to every bench.
            Arg::Long("bench") => {}
            other => return Err(other.unexpected().into()),
        }
    }
    if race { race::run(quick) } else { run(quick) }
}

/// What `bench.json` holds.
#[derive(Serialize)]
struct Report {
    quick: bool,
    processors: usize,
    tables: Vec<Table>,
}

fn run(quick: bool) -> Result<(), Error> {
    let plan = Plan::new(quick);
    let server = Server::start(Path::new(PROGRAMS.measured))?;
    let progress = Progress::new(plan.steps());
    let mut tables = turns::tables(&plan, &server, &progress)?;
    tables.extend(counts::tables(&plan, &server, &progress)?);
    tables.extend(loads::tables(&plan, &server, &progress)?);
    tables.extend(cliff::table(&plan, &server, &progress)?);
    tables.push(checkout::table(&plan, &progress)?);
    progress.finish();
    let processors = std::thread::available_parallelism()?.get();
    let text = text(&tables, processors);
    print!("{text}");
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    let [markdown, json, chart] =
        ["bench.md", "bench.json", "bench.svg"].map(|name| folder.join(name));
    chart::draw(&chart, &tables)?;
    fs::write(&markdown, text)?;
    fs::write(&json, serde_json::to_string_pretty(&Report { quick, processors, tables })?)?;
    for path in [markdown, json, chart] {
        println!("{}", path.display());
    }
    Ok(())
}

/// The profile's folder is where this program lies; the folder for benches stands beside it.
fn folder() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).ok_or("the program is not in a target folder")?;
    Ok(target.join("bench"))
}

fn text(tables: &[Table], processors: usize) -> String {
    let mut text = format!(
        "# Side by side\n\nOver the loopback, the server in a process of its own, on {processors} processors. \
         Times are medians of runs in turns; `×` is in relation to bare hyper, one connection for each of \
         those at once and no pool. Less is better, but for requests in a second.\n"
    );
    for table in tables {
        text += &format!("\n{table}");
    }
    text
}
