//! How much is measured, and what for.

use pooled_fetch_bench::Kind;

/// In the order of the tables: what it is held against first, then by what a request costs.
pub(crate) const ALL: &[Kind] = &[
    Kind::BareSocket,
    Kind::BareHyper,
    Kind::OursUnprobed,
    Kind::Ours,
    Kind::OldCrate,
    Kind::HyperUtil,
    Kind::Pingora,
    Kind::Reqwest,
];

/// The old crate keeps one connection for each address and never closes the others, so a crowd costs it a new
/// connection for each request until the process has no descriptors left.
pub(crate) const CROWD: &[Kind] = &[
    Kind::BareSocket,
    Kind::BareHyper,
    Kind::OursUnprobed,
    Kind::Ours,
    Kind::HyperUtil,
    Kind::Pingora,
    Kind::Reqwest,
];

/// What keeps connections is asked to open one for each request.
pub(crate) const OPENING: &[Kind] =
    &[Kind::BareHyper, Kind::Ours, Kind::HyperUtil, Kind::Pingora, Kind::Reqwest];

/// pingora brings a TLS of its own.
pub(crate) const OPENING_OVER_TLS: &[Kind] =
    &[Kind::BareHyper, Kind::Ours, Kind::HyperUtil, Kind::Reqwest];

/// What everything is held against.
pub(crate) const REFERENCE: Kind = Kind::BareHyper;

/// A load that is timed.
pub(crate) struct Load {
    pub(crate) title: &'static str,
    pub(crate) clients: &'static [Kind],
    pub(crate) at_once: usize,
    pub(crate) workers: usize,
    /// In a quick run; a whole one takes twice as many.
    pub(crate) requests: usize,
}

pub(crate) const LOADS: [Load; 4] = [
    Load {
        title: "One request at a time, on one thread",
        clients: ALL,
        at_once: 1,
        workers: 0,
        requests: 3_000,
    },
    Load {
        title: "64 requests at once, on one thread",
        clients: CROWD,
        at_once: 64,
        workers: 0,
        requests: 12_000,
    },
    Load {
        title: "64 requests at once, on two workers",
        clients: CROWD,
        at_once: 64,
        workers: 2,
        requests: 12_000,
    },
    Load {
        title: "512 requests at once, on two workers",
        clients: CROWD,
        at_once: 512,
        workers: 2,
        requests: 12_288,
    },
];

/// How much of everything.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// For the loads that are many and differ less from turn to turn.
    pub(crate) rounds_of_loads: usize,
    /// How much longer each turn is than in a quick run.
    pub(crate) longer: usize,
    /// Instructions are read off so many requests and three times as many.
    pub(crate) counted_requests: usize,
}

impl Plan {
    pub(crate) fn new(quick: bool) -> Self {
        match quick {
            true => Self { rounds: 3, rounds_of_loads: 2, longer: 1, counted_requests: 300 },
            false => Self { rounds: 25, rounds_of_loads: 9, longer: 2, counted_requests: 2_000 },
        }
    }

    /// As many as [`Progress`](crate::progress::Progress) is told of.
    pub(crate) fn steps(&self) -> usize {
        let turns: usize = LOADS.iter().map(|load| load.clients.len()).sum();
        self.rounds * (turns + crate::cliff::CASES.len() + 1)
            + crate::counts::steps()
            + crate::loads::steps(self)
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}
