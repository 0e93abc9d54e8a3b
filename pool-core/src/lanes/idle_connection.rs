//! What the idle store holds: a connection with its HTTP state, or parked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::conn::http1::Core;
use crate::conn::{http1, http2};
use crate::policy::{Host, Standing};
use crate::report::Reason;

pub(super) struct IdleConnection {
    connection: Form,
    since: Instant,
}

enum Form {
    Http1(Box<http1::Connection>),
    Parked(Box<http1::Parked>),
    Http2(Arc<http2::Connection>),
}

/// A connection that was idle, and is to be lent.
pub(super) enum CheckedOut {
    Http1(Box<http1::Connection>),
    Http2(Arc<http2::Connection>),
}

impl IdleConnection {
    #[inline]
    pub(super) fn http1(connection: Box<http1::Connection>, since: Instant) -> Self {
        Self { connection: Form::Http1(connection), since }
    }

    pub(super) fn http2(connection: Arc<http2::Connection>, since: Instant) -> Self {
        Self { connection: Form::Http2(connection), since }
    }

    #[inline]
    pub(super) fn is_parked(&self) -> bool {
        matches!(self.connection, Form::Parked(_))
    }

    #[inline]
    fn core(&self) -> Option<&Core> {
        match &self.connection {
            Form::Http1(connection) => Some(connection.core()),
            Form::Parked(parked) => Some(parked.core()),
            Form::Http2(_) => None,
        }
    }

    /// The connection, if it is shared.
    pub(super) fn shared(&self) -> Option<&Arc<http2::Connection>> {
        match &self.connection {
            Form::Http2(connection) => Some(connection),
            _ => None,
        }
    }

    /// How many requests it has carried, and why it may carry no further one.
    #[inline]
    pub(super) fn used_up(&self, now: Instant) -> (u64, Option<Reason>) {
        match &self.connection {
            Form::Http1(connection) => (connection.core().uses(), connection.core().used_up(now)),
            Form::Parked(parked) => (parked.core().uses(), parked.core().used_up(now)),
            Form::Http2(connection) => (connection.uses(), connection.used_up(now)),
        }
    }

    /// Whether its server has said that it does not keep connections idle for so long.
    #[inline]
    pub(super) fn is_past_hint(&self, idle_for: Duration) -> bool {
        self.core().is_some_and(|core| core.is_past_hint(idle_for))
    }

    /// How it stands after the failure of another; from here on it is tried if it was set aside and `may_try`.
    pub(super) fn standing(&self, host: &Host, may_try: bool) -> Standing {
        let id = match &self.connection {
            Form::Http1(connection) => connection.core().id(),
            Form::Parked(parked) => parked.core().id(),
            Form::Http2(connection) => connection.id(),
        };
        host.standing(id, self.since, may_try)
    }

    /// Since when it has been idle.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    #[inline]
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// From here on a wake can find the connection in the store. A shared connection has a task instead.
    #[inline]
    pub(super) fn can_be_found(&self) {
        if let Some(core) = self.core() {
            core.can_be_found();
        }
    }

    /// Takes the connection out to be lent; none if it could not have its HTTP state back, and so has closed.
    #[inline]
    pub(super) fn check_out(self, idle_for: Duration) -> Option<CheckedOut> {
        let mut connection = match self.connection {
            Form::Http1(connection) => connection,
            Form::Parked(parked) => parked.wake()?,
            Form::Http2(connection) => return Some(CheckedOut::Http2(connection)),
        };
        connection.leave_idle(self.since, idle_for);
        Some(CheckedOut::Http1(connection))
    }

    /// Gives up the HTTP state, and is idle from here on under `sequence`. None if the connection has closed instead.
    pub(super) fn park(self, sequence: u64) -> Option<Self> {
        let Self { connection, since } = self;
        let mut parked = match connection {
            Form::Http1(connection) => http1::Parked::of(*connection)?,
            Form::Parked(parked) => parked,
            // What HTTP/2 knows of its peer cannot be given up.
            Form::Http2(_) => return Some(Self { connection, since }),
        };
        match parked.become_idle(sequence) {
            Ok(()) => Some(Self { connection: Form::Parked(parked), since }),
            Err(reason) => {
                parked.discard(reason);
                None
            }
        }
    }

    /// Finds out why a connection was woken; says why it must close, or makes it tell its watch again.
    pub(super) fn look(&mut self, sequence: u64) -> Result<(), Reason> {
        match &mut self.connection {
            Form::Http1(connection) => connection.become_idle_after_poll(sequence),
            Form::Parked(parked) => parked.become_idle(sequence),
            // Its task drives it.
            Form::Http2(_) => Ok(()),
        }
    }

    /// Closes the connection at once.
    pub(super) fn discard(self, reason: Reason) {
        match self.connection {
            Form::Http1(connection) => connection.discard(reason),
            Form::Parked(parked) => parked.discard(reason),
            Form::Http2(connection) => connection.close(reason),
        }
    }
}
