//! What else is sent than small requests over HTTP/1, on one thread: each load is timed and its instructions counted.

use std::iter::zip;

use pooled_fetch_bench::{Kind, Payload, Protocol, Server, Task, require};

use crate::plan::{Plan, REFERENCE, median};
use crate::progress::Progress;
use crate::table::Table;
use crate::{Error, PROGRAMS, parallel};

/// Those that speak HTTP/2 and TLS, and send bodies, here; the others would only be slower to run.
const CLIENTS: [Kind; 5] =
    [Kind::BareHyper, Kind::OursUnprobed, Kind::Ours, Kind::HyperUtil, Kind::Reqwest];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A few columns of a table.
struct Load {
    name: &'static str,
    protocol: Protocol,
    payload: Payload,
    at_once: usize,
    /// In a quick run; a whole one takes twice as many.
    timed: usize,
    /// For the count of instructions, in any run, and three times as many; none where it depends on the moment.
    counted: Option<usize>,
}

const fn small(name: &'static str, protocol: Protocol, at_once: usize, timed: usize) -> Load {
    Load { name, protocol, payload: Payload::Small, at_once, timed, counted: Some(640) }
}

const fn up(name: &'static str, protocol: Protocol, length: usize, timed: usize) -> Load {
    Load {
        name,
        protocol,
        payload: Payload::Up(length),
        at_once: 1,
        timed,
        counted: Some(timed / 10),
    }
}

/// How many reads a large response takes, and so how many instructions, depends on how fast its server is.
const fn down(name: &'static str, protocol: Protocol, length: usize, timed: usize) -> Load {
    Load { name, protocol, payload: Payload::Down(length), at_once: 1, timed, counted: None }
}

struct Group {
    title: &'static str,
    note: &'static str,
    loads: &'static [Load],
}

const GROUPS: [Group; 5] = [
    Group {
        title: "HTTP/2 over TCP",
        note: SHARED,
        loads: &[
            small("one at a time", Protocol::Http2, 1, 3_000),
            small("64 at once", Protocol::Http2, 64, 12_000),
        ],
    },
    Group {
        title: "HTTP/2 over TLS",
        note: SHARED,
        loads: &[
            small("one at a time", Protocol::Http2OverTls, 1, 3_000),
            small("64 at once", Protocol::Http2OverTls, 64, 12_000),
        ],
    },
    Group {
        title: "HTTP/1 over TLS",
        note: FEWER,
        loads: &[
            small("one at a time", Protocol::Http1OverTls, 1, 3_000),
            small("64 at once", Protocol::Http1OverTls, 64, 12_000),
        ],
    },
    Group {
        title: "Bodies over HTTP/2, one at a time, over TCP",
        note: SHARED,
        loads: &[
            down("1 MiB down", Protocol::Http2, MIB, 200),
            up("1 MiB up", Protocol::Http2, MIB, 200),
        ],
    },
    Group {
        title: "Bodies over HTTP/1, one at a time, over TCP",
        note: FEWER,
        loads: &[
            up("16 KiB up", Protocol::Http1, 16 * KIB, 3_000),
            down("1 MiB down", Protocol::Http1, MIB, 200),
            up("1 MiB up", Protocol::Http1, MIB, 200),
        ],
    },
];

const FEWER: &str =
    "On one thread. Fewer clients and fewer rounds than above, so the times are less certain.";

const SHARED: &str = "On one thread. Each client has one connection for all of those at once, and ours asks the kernel whenever \
                      it is at rest, which it does by default only after a second. Fewer clients and fewer rounds than \
                      above, so the times are less certain.";

fn loads() -> impl Iterator<Item = &'static Load> {
    GROUPS.iter().flat_map(|group| group.loads)
}

pub(crate) fn steps(plan: &Plan) -> usize {
    loads().count() * CLIENTS.len() * (plan.rounds_of_loads + 1)
}

pub(crate) fn tables(
    plan: &Plan,
    server: &Server,
    progress: &Progress,
) -> Result<Vec<Table>, Error> {
    let times = times(plan, server, progress)?;
    let instructions = instructions(server, progress)?;
    let mut columns = zip(times, instructions);
    let mut tables = Vec::new();
    for group in &GROUPS {
        let mut table = Table::new(group.title, CLIENTS);
        for (load, (times, instructions)) in zip(group.loads, &mut columns) {
            table = table.column(format!("{}: CPU, µs", load.name), 2, times).ratio(REFERENCE);
            if load.counted.is_some() {
                table = table.column("instructions", 0, instructions).ratio(REFERENCE);
            }
        }
        tables.push(table.note(group.note));
    }
    Ok(tables)
}

/// For each load the figures of the clients.
type Figures = Vec<Vec<Option<f64>>>;

fn times(plan: &Plan, server: &Server, progress: &Progress) -> Result<Figures, Error> {
    let mut runs: Vec<_> = loads().map(|_| CLIENTS.map(|_| Vec::new())).collect();
    for round in 1..=plan.rounds_of_loads {
        progress.phase(format!("round {round} of {}: other loads", plan.rounds_of_loads));
        for (load, runs) in zip(loads(), &mut runs) {
            for turn in 0..CLIENTS.len() {
                let turn = (turn + round) % CLIENTS.len();
                let task = load.task(CLIENTS[turn], load.timed * plan.longer, server);
                runs[turn].push(PROGRAMS.figures(&task)?.cpu() / 1e3);
                progress.step();
            }
        }
    }
    Ok(runs.into_iter().map(|runs| runs.map(median).to_vec()).collect())
}

fn instructions(server: &Server, progress: &Progress) -> Result<Figures, Error> {
    if let Err(missing) = require("valgrind") {
        progress.note(&format!("left out: {missing}"));
        return Ok(loads().map(|_| vec![None; CLIENTS.len()]).collect());
    }
    progress.phase("counting the instructions of other loads");
    let jobs: Vec<_> = loads().flat_map(|load| CLIENTS.map(|client| (load, client))).collect();
    let counted = parallel::all(&jobs, progress, |(load, client)| {
        let count = |requests| PROGRAMS.instructions(&load.task(*client, requests, server));
        load.counted.map(count).transpose()
    })?;
    Ok(counted.chunks(CLIENTS.len()).map(<[_]>::to_vec).collect())
}

impl Load {
    fn task(&self, client: Kind, requests: usize, server: &Server) -> Task {
        Task {
            protocol: self.protocol,
            payload: self.payload,
            at_once: self.at_once,
            server: Some(server.address),
            ..Task::new(client, requests)
        }
    }
}
