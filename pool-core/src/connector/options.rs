//! What the pool wants of a stream that it has opened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the pool wants of one new stream.
///
/// A connector over another one passes it on as it is. It may tell more in later versions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether HTTP/2 may be agreed upon with the server. Where it may not, a connector that comes back with
    /// [`Protocol::Http2`](crate::Protocol::Http2) has failed.
    pub http2: bool,
    /// Which of the socket addresses behind the address to connect to, where the connector has
    /// [resolved](crate::Connector::resolve) it. None: the connector finds one itself.
    pub peer: Option<SocketAddr>,
    /// Set once that peer has answered; only where the pool wants to know.
    pub(crate) reached: Option<Arc<AtomicBool>>,
}

impl ConnectOptions {
    /// Without any wishes: the connector may agree upon what it likes.
    pub fn new() -> Self {
        Self { http2: true, peer: None, reached: None }
    }

    /// Says whether HTTP/2 may be agreed upon.
    #[must_use]
    pub fn with_http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Says which of the socket addresses behind the address to connect to.
    #[must_use]
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Says that the [peer](Self::peer) has answered, as a TCP connector does when its socket is connected. What follows, such as a TLS
    /// handshake, makes the pool try no other address beside it, however far away the peer may be.
    pub fn reached_peer(&self) {
        if let Some(reached) = &self.reached {
            reached.store(true, Ordering::Relaxed);
        }
    }

    /// Of a dial to one of the socket addresses of a name; with what [`reached_peer`](Self::reached_peer) sets.
    pub(crate) fn for_peer(&self, peer: SocketAddr) -> (Self, Arc<AtomicBool>) {
        let reached = Arc::<AtomicBool>::default();
        let mut options = self.clone().with_peer(peer);
        options.reached = Some(Arc::clone(&reached));
        (options, reached)
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}
