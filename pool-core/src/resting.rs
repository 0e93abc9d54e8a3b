//! What the idle store holds: a connection at rest, with its HTTP state or parked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::kept::Kept;
use crate::multiplex::Multiplex;
use crate::parked::Parked;
use crate::stats::Reason;

pub(crate) struct Resting {
    connection: Form,
    /// Since when it rests.
    pub(crate) since: Instant,
}

enum Form {
    Idle(Box<Connection>),
    Parked(Box<Parked>),
    Multiplexed(Arc<Multiplex>),
}

/// What has rested, and is to be lent.
pub(crate) enum Woken {
    Connection(Box<Connection>),
    Multiplex(Arc<Multiplex>),
}

impl Resting {
    pub(crate) fn new(connection: Box<Connection>, since: Instant) -> Self {
        Self { connection: Form::Idle(connection), since }
    }

    pub(crate) fn multiplexed(multiplex: Arc<Multiplex>, since: Instant) -> Self {
        Self { connection: Form::Multiplexed(multiplex), since }
    }

    pub(crate) fn is_parked(&self) -> bool {
        matches!(self.connection, Form::Parked(_))
    }

    /// What it keeps for life, unless it is shared.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        match &self.connection {
            Form::Idle(connection) => Some(connection.kept()),
            Form::Parked(parked) => Some(parked.kept()),
            Form::Multiplexed(_) => None,
        }
    }

    /// The connection, if it is shared.
    pub(crate) fn multiplex(&self) -> Option<&Arc<Multiplex>> {
        match &self.connection {
            Form::Multiplexed(multiplex) => Some(multiplex),
            _ => None,
        }
    }

    /// Whether its server has said that it does not keep connections for longer.
    pub(crate) fn has_rested(&self, rested: Duration) -> bool {
        self.kept().is_some_and(|kept| kept.has_rested(rested))
    }

    /// How long it has rested.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// It can be found, by who waits for the lock of the idle store, when it tells that it stirs; a shared connection
    /// has a task for that.
    pub(crate) fn found(&self) {
        if let Some(kept) = self.kept() {
            kept.waker.found();
        }
    }

    /// Takes the connection out of rest.
    pub(crate) fn wake(self, rested: Duration) -> Option<Woken> {
        let mut connection = match self.connection {
            Form::Idle(connection) => connection,
            Form::Parked(parked) => parked.wake()?,
            Form::Multiplexed(multiplex) => return Some(Woken::Multiplex(multiplex)),
        };
        connection.leave_rest(rested);
        Some(Woken::Connection(connection))
    }

    /// Gives up the HTTP state, and rests on under `sequence`. None if the connection has closed instead.
    pub(crate) fn park(self, sequence: u64) -> Option<Self> {
        let Self { connection, since } = self;
        let mut parked = match connection {
            Form::Idle(connection) => connection.park()?,
            Form::Parked(parked) => parked,
            // What HTTP/2 knows of its peer cannot be given up.
            Form::Multiplexed(_) => return Some(Self { connection, since }),
        };
        match parked.rest_after_poll(sequence) {
            Ok(()) => Some(Self { connection: Form::Parked(parked), since }),
            Err(reason) => {
                parked.discard(reason);
                None
            }
        }
    }

    /// Looks at a connection that has stirred; says why it must close.
    pub(crate) fn rest_after_poll(&mut self, sequence: u64) -> Result<(), Reason> {
        match &mut self.connection {
            Form::Idle(connection) => connection.rest_after_poll(sequence),
            Form::Parked(parked) => parked.rest_after_poll(sequence),
            // Its task looks after it.
            Form::Multiplexed(_) => Ok(()),
        }
    }

    /// Closes the connection at once.
    pub(crate) fn discard(self, reason: Reason) {
        match self.connection {
            Form::Idle(connection) => connection.discard(reason),
            Form::Parked(parked) => parked.discard(reason),
            Form::Multiplexed(multiplex) => multiplex.close(reason),
        }
    }
}
