//! What a request costs when there is much of everything: many addresses, many idle connections.

use std::iter::zip;

use pooled_fetch_bench::{Kind, Server, Task};

use crate::plan::{Plan, median};
use crate::progress::Progress;
use crate::table::Table;
use crate::{Error, PROGRAMS};

/// So many addresses in turn, and so many idle connections at the first of them.
pub(crate) const CASES: [(&str, Kind, usize, usize); 5] = [
    ("ours, one address", Kind::OursUnprobed, 1, 0),
    ("ours, 5000 addresses in turn", Kind::OursUnprobed, 5_000, 0),
    ("ours, 10000 idle connections", Kind::OursUnprobed, 1, 10_000),
    ("hyper, one address", Kind::BareHyper, 1, 0),
    ("hyper, 5000 addresses in turn", Kind::BareHyper, 5_000, 0),
];

const REQUESTS: usize = 5_000;

/// None where the system does not allow as many descriptors.
pub(crate) fn table(
    plan: &Plan,
    server: &Server,
    progress: &Progress,
) -> Result<Option<Table>, Error> {
    progress.phase("many addresses, many idle connections");
    let mut runs = vec![Vec::new(); CASES.len()];
    for _ in 0..plan.rounds {
        for ((_, client, addresses, idle), runs) in zip(CASES, &mut runs) {
            let task = Task {
                addresses,
                idle,
                server: Some(server.address),
                ..Task::new(client, REQUESTS * plan.longer)
            };
            match PROGRAMS.figures(&task) {
                Ok(figures) => runs.push(figures.cpu() / 1e3),
                Err(error) => {
                    progress.note(&format!("left out, many addresses and connections: {error}"));
                    return Ok(None);
                }
            }
            progress.step();
        }
    }
    let medians: Vec<_> = runs.into_iter().map(median).collect();
    let relative = zip(CASES, &medians).map(|((_, client, ..), figure)| {
        let first = CASES.iter().position(|case| case.1 == client)?;
        Some((*figure)? / medians[first]?)
    });
    let relative = relative.collect();
    let table = Table::new("One request at a time, when there is much of everything", CASES.map(|case| case.0))
        .column("CPU, µs", 2, medians)
        .column("× of one", 2, relative)
        .note(
            "Sockets that are touched in turn are in no cache, neither for the kernel nor for a client: what 5000 \
             connections cost bare hyper is the yardstick for 5000 addresses.",
        );
    Ok(Some(table))
}
