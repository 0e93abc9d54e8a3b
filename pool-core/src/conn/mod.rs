//! One HTTP connection: opened over a stream, driven, parked, and closed.
//!
//! This layer may import `io`, `request`, `report`, `connector`, `sync`, and from `settings` only
//! `ConnectionSettings` and what it is made of. It must not know permits, hosts, lanes or other connections: what a connection holds for as
//! long as it is open is a `Hold`, and the dial hands it in.
//!
//! | file | what it is |
//! | --- | --- |
//! | `hold` | what a connection holds until its socket has closed |
//! | `lifetime` | for how long, and for how many requests, a connection may be used |
//! | `opened` | what is known of a stream that was just opened |
//! | `http1` | a connection that serves one request at a time, driven by the task that holds it |
//! | `http2` | a connection that serves many requests at once, driven by a task of its own |
//!
//! `http1` and `http2` do not know each other.
//!
//! `lanes` opens, stores and closes connections; `exchange` sends over them.

mod hold;
pub(crate) mod http1;
pub(crate) mod http2;
mod lifetime;
mod opened;

pub(crate) use hold::Hold;
use lifetime::Lifetime;
pub(crate) use opened::Opened;
