//! What a waiter wants, what it is offered, and how many dials that takes.

use std::time::Duration;

use tokio::time::Instant;

/// What a waiter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Any connection.
    Any,
    /// Only a connection that comes straight from its dial.
    Fresh,
    /// Only a connection whose id is greater than that of every connection which was open then.
    Newer(u64),
}

/// What a request needs of a connection that it waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) wants: Wants,
    /// Its body is sent in chunks.
    pub(crate) chunks: bool,
    /// It cannot go over HTTP/2.
    pub(crate) http1_only: bool,
    /// How long it waits before it looks for one.
    pub(crate) pause: Option<Duration>,
    /// Where no connection is open yet, one dial is for all that wait: another address may be better.
    pub(crate) first_is_for_all: bool,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            wants: Wants::Any,
            chunks: false,
            http1_only: false,
            pause: None,
            first_is_for_all: false,
        }
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// A connection of that id.
    Connection { id: u64, fresh: bool },
    /// The news that a dial has failed, for the waiters whose numbers are smaller than that at its beginning, and for
    /// those that have waited since then or longer.
    Failure { before: u64, or_since: Option<Instant> },
    /// The news that there will be no connection.
    End,
}

/// How many dials are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One for every waiter, or for as many as one connection serves.
    ForEach,
    /// Each is for all waiters, and another may begin while any waits: the address fails, which bounds them.
    ForAll,
}

impl Wants {
    pub(super) fn accepts(self, offered: Offered) -> bool {
        match (self, offered) {
            (_, Offered::Failure { .. } | Offered::End) | (Self::Any, _) => true,
            (Self::Fresh, Offered::Connection { fresh, .. }) => fresh,
            (Self::Newer(than), Offered::Connection { id, .. }) => id > than,
        }
    }
}
