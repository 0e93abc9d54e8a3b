//! What is known of the connection that carried a response.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;

use super::error_kind::ErrorKind;
use super::server::ServerInfo;

/// The connection that carried a response, as it was then. From [`Body::connection`](crate::Body::connection).
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    established: Arc<Established>,
    pub(super) usage: Usage,
}

/// What stays the same for the life of a connection.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) id: u64,
    pub(crate) local_address: Option<SocketAddr>,
    pub(crate) peer_address: Option<SocketAddr>,
    pub(crate) connect_time: Duration,
    pub(crate) extensions: Extensions,
    pub(crate) server: Arc<ServerInfo>,
}

/// What belongs to one checkout.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) use_number: u64,
    pub(crate) attempt: u32,
    pub(crate) idle_for: Duration,
    pub(crate) queue_time: Duration,
}

impl ConnectionInfo {
    pub(crate) fn new(established: Arc<Established>, usage: Usage) -> Self {
        Self { established, usage }
    }

    /// A response that it brought has failed after its head.
    pub(crate) fn note_failed(&self, kind: ErrorKind) {
        self.established.server.counters().failed(kind);
    }

    /// The server that it leads to. Tells which of several addresses has served a request to
    /// [any of them](crate::Pool::http_any).
    pub fn server(&self) -> &ServerInfo {
        &self.established.server
    }

    /// A number that no other connection of the pool has.
    pub fn id(&self) -> u64 {
        self.established.id
    }

    /// The ordinal of this request on its connection, from 1.
    pub fn use_number(&self) -> u64 {
        self.usage.use_number
    }

    /// The ordinal of this attempt of its request, from 1; zero if the connection has not carried a request yet.
    pub fn attempt(&self) -> u32 {
        self.usage.attempt
    }

    /// Whether the connection had served a request before.
    pub fn is_reused(&self) -> bool {
        // Before its request is sent, a lent connection counts only earlier ones.
        self.usage.use_number > u64::from(self.usage.attempt > 0)
    }

    /// How long the connection had been idle before; zero for a new one, and for one that went straight to a waiter.
    pub fn idle_for(&self) -> Duration {
        self.usage.idle_for
    }

    /// How long the request waited for a connection; zero if one was idle.
    pub fn queue_time(&self) -> Duration {
        self.usage.queue_time
    }

    /// How long it took to open the connection, every step of the connector included.
    pub fn connect_time(&self) -> Duration {
        self.established.connect_time
    }

    /// Our end of the connection, where its stream has one.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.established.local_address
    }

    /// The other end of the connection, where its stream has one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.established.peer_address
    }

    /// A fact that the connector has told of the connection, by its type; see
    /// [`Connected::with_extension`](crate::Connected::with_extension). Of a connection over TLS it is `pool_tls::TlsFacts`.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.established.extensions.get()
    }
}
