//! What is timed: one client after the other, round after round.

use std::iter::zip;

use pooled_fetch_bench::{Figures, Kind, Server, Task};

use crate::plan::{LOADS, Load, Plan, REFERENCE, median};
use crate::progress::Progress;
use crate::table::Table;
use crate::{Error, PROGRAMS};

pub(crate) fn tables(
    plan: &Plan,
    server: &Server,
    progress: &Progress,
) -> Result<Vec<Table>, Error> {
    let mut runs: Vec<Vec<Vec<Figures>>> =
        LOADS.iter().map(|load| vec![Vec::new(); load.clients.len()]).collect();
    for round in 1..=plan.rounds {
        for (load, runs) in zip(&LOADS, &mut runs) {
            progress.phase(format!("round {round} of {}: {}", plan.rounds, load.title));
            // Another begins in each round: what the load before has left to clear up hits the client that comes first.
            for turn in 0..runs.len() {
                let turn = (turn + round) % runs.len();
                let task = load.task(load.clients[turn], plan, server);
                runs[turn].push(PROGRAMS.figures(&task)?);
                progress.step();
            }
        }
    }
    Ok(zip(&LOADS, runs).map(|(load, runs)| load.table(&runs)).collect())
}

impl Load {
    fn task(&self, client: Kind, plan: &Plan, server: &Server) -> Task {
        Task {
            at_once: self.at_once,
            workers: self.workers,
            latency: true,
            server: Some(server.address),
            ..Task::new(client, self.requests * plan.longer)
        }
    }

    fn table(&self, runs: &[Vec<Figures>]) -> Table {
        let medians = |figure: fn(&Figures) -> f64| -> Vec<_> {
            runs.iter().map(|runs| median(runs.iter().map(figure).collect())).collect()
        };
        Table::new(self.title, self.clients)
            .column("CPU, µs", 2, medians(|run| run.cpu() / 1e3))
            .ratio(REFERENCE)
            .column("requests/s", 0, medians(Figures::throughput))
            .ratio(REFERENCE)
            .column("p50, µs", 1, medians(|run| micros(run.p50_ns)))
            .column("p99, µs", 1, medians(|run| micros(run.p99_ns)))
            .ratio(REFERENCE)
    }
}

fn micros(nanos: Option<u64>) -> f64 {
    nanos.map_or(f64::NAN, |nanos| nanos as f64 / 1e3)
}
