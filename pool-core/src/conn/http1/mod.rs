//! A connection that serves one request at a time. No task is spawned for it: the task that holds it drives it.
//!
//! These files may import what `conn` may, and must not know `http2`.
//!
//! | file | what it is |
//! | --- | --- |
//! | `connection` | how a connection is polled |
//! | `rest` | how a connection becomes idle and is lent again |
//! | `send` | what a connection does for one request |
//! | `core` | what a connection keeps for life, with HTTP state or without |
//! | `parked` | a connection without HTTP state |
//! | `driver` | hyper's side: opened over a stream, polled, ended, taken off again |
//! | `armed_io` | the stream as hyper sees it: not read again while it holds the waker |
//! | `body_handle` | the handle by which hyper knows a request body |
//! | `overhead` | how much of a response body is framing |
//! | `keep_alive` | what a server says of its own idle limit |

mod armed_io;
mod body_handle;
mod connection;
mod core;
mod driver;
mod keep_alive;
mod overhead;
mod parked;
mod rest;
mod send;

pub(crate) use connection::{Connection, Home, open};
pub(crate) use core::Core;
pub(crate) use driver::Unanswered;
pub(crate) use parked::Parked;
pub(crate) use send::SendRequest;
