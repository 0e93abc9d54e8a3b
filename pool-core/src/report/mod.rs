//! What callers are told: errors with their evidence, counters, and events.
//!
//! This layer may import `request` (an error hands the request back) and `sync`. It must not know connections or hosts.
//!
//! | file | what it is |
//! | --- | --- |
//! | `error` | an error: its step, its address, its cause |
//! | `error_kind` | the steps at which a request can fail |
//! | `chain` | a cause and what caused it, in one line |
//! | `causes` | one constructor for each thing that can go wrong |
//! | `evidence` | how far a request had come when it failed |
//! | `info` | the connection that carried a response |
//! | `stats` | counters, and why connections close |
//! | `names` | what error kinds and reasons are called in logs and metrics |
//! | `events` | observers, and what they receive |
//! | `following` | those that follow one request, and what they receive |
//!
//! Every upper layer makes errors and tells events; `conn` makes attempts; `policy` keeps the counters of a host.

mod causes;
mod chain;
mod error;
mod error_kind;
mod events;
mod evidence;
mod following;
mod info;
mod names;
mod stats;

pub(crate) use chain::Chain;
pub use error::Error;
pub use error_kind::ErrorKind;
pub(crate) use events::Observed;
pub use events::{Carried, Event, Observer};
pub(crate) use evidence::Attempt;
pub use evidence::{Evidence, Written};
pub(crate) use following::Following;
pub use following::{Follower, RequestEvent};
pub use info::ConnectionInfo;
pub(crate) use info::{Established, Usage};
pub(crate) use stats::{Counters, Holdings};
pub use stats::{Reason, Stats};
