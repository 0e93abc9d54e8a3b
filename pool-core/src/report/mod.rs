//! What callers are told: errors with their evidence, counters, and events.
//!
//! This layer may import `request` (an error hands the request back), `connector` (only `Target`) and `sync`. It must not know connections or hosts.
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
//! | `events`, `request_events` | what happens to connections, and what becomes of requests |
//! | `observer` | who is told of both |
//! | `server` | a server as those know it that watch and count |
//! | `following` | those that follow one request |
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
mod observer;
mod request_events;
mod server;
mod stats;

pub(crate) use chain::Chain;
pub use error::Error;
pub use error_kind::ErrorKind;
pub use events::{Carried, Event};
pub(crate) use evidence::Attempt;
pub use evidence::{Evidence, Written};
pub(crate) use following::Following;
pub use info::ConnectionInfo;
pub(crate) use info::{Established, Usage};
pub(crate) use observer::Observed;
pub use observer::Observer;
pub use request_events::{Follower, RequestEvent};
pub use server::ServerInfo;
pub(crate) use stats::{Counters, Holdings};
pub use stats::{Reason, Stats};
