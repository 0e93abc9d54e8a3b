//! What one run cannot show: many rounds, many runtimes, many at once, everything at once.
//!
//! `cargo test --package pooled-fetch-tests --test stress`
//!
//! The counts are small enough for every run of the matrix; `POOL_STRESS_TIMES` multiplies them, and
//! `POOL_STRESS_SEED` repeats a run that has failed. Nothing here is about which side is faster: each test ends in a
//! law that must hold whatever happened.

mod burst;
mod crowd;
mod deploy;
mod everything;
mod farewell;
mod knobs;
mod race;
mod runtimes;
mod sockets;
mod storms;
mod streams;
mod test_server;
mod turns;
