//! What callers are told: errors with their evidence, counters, and events.
//!
//! This layer may import `request` (an error hands the request back) and `sync`. It must not know connections or hosts.
//!
//! | file | what it is |
//! | --- | --- |
//! | `error` | an error: its step, its address, its cause |
//! | `chain` | a cause and what caused it, in one line |
//! | `causes` | one constructor for each thing that can go wrong |
//! | `evidence` | how far a request had come when it failed |
//! | `info` | the connection that carried a response |
//! | `stats` | counters, and why connections close |
//! | `names` | what error kinds and reasons are called in logs and metrics |
//! | `events` | an observer, and what it receives |
//! | `lease_watch` | an observer that finds connections which were lent for too long |
//!
//! Every upper layer makes errors and tells events; `conn` makes attempts; `policy` keeps the counters of a host.

mod causes;
mod chain;
mod error;
mod events;
mod evidence;
mod info;
mod lease_watch;
mod names;
mod stats;

pub(crate) use chain::Chain;
pub use error::{Error, ErrorKind};
pub(crate) use events::Observed;
pub use events::{Event, Observer};
pub(crate) use evidence::Attempt;
pub use evidence::{Evidence, Written};
pub use info::ConnectionInfo;
pub(crate) use info::{Established, Usage};
pub use lease_watch::{LeaseWatch, OldLease};
pub(crate) use stats::{Counters, Holdings};
pub use stats::{Reason, Stats};
