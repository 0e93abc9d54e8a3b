//! The stream of a connection: counts its bytes, and owns the one waker that it is polled with.
//!
//! This layer may import `sync`. It must not know HTTP, requests or pools.
//!
//! | file | what it is |
//! | --- | --- |
//! | `counted` | a stream that counts what goes through it, and notes bytes that came unasked |
//! | `waker` | the waker of a connection, its states, and the watch that it tells |
//! | `turn` | how much one poll of a connection reads |
//! | `pending_reads` | requests that were woken and have not run since |
//!
//! `conn` takes all of it; upper layers take the `Traffic` of a connection, and say what they wait for.

mod counted;
mod pending_reads;
mod turn;
mod waker;

pub(crate) use counted::{Counted, Traffic, Unsolicited};
pub(crate) use pending_reads::PendingReads;
pub(crate) use turn::Turn;
pub(crate) use waker::{ConnectionWaker, SuppressWakes, WaitsFor, Watch};
