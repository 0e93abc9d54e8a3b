//! What the idle store holds: a connection at rest, with its HTTP state or parked.

use std::sync::Arc;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::kept::Kept;
use crate::parked::Parked;
use crate::stats::Reason;
use crate::waker::ConnectionWaker;

pub(crate) struct Resting {
    connection: Form,
    /// Since when it rests.
    pub(crate) since: Instant,
}

enum Form {
    Idle(Box<Connection>),
    Parked(Box<Parked>),
}

impl Resting {
    pub(crate) fn new(connection: Box<Connection>, since: Instant) -> Self {
        Self { connection: Form::Idle(connection), since }
    }

    pub(crate) fn is_parked(&self) -> bool {
        matches!(self.connection, Form::Parked(_))
    }

    pub(crate) fn kept(&self) -> &Kept {
        match &self.connection {
            Form::Idle(connection) => connection.kept(),
            Form::Parked(parked) => parked.kept(),
        }
    }

    pub(crate) fn waker(&self) -> Arc<ConnectionWaker> {
        Arc::clone(&self.kept().waker)
    }

    /// Takes the connection out of rest, at `now`.
    pub(crate) fn wake(self, now: Instant) -> Option<Box<Connection>> {
        let mut connection = match self.connection {
            Form::Idle(connection) => connection,
            Form::Parked(parked) => parked.wake()?,
        };
        connection.leave_rest(now.saturating_duration_since(self.since));
        Some(connection)
    }

    /// Gives up the HTTP state, and rests on under `sequence`. None if the connection has closed instead.
    pub(crate) fn park(self, sequence: u64) -> Option<Self> {
        let Self { connection, since } = self;
        let mut parked = match connection {
            Form::Idle(connection) => connection.park()?,
            Form::Parked(parked) => parked,
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
        }
    }

    /// Closes the connection at once.
    pub(crate) fn discard(self, reason: Reason) {
        match self.connection {
            Form::Idle(connection) => connection.discard(reason),
            Form::Parked(parked) => parked.discard(reason),
        }
    }
}
