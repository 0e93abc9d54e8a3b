//! A connection that serves many requests at once, each over a stream of its own. One task drives it.
//!
//! These files may import what `conn` may, and must not know `http1`. They stand on h2 itself: hyper's client sends no
//! PING on demand, shows neither windows nor 1xx answers, and keeps requests that the limit of the server does not allow.
//!
//! | file | what it is |
//! | --- | --- |
//! | `handshake` | h2 over a stream, with the windows and limits of the pool |
//! | `connection` | the shared connection: its streams, its limits, whether it is leaving or doubted |
//! | `send`, `upload` | one request over a stream; its body, as fast as the server takes it in |
//! | `tunnel` | a stream that has become a tunnel |
//! | `driver` | what the task drives, in a cell from which any thread can take and close it |
//! | `task` | the one task of a connection, and what it reports |
//! | `signs` | signs of life: when the server is asked for one, and when it is given up |
//! | `wire`, `frames` | what has gone over the wire, read off the heads of frames |
//! | `flood` | frames that serve no request, counted against a credit |
//! | `reset_rate` | how fast streams may be reset |

mod connection;
mod driver;
mod flood;
mod frames;
mod handshake;
mod reset_rate;
mod send;
mod signs;
mod task;
mod tunnel;
mod upload;
mod wire;

pub(crate) use connection::Connection;
pub(crate) use handshake::handshake;
pub(crate) use send::{AwaitedHead, NotOpened};
pub(crate) use task::StreamWatch;
pub(crate) use tunnel::Tunnel;
pub(crate) use upload::{Sending, Upload};
