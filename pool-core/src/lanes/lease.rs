//! What a request is lent: a connection of its own, or a stream of a shared one. The guards of checked-out connections.
//!
//! A lease travels from the checkout through the request into the response body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Lane;
use super::wants::Offered;
use crate::conn::{http1, http2};
use crate::report::{ConnectionInfo, Event, Reason, Usage};
use crate::settings::{Http2, Settings};

pub(crate) enum Lease {
    /// HTTP/1.
    Connection(ConnectionLease),
    /// HTTP/2.
    Stream(Box<StreamLease>),
}

impl Lease {
    #[inline]
    pub(super) fn lane(&self) -> &Arc<Lane> {
        match self {
            Self::Connection(lease) => &lease.lane,
            Self::Stream(lease) => &lease.lane,
        }
    }

    /// As what it is offered to waiters.
    pub(super) fn offered(&self) -> Offered {
        let (id, fresh) = match self {
            Self::Connection(lease) => (lease.connection.id(), lease.connection.is_fresh()),
            Self::Stream(lease) => (lease.connection.id(), lease.connection.is_fresh()),
        };
        Offered::Connection { id, fresh }
    }

    /// Whether it is fit for a request, whose body may need chunks.
    #[inline]
    pub(super) fn can_carry(&self, needs_chunks: bool) -> bool {
        match self {
            Self::Connection(lease) => !needs_chunks || lease.connection.can_send_chunked(),
            Self::Stream(_) => true,
        }
    }

    /// The request waited so long for it.
    pub(super) fn note_queue_time(&mut self, waited: Duration) {
        match self {
            Self::Connection(lease) => lease.connection.note_queue_time(waited),
            Self::Stream(lease) => lease.queue_time = waited,
        }
    }

    fn info(&self) -> ConnectionInfo {
        match self {
            Self::Connection(lease) => lease.connection.info(),
            Self::Stream(lease) => lease.info(0),
        }
    }

    /// It is not needed after all.
    pub(super) fn give_back(self) {
        match self {
            Self::Connection(lease) => lease.checkin(),
            Self::Stream(lease) => drop(lease),
        }
    }

    /// Its connection must not come back; a shared one ends with its last stream.
    pub(crate) fn discard(self, reason: Reason) {
        match self {
            Self::Connection(lease) => lease.discard(reason),
            Self::Stream(lease) => lease.stop_using(reason),
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("lane", self.lane()).finish_non_exhaustive()
    }
}

/// The one guard of a checked-out HTTP/1 connection.
///
/// It ends in one of two ways: it is [checked in](Self::checkin), or its connection closes. There is no third way, and no
/// flag: a lease that is merely dropped drops its connection, which closes the socket and gives the permit back.
pub(crate) struct ConnectionLease {
    pub(crate) connection: Box<http1::Connection>,
    lane: Arc<Lane>,
}

impl ConnectionLease {
    #[inline]
    pub(super) fn new(connection: Box<http1::Connection>, lane: Arc<Lane>) -> Self {
        Self { connection, lane }
    }

    #[inline]
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Settings {
        self.lane.settings()
    }

    /// The message has ended, and hyper is ready for the next: the connection goes to a waiter or becomes idle.
    #[inline]
    pub(crate) fn checkin(self) {
        if self.connection.has_sent() {
            self.lane.host().tell(|| Event::CheckedIn { id: self.connection.id() });
        }
        self.lane.checkin(self.connection);
    }

    /// The connection without its guard.
    pub(super) fn into_connection(self) -> Box<http1::Connection> {
        self.connection
    }

    /// The connection must not come back.
    pub(crate) fn discard(self, reason: Reason) {
        self.connection.discard(reason);
    }
}

/// The guard of one stream of a shared connection. Dropping it gives the stream back.
pub(crate) struct StreamLease {
    pub(crate) connection: Arc<http2::Connection>,
    lane: Arc<Lane>,
    /// The ordinal of its request on the connection, from 1; zero before it has one.
    use_number: u64,
    idle_for: Duration,
    queue_time: Duration,
    /// Since when the connection had been idle, if it had.
    since: Option<Instant>,
}

impl StreamLease {
    /// Opens a stream. Under the lock of the lane's list.
    pub(super) fn new(
        connection: &Arc<http2::Connection>,
        lane: &Arc<Lane>,
        idle_for: Duration,
    ) -> Self {
        connection.open_stream();
        let since = if idle_for.is_zero() { None } else { Instant::now().checked_sub(idle_for) };
        Self {
            connection: Arc::clone(connection),
            lane: Arc::clone(lane),
            use_number: 0,
            idle_for,
            queue_time: Duration::ZERO,
            since,
        }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// A request goes over the stream.
    pub(crate) fn begin(&mut self) {
        self.use_number = self.connection.next_use();
    }

    /// Whether a request that HTTP/2 cannot carry has another lane to go to, as its version was agreed upon with the server.
    /// From here on it finds that one.
    pub(crate) fn goes_beside(&self) -> bool {
        let negotiated = self.lane.settings().http2 == Http2::Negotiated;
        if negotiated {
            self.lane.set_shares(true);
        }
        negotiated
    }

    /// Since when the connection had been idle, if it had.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.since
    }

    /// What a response that comes over the stream says of its connection.
    pub(crate) fn info(&self, attempt: u32) -> ConnectionInfo {
        let Self { use_number, idle_for, queue_time, .. } = *self;
        let use_number = if attempt == 0 { self.connection.uses() } else { use_number };
        let usage = Usage { use_number, attempt, idle_for, queue_time };
        ConnectionInfo::new(Arc::clone(self.connection.established()), usage)
    }

    /// The connection takes no further stream.
    pub(crate) fn stop_using(&self, reason: Reason) {
        self.lane.stop_using(&self.connection, reason);
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        if self.use_number > 0 {
            self.lane.host().tell(|| Event::CheckedIn { id: self.connection.id() });
        } else {
            self.connection.not_used();
        }
        self.lane.stream_ended(&self.connection);
    }
}

/// A lease that has carried nothing yet, and goes back to the pool unless it is used.
#[derive(Debug)]
pub(crate) struct Unused {
    lane: Arc<Lane>,
    lease: Option<Lease>,
    connection: ConnectionInfo,
}

impl Unused {
    pub(crate) fn new(lease: Lease) -> Self {
        let (lane, connection) = (Arc::clone(lease.lane()), lease.info());
        Self { lane, lease: Some(lease), connection }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// Its connection; the use number counts the requests before this one.
    pub(crate) fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }

    pub(crate) fn can_carry(&self, needs_chunks: bool) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.can_carry(needs_chunks))
    }

    /// Waits until the dial of a shared connection has ended, which does not become idle before.
    // The future holds the connection and not the lease, which cannot be shared between threads.
    pub(super) fn dial_ended(&self) -> impl Future<Output = ()> + use<> {
        let connection = match &self.lease {
            Some(Lease::Stream(lease)) => Some(Arc::clone(&lease.connection)),
            _ => None,
        };
        async move {
            if let Some(connection) = connection {
                connection.dial_ended().await;
            }
        }
    }

    /// The lease, which is now to be used.
    pub(crate) fn use_now(mut self) -> Lease {
        let Some(lease) = self.lease.take() else { unreachable!("only this and the drop take it") };
        lease
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}
