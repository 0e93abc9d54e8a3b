//! What is known of the connection that carried a response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The connection that carried a response, as it was then. From [`Body::connection`](crate::Body::connection).
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    origin: Arc<Origin>,
    pub(crate) visit: Visit,
}

/// What stays the same for the life of a connection.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) id: u64,
    pub(crate) local_address: Option<SocketAddr>,
    pub(crate) peer_address: Option<SocketAddr>,
    pub(crate) connect_time: Duration,
}

/// What is of one checkout.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visit {
    pub(crate) use_number: u64,
    pub(crate) attempt: u32,
    pub(crate) idle_for: Duration,
    pub(crate) queue_time: Duration,
}

impl ConnectionInfo {
    pub(crate) fn new(origin: Arc<Origin>, visit: Visit) -> Self {
        Self { origin, visit }
    }

    /// A number that no other connection of the pool has.
    pub fn id(&self) -> u64 {
        self.origin.id
    }

    /// The how many-eth request of the connection this was, from 1.
    pub fn use_number(&self) -> u64 {
        self.visit.use_number
    }

    /// The how many-eth attempt of the request this was, from 1; zero if it has carried none yet.
    pub fn attempt(&self) -> u32 {
        self.visit.attempt
    }

    /// Whether the connection had served a request before.
    pub fn is_reused(&self) -> bool {
        self.visit.use_number > 1
    }

    /// How long it had been idle before; zero for a new connection and one passed on to a waiter.
    pub fn idle_for(&self) -> Duration {
        self.visit.idle_for
    }

    /// How long the request waited for a connection; zero if one was idle.
    pub fn queue_time(&self) -> Duration {
        self.visit.queue_time
    }

    /// How long it took to open the connection, every step of the connector included.
    pub fn connect_time(&self) -> Duration {
        self.origin.connect_time
    }

    /// Our end of the connection, where its stream has one.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.origin.local_address
    }

    /// The other end of the connection, where its stream has one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.origin.peer_address
    }
}
