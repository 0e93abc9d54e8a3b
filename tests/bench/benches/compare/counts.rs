//! What is counted: instructions, allocations, system calls, heap, connections. It comes out alike on every run, so
//! once is enough, and as many processes may run together as there are processors.

use pooled_fetch_bench::{Kind, Protocol, Server, Task, Way, require};

use crate::plan::{ALL, CROWD, OPENING, OPENING_OVER_TLS, Plan, REFERENCE};
use crate::progress::Progress;
use crate::table::Table;
use crate::{Error, PROGRAMS, parallel};

const RESTING: usize = 1_000;

/// So many open connections at once.
const OPENERS: usize = 16;

/// So few that every client has a ticket for each connection: rustls keeps eight for a server, and a client that finds none
/// pays for a whole handshake, which depends on the moment.
const OPENERS_OVER_TLS: usize = 4;

/// A crowd, and how often it comes.
const CROWD_OF: (usize, usize) = (200, 50);

/// One figure, or two that one process counts.
type Counted = Result<[Option<f64>; 2], Error>;

/// What is counted: of which client, with which tool, and how.
struct Count {
    clients: &'static [Kind],
    needs: Option<&'static str>,
    count: fn(&Plan, Task) -> Counted,
}

const COUNTS: [Count; 9] = [
    Count {
        clients: ALL,
        needs: Some("valgrind"),
        count: |plan, task| instructions(plan, 1, Way::Steady, task),
    },
    Count {
        clients: CROWD,
        needs: Some("valgrind"),
        count: |plan, task| instructions(plan, 64, Way::Steady, task),
    },
    Count {
        clients: CROWD,
        needs: Some("valgrind"),
        count: |plan, task| instructions(plan, 64, Way::Bursts, task),
    },
    Count { clients: ALL, needs: None, count: |_, task| allocations(task) },
    Count {
        clients: ALL,
        needs: Some("strace"),
        count: |_, task| {
            let task = Task { requests: 1_000, ..task };
            Ok([Some(PROGRAMS.system_calls(&task)?), None])
        },
    },
    Count { clients: CROWD, needs: None, count: |_, task| heap(task) },
    Count { clients: CROWD, needs: None, count: |_, task| connections(task) },
    Count {
        clients: OPENING,
        needs: Some("valgrind"),
        count: |plan, task| opening(plan.counted_requests, OPENERS, task),
    },
    Count {
        clients: OPENING_OVER_TLS,
        needs: Some("valgrind"),
        // A handshake takes as long as thirty connections without.
        count: |plan, task| {
            let task = Task { protocol: Protocol::Http1OverTls, ..task };
            opening(plan.counted_requests / 4, OPENERS_OVER_TLS, task)
        },
    },
];

pub(crate) fn steps() -> usize {
    COUNTS.iter().map(|count| count.clients.len()).sum()
}

pub(crate) fn tables(
    plan: &Plan,
    server: &Server,
    progress: &Progress,
) -> Result<Vec<Table>, Error> {
    progress.phase("counting instructions, allocations, system calls, heap and connections");
    let mut jobs = Vec::new();
    for (column, count) in COUNTS.iter().enumerate() {
        if let Some(missing) = count.needs.and_then(|tool| require(tool).err()) {
            progress.note(&format!("left out: {missing}"));
            continue;
        }
        jobs.extend(count.clients.iter().map(|client| (column, *client)));
    }
    let results = parallel::all(&jobs, progress, |(column, client)| {
        (COUNTS[*column].count)(
            plan,
            Task { server: Some(server.address), ..Task::new(*client, 1) },
        )
    })?;
    let figure = |column: usize, part: usize, client: &Kind| {
        results[jobs.iter().position(|job| *job == (column, *client))?][part]
    };
    let find = |column, part| ALL.iter().map(|client| figure(column, part, client)).collect();
    let of_openers = |column| OPENING.iter().map(|client| figure(column, 0, client)).collect();
    let requests = Table::new("Counted for each request", ALL)
        .column("instructions", 0, find(0, 0))
        .ratio(REFERENCE)
        .column("misses", 0, find(0, 1))
        .column("64 at once", 0, find(1, 0))
        .ratio(REFERENCE)
        .column("misses", 0, find(1, 1))
        .column("bursts of 64", 0, find(2, 0))
        .ratio(REFERENCE)
        .column("allocations", 1, find(3, 0))
        .column("system calls", 2, find(4, 0))
        .note(
            "Instructions are those of the client's process, in user mode; misses are those that were not in a cache of \
             32 KiB, which callgrind imagines: each costs as much time as many instructions. In a burst all send, and all wait until \
             every response was read, so that every connection is at rest between two of them.",
        );
    let (size, times) = CROWD_OF;
    let connections = Table::new("Counted for each connection", ALL)
        .column("heap when idle, bytes", 0, find(5, 0))
        .column("heap when parked, bytes", 0, find(5, 1))
        .column(format!("opened for {size} at once, {times} times"), 0, find(6, 0));
    let opening = Table::new("Counted for each connection that is opened for one request", OPENING)
        .column("opening over TCP, instructions", 0, of_openers(7))
        .ratio(REFERENCE)
        .column("opening over TLS, instructions", 0, of_openers(8))
        .ratio(REFERENCE)
        .note(
            "16 at once over TCP, 4 over TLS, and each request asks its server to close the connection. All clients over TLS use \
             the same rustls. With more at once those whose eight tickets run dry pay for whole handshakes.",
        );
    Ok(vec![requests, connections, opening])
}

fn instructions(plan: &Plan, at_once: usize, way: Way, task: Task) -> Counted {
    let task = Task { at_once, way, requests: plan.counted_requests, ..task };
    Ok(PROGRAMS.instructions_and_misses(&task)?.map(Some))
}

fn opening(requests: usize, at_once: usize, task: Task) -> Counted {
    let task = Task { at_once, way: Way::Opening, requests: requests.max(10 * at_once), ..task };
    Ok([Some(PROGRAMS.instructions(&task)?), None])
}

fn allocations(task: Task) -> Counted {
    let counts = PROGRAMS.counts(&Task { requests: 1_000, ..task })?;
    let of_request = |allocations| allocations as f64 / counts.requests as f64;
    Ok([counts.allocations.map(of_request), None])
}

fn heap(task: Task) -> Counted {
    let counts = PROGRAMS.counts(&Task { at_once: RESTING, way: Way::Rest, ..task })?;
    Ok([counts.idle_bytes, counts.parked_bytes].map(|bytes| bytes.map(|bytes| bytes as f64)))
}

fn connections(task: Task) -> Counted {
    let (at_once, times) = CROWD_OF;
    let requests = at_once * times;
    // A server of its own, to which no other client opens connections meanwhile.
    let task = Task { at_once, requests, workers: 2, way: Way::Bursts, server: None, ..task };
    Ok([Some(PROGRAMS.figures(&task)?.connections as f64), None])
}
