//! What the pool promises, one file per promise, each held over every backend that it concerns.

mod body;
mod crowd;
mod errors;
mod facade;
mod framing;
mod refusals;
mod reuse;
mod shutdown;
mod stale;
mod tls;
