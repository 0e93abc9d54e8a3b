//! Real servers on the loopback, each over every protocol that it speaks, and what each of them can show: one table.
//!
//! A cell is `passed`, or `n/a` with the reason why that server cannot show it. A server that is not installed has a
//! row that says so. What must hold: no cell fails.

mod catalogue;
mod checks;
mod client;
mod grpc;
mod owner;
mod proxies;
mod real_server;
mod resolver;

use std::fmt::Write as _;
use std::time::Duration;

use pooled_fetch_tests::Pattern;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::catalogue::Backing;
use crate::checks::{CHECKS, Check};
use crate::client::Speaks;
use crate::real_server::RealServer;

/// What became of one check.
enum Cell {
    Passed,
    NotApplicable(&'static str),
    Failed(String),
}

/// A server over one protocol; of one that is not installed there are no cells.
struct Row {
    title: String,
    cells: Vec<Cell>,
}

/// The length of the large file and of the upload.
const LARGE: usize = 16 * 1024 * 1024;

/// A check that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_servers_are_spoken_to_over_every_protocol_that_they_know() {
    let backing = Backing::new(Pattern::bytes(LARGE));
    let mut running: JoinSet<(usize, Vec<Row>)> = JoinSet::new();
    for (place, server) in catalogue::ALL.iter().enumerate() {
        let backing = backing.clone();
        running.spawn(async move {
            let row = |cells| vec![Row { title: server.program.to_owned(), cells }];
            let rows = match server.start(backing).await {
                Ok(Some(started)) => ask(started).await,
                Ok(None) => row(Vec::new()),
                Err(why) => row(vec![Cell::Failed(why)]),
            };
            (place, rows)
        });
    }
    let mut done = running.join_all().await;
    done.sort_by_key(|(place, _)| *place);
    let rows: Vec<Row> = done.into_iter().flat_map(|(_, rows)| rows).collect();
    let (table, failures) = table(&rows);
    println!("{table}");
    assert!(failures.is_empty(), "{failures}");
}

/// Runs every check over every protocol of a server.
async fn ask(mut server: RealServer) -> Vec<Row> {
    let mut rows = Vec::new();
    for place in 0..server.sites.len() {
        let site = server.sites[place];
        let mut cells = Vec::new();
        for check in &CHECKS {
            cells.push(match (check.applies)(&site) {
                Err(why) => Cell::NotApplicable(why),
                Ok(()) => run(check, &mut server, place).await,
            });
        }
        rows.push(Row { title: format!("{}, {}", server.name, site.speaks), cells });
    }
    rows
}

async fn run(check: &Check, server: &mut RealServer, place: usize) -> Cell {
    let site = server.sites[place];
    let checked = async {
        match site.speaks {
            Speaks::H2c => check.run(client::in_the_clear(&site), server, &site).await,
            Speaks::Unix => {
                let client = client::over_a_unix_socket(server.unix_socket(), site.speaks);
                check.run(client, server, &site).await
            }
            _ => check.run(client::over_tls(&site, server.authority()), server, &site).await,
        }
    };
    match timeout(PATIENCE, checked).await {
        Ok(Ok(())) => Cell::Passed,
        Ok(Err(why)) => Cell::Failed(why),
        Err(_) => Cell::Failed(format!("not done within {PATIENCE:?}")),
    }
}

/// The table as text, with its notes, and what has failed.
fn table(rows: &[Row]) -> (String, String) {
    let width = rows.iter().map(|row| row.title.len()).max().unwrap_or(0);
    let mut text = format!("\n| {:width$} |", "server");
    let mut line = format!("\n| {} |", "-".repeat(width));
    for check in &CHECKS {
        write!(text, " {:12} |", check.name).expect("memory");
        line += &format!(" {} |", "-".repeat(12));
    }
    text += &line;
    let (mut notes, mut failures) = (Vec::new(), String::new());
    for Row { title, cells } in rows {
        write!(text, "\n| {title:width$} |").expect("memory");
        if cells.is_empty() {
            text += " skipped: it is not installed";
        }
        for (cell, check) in cells.iter().zip(&CHECKS) {
            let word = match cell {
                Cell::Passed => "passed".to_owned(),
                Cell::NotApplicable(why) => format!("n/a {}", note(&mut notes, why)),
                Cell::Failed(why) => {
                    failures += &format!("\n{title}, {}: {why}", check.name);
                    "FAILED".to_owned()
                }
            };
            write!(text, " {word:12} |").expect("memory");
        }
    }
    text.push('\n');
    for (number, why) in notes.iter().enumerate() {
        write!(text, "\n{}: {why}", number + 1).expect("memory");
    }
    (text + &failures + "\n", failures)
}

/// The number of a note, which is written down once.
fn note(notes: &mut Vec<&'static str>, why: &'static str) -> usize {
    let known = notes.iter().position(|note| *note == why);
    known.unwrap_or_else(|| {
        notes.push(why);
        notes.len() - 1
    }) + 1
}
