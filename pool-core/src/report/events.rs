//! What happens to connections.

use std::time::Duration;

use super::error::Error;
use super::stats::Reason;

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was opened.
    #[non_exhaustive]
    Opened {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// How long that took.
        took: Duration,
    },
    /// No connection could be opened.
    #[non_exhaustive]
    OpenFailed {
        /// Why.
        error: &'a Error,
    },
    /// The address fails, and is not dialled for a while; only with [`Backoff::Fail`](crate::Backoff::Fail).
    #[non_exhaustive]
    BackingOff {
        /// For how long.
        pause: Duration,
    },
    /// A request is sent again, because an attempt failed in a way that [allows it](crate::Pool::http).
    #[non_exhaustive]
    Retried {
        /// How the attempt failed.
        error: &'a Error,
    },
    /// A connection was lent to a request.
    #[non_exhaustive]
    CheckedOut {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// The ordinal of this request on its connection, from 1.
        use_number: u64,
        /// How long the connection had been idle.
        idle_for: Duration,
    },
    /// A connection was checked in; over HTTP/2, the stream of a request has ended.
    #[non_exhaustive]
    CheckedIn {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
    },
    /// A connection was closed.
    #[non_exhaustive]
    Closed {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// Why.
        reason: Reason,
        /// How long it was open.
        age: Duration,
        /// What it has carried.
        carried: Carried,
    },
}

/// What a connection has carried in its life, or up to the moment at which it was upgraded or detached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Requests; over HTTP/2 those of which the server may have seen the beginning.
    pub requests: u64,
    /// Bytes that the connection has accepted, heads and framing included; over TLS before they were encrypted.
    pub written: u64,
    /// Bytes that it has delivered, likewise.
    pub read: u64,
}
