//! A connection that serves many requests at once, each over a stream of its own. One task drives it.
//!
//! These files may import what `conn` may, and must not know `http1`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `handshake`, `sender` | hyper's side: opened over a stream; what takes requests |
//! | `connection` | the shared connection: its streams, its limits, whether it is leaving |
//! | `driver` | what the task drives, in a cell from which any thread can take and close it |
//! | `task` | the one task of a connection, and what it reports |
//! | `executor` | the executor that hyper gets: it hands everything to that task |
//! | `reset_rate` | how fast streams may be reset |

mod connection;
mod driver;
mod executor;
mod handshake;
mod reset_rate;
mod sender;
mod task;

pub(crate) use connection::Connection;
pub(crate) use handshake::handshake;
pub(crate) use sender::Unanswered;
pub(crate) use task::StreamWatch;
