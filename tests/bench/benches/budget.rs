//! Holds what a request and a connection at rest cost to the budget in `tests/budget.toml`.
//!
//! `cargo bench --package pooled-fetch-bench --bench budget`
//!
//! Instructions are held twice: as this bench is built, with one codegen unit, and as Cargo builds a release by default,
//! with sixteen of each crate, between which less is inlined. What it costs users is the second; the first depends less
//! on how the compiler cuts a crate up, and shows a change that is smaller.
//!
//! Only figures that come out alike on every run: a gate that is red on a busy machine teaches people to
//! ignore it. Times are in the side-by-side run, which gates nothing.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use pooled_fetch_bench::{Kind, Payload, Programs, Protocol, Server, Task, Way, require};
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
    if let Some(name) = budget.keys().find(|name| !figures.contains_key(*name)) {
        return Err(format!("{BUDGET}: no figure is called `{name}`").into());
    }
    println!("{:<40}{:>10}{:>10}{:>10}{:>10}", "", "measured", "most", "margin", "goal");
    let mut within = true;
    for (name, figure) in figures {
        let Some(Line { most, margin, goal }) = budget.get(&name) else {
            return Err(format!("{BUDGET}: no `{name}`; it is {figure:.3}").into());
        };
        let verdict = match figure - most {
            more if more > *margin => "EXCEEDED",
            more if more < -margin => "lower the budget",
            _ => "",
        };
        within &= verdict != "EXCEEDED";
        println!("{name:<40}{figure:>10.3}{most:>10}{margin:>10}{goal:>10}  {verdict}");
    }
    Ok(within)
}

/// A way of asking, as the budget names it: how many ask at once, and how.
const WAYS: [(&str, usize, Way); 4] = [
    ("one-at-a-time", 1, Way::Steady),
    ("64-at-once", 64, Way::Steady),
    ("in-bursts-of-64", 64, Way::Bursts),
    ("opening", 16, Way::Opening),
];

const MIB: usize = 1024 * 1024;

/// A way of asking over HTTP/2, all over one connection: how many ask at once, what each carries, and how many are
/// counted. Not one with large responses: how many reads these take depends on the moment.
const WAYS_OVER_HTTP2: [(&str, usize, Payload, usize); 3] = [
    ("one-at-a-time", 1, Payload::Small, REQUESTS),
    ("64-at-once", 64, Payload::Small, 4 * REQUESTS),
    ("1-mib-up", 1, Payload::Up(MIB), 40),
];

fn measure() -> Result<BTreeMap<String, f64>, Box<dyn Error + Send + Sync>> {
    let as_used = build_as_used()?;
    let server = Server::start(Path::new(PROGRAMS.measured))?;
    let task = |client| Task { server: Some(server.address), ..Task::new(client, REQUESTS) };
    let mut figures = BTreeMap::new();
    let as_used = as_used.to_str().ok_or("the path of the target folder is no text")?;
    for (profile, measured) in [("one-unit", PROGRAMS.measured), ("as-used", as_used)] {
        let programs = Programs { measured, ..PROGRAMS };
        for (name, at_once, way) in WAYS {
            let of = |client| programs.instructions(&Task { at_once, way, ..task(client) });
            let figure = of(Kind::OursUnprobed)? / of(Kind::BareHyper)?;
            figures.insert(format!("{profile}-instructions-{name}"), figure);
        }
    }
    for (name, at_once, payload, requests) in WAYS_OVER_HTTP2 {
        let protocol = Protocol::Http2;
        let of = |client| {
            PROGRAMS.instructions(&Task { at_once, protocol, payload, requests, ..task(client) })
        };
        let figure = of(Kind::OursUnprobed)? / of(Kind::BareHyper)?;
        figures.insert(format!("one-unit-http2-{name}"), figure);
    }
    let counts = PROGRAMS.counts(&task(Kind::OursUnprobed))?;
    let allocations = counts.allocations.ok_or("allocations were not counted")?;
    figures.insert("allocations".to_owned(), allocations as f64 / counts.requests as f64);
    let resting = Task { at_once: CONNECTIONS, way: Way::Rest, ..task(Kind::Ours) };
    let rest = PROGRAMS.counts(&resting)?;
    figures
        .insert("heap-idle".to_owned(), rest.idle_bytes.ok_or("the heap was not counted")? as f64);
    figures.insert("heap-parked".to_owned(), rest.parked_bytes.ok_or("nothing was parked")? as f64);
    Ok(figures)
}

/// The measured program as Cargo builds a release by default.
fn build_as_used() -> Result<PathBuf, Box<dyn Error + Send + Sync>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", env!("CARGO_PKG_NAME"), "--bin", "measured"]);
    if !cargo.args(["--profile", "as-used"]).status()?.success() {
        return Err("the measured program was not built".into());
    }
    let built = Path::new(PROGRAMS.measured);
    let target = built.ancestors().nth(2).ok_or("the program is not in a target folder")?;
    Ok(target.join("as-used").join(built.file_name().ok_or("the program has no name")?))
}
