//! What servers that give connections up cost the requests of each client.
//!
//! `cargo xtask bench --race [--quick]`
//!
//! | file | what it is |
//! | --- | --- |
//! | `clients` | the clients, and how each is set up |
//! | `server` | a server that closes, or answers unasked, 100 µs after its answer; a process of its own |
//! | `rounds` | a client that is busy meanwhile, and what became of its requests |
//! | `reload` | a real nginx that reloads under load |
//!
//! What is told are counts, which differ from run to run.

mod clients;
mod reload;
mod rounds;
mod server;

use std::fs;
use std::iter::zip;

use serde::Serialize;

use self::clients::Client;
use self::reload::Reloads;
use self::rounds::Counts;
use self::server::Scene;
pub(crate) use self::server::serve_if_asked;
use crate::progress::Progress;
use crate::table::Table;
use crate::{Error, folder};

/// How much of everything.
struct Plan {
    /// So many races in each scene.
    races: u32,
    /// For so many seconds nginx is under load.
    seconds: u32,
}

#[derive(Serialize)]
struct Report<'t> {
    quick: bool,
    tables: &'t [Table],
}

pub(crate) fn run(quick: bool) -> Result<(), Error> {
    let plan = match quick {
        true => Plan { races: 100, seconds: 3 },
        false => Plan { races: 3_000, seconds: 20 },
    };
    let steps = Client::ALL.len() * Scene::RACES.len() + Client::FOR_CROWDS.len();
    let progress = Progress::new(steps);
    let tables = [races(&plan, &progress)?, reloads(&plan, &progress)?];
    progress.finish();
    let text = tables.iter().map(|table| format!("{table}\n")).collect::<String>();
    print!("{text}");
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    let [markdown, json] = ["race.md", "race.json"].map(|name| folder.join(name));
    fs::write(&markdown, text)?;
    fs::write(&json, serde_json::to_string_pretty(&Report { quick, tables: &tables })?)?;
    for path in [markdown, json] {
        println!("{}", path.display());
    }
    Ok(())
}

fn races(plan: &Plan, progress: &Progress) -> Result<Table, Error> {
    let mut counts = vec![Vec::new(); Scene::RACES.len()];
    for client in Client::ALL {
        progress.phase(format!("the race: {client}"));
        rounds::check(*client)?;
        for (scene, counts) in zip(Scene::RACES, &mut counts) {
            counts.push(rounds::run(*client, scene, plan.races)?);
            progress.step();
        }
    }
    let column = |of: fn(&Counts) -> u32, counts: &[Counts]| {
        counts.iter().map(|counts| Some(f64::from(of(counts)))).collect::<Vec<_>>()
    };
    let [gets, posts, strays] = &counts[..] else { return Err("three scenes".into()) };
    let table = Table::new("The race", Client::ALL)
        .column("closed: GETs", 0, column(|counts| counts.races, gets))
        .column("failed", 0, column(|counts| counts.failed, gets))
        .column("closed: POSTs", 0, column(|counts| counts.races, posts))
        .column("failed", 0, column(|counts| counts.failed, posts))
        .column("unasked: GETs", 0, column(|counts| counts.races, strays))
        .column("wrong", 0, column(|counts| counts.wrong, strays))
        .column("failed", 0, column(|counts| counts.failed, strays))
        .note(
            "The server closes its connection, or sends an answer that nobody has asked for, 100 µs after an answer, while \
             the thread of the client is busy for 600 µs; then the client sends the next request. The server says beside \
             the connection when it is done, and only requests before which it had said so count: the kernel of the client \
             knew it then, so none of them had to fail, and none to get an answer of another. A GET that is lost may be \
             sent again. A POST that was written may not, since the server may have executed it: what saves it is not to be \
             written to such a connection. pingora's proxy sends it again all the same. All are set up as their \
             documentation recommends, each on one thread.",
        );
    Ok(table)
}

fn reloads(plan: &Plan, progress: &Progress) -> Result<Table, Error> {
    let mut all = Vec::new();
    for client in Client::FOR_CROWDS {
        progress.phase(format!("nginx reloads: {client}"));
        all.push(reload::run(*client, plan.seconds)?);
        progress.step();
    }
    let column = |of: fn(&Reloads) -> u64| all.iter().map(|all| Some(of(all) as f64)).collect();
    let table = Table::new("nginx reloads each half second", Client::FOR_CROWDS)
        .column("GETs", 0, column(|all| all.requests))
        .column("failed", 0, column(|all| all.failed))
        .column("wrong", 0, column(|all| all.wrong))
        .note(format!(
            "32 at once for {} s, on two threads. nginx keeps connections for 100 requests and a second. The old crate is \
             left out, because it loses connections where more than one request is under way.",
            plan.seconds
        ));
    Ok(table)
}
