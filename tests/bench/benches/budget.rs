//! Holds what a request and a connection at rest cost to the budget in `tests/budget.toml`.
//!
//! `cargo bench --package pooled-fetch-bench --bench budget`
//!
//! Only figures that come out alike on every run: a gate that is red on a busy machine teaches people to
//! ignore it. Times are in the side-by-side run, which gates nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use pooled_fetch_bench::{Kind, Programs, Server, Task, Way, require};
use serde::Deserialize;

const PROGRAMS: Programs<'static> =
    Programs { measured: env!("CARGO_BIN_EXE_measured"), counted: env!("CARGO_BIN_EXE_counted") };

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../budget.toml");

/// Read off this many and three times as many.
const REQUESTS: usize = 1_000;

const CONNECTIONS: usize = 500;

/// A figure's line in the budget.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    most: f64,
    margin: f64,
    goal: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool, Box<dyn Error + Send + Sync>> {
    require("valgrind")?;
    let budget: BTreeMap<String, Line> = toml::from_str(&std::fs::read_to_string(BUDGET)?)?;
    let figures = measure()?;
    if let Some(name) = budget.keys().find(|name| !figures.contains_key(name.as_str())) {
        return Err(format!("{BUDGET}: no figure is called `{name}`").into());
    }
    println!("{:<30}{:>10}{:>10}{:>10}{:>10}", "", "measured", "most", "margin", "goal");
    let mut within = true;
    for (name, figure) in figures {
        let Some(Line { most, margin, goal }) = budget.get(name) else {
            return Err(format!("{BUDGET}: no `{name}`; it is {figure:.3}").into());
        };
        let verdict = match figure - most {
            more if more > *margin => "EXCEEDED",
            more if more < -margin => "lower the budget",
            _ => "",
        };
        within &= verdict != "EXCEEDED";
        println!("{name:<30}{figure:>10.3}{most:>10}{margin:>10}{goal:>10}  {verdict}");
    }
    Ok(within)
}

fn measure() -> Result<BTreeMap<&'static str, f64>, Box<dyn Error + Send + Sync>> {
    let server = Server::start(Path::new(PROGRAMS.measured))?;
    let task = |client| Task { server: Some(server.address), ..Task::new(client, REQUESTS) };
    let mut figures = BTreeMap::new();
    for (name, at_once, way) in [
        ("instructions-one-at-a-time", 1, Way::Steady),
        ("instructions-64-at-once", 64, Way::Steady),
        ("instructions-in-bursts-of-64", 64, Way::Bursts),
    ] {
        let of = |client| PROGRAMS.instructions(&Task { at_once, way, ..task(client) });
        figures.insert(name, of(Kind::OursUnprobed)? / of(Kind::BareHyper)?);
    }
    let counts = PROGRAMS.counts(&task(Kind::OursUnprobed))?;
    let allocations = counts.allocations.ok_or("allocations were not counted")?;
    figures.insert("allocations", allocations as f64 / counts.requests as f64);
    let resting = Task { at_once: CONNECTIONS, way: Way::Rest, ..task(Kind::Ours) };
    let rest = PROGRAMS.counts(&resting)?;
    figures.insert("heap-idle", rest.idle_bytes.ok_or("the heap was not counted")? as f64);
    figures.insert("heap-parked", rest.parked_bytes.ok_or("nothing was parked")? as f64);
    Ok(figures)
}
