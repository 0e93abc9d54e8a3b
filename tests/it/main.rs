//! What the pool promises, one file per promise, each held over every backend that it concerns.

mod body;
mod cancel;
mod crowd;
mod errors;
mod facade;
mod fairness;
mod framing;
mod informational;
mod lifetimes;
mod limits;
mod operations;
mod parking;
mod queue;
mod refusals;
mod regressions;
mod retry;
mod reuse;
mod runtimes;
mod shutdown;
mod stale;
mod telling;
mod timeouts;
mod tls;
mod upgrades;
