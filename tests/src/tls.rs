//! A server behind TLS that counts its handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{HandshakeKind, ServerConfig};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::backend::listen;
use crate::{Acceptor, Duplex};

/// How the clients of a server have shaken hands with it.
#[derive(Clone, Debug, Default)]
pub struct Handshakes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    full: AtomicUsize,
    resumed: AtomicUsize,
}

impl Handshakes {
    /// From the beginning.
    pub fn full(&self) -> usize {
        self.0.full.load(Ordering::SeqCst)
    }

    /// With a ticket of this server.
    pub fn resumed(&self) -> usize {
        self.0.resumed.load(Ordering::SeqCst)
    }

    fn count(&self, kind: Option<HandshakeKind>) {
        let number = match kind {
            Some(HandshakeKind::Resumed) => &self.0.resumed,
            _ => &self.0.full,
        };
        number.fetch_add(1, Ordering::SeqCst);
    }
}

/// A server behind TLS with a configuration of its own.
///
/// A client that does not trust it gets no stream out of it.
pub async fn tls_endpoint(config: Arc<ServerConfig>) -> (SocketAddr, Acceptor) {
    let (address, acceptor, _) = counting_tls_endpoint(config).await;
    (address, acceptor)
}

/// The same, and how its clients shake hands with it.
pub async fn counting_tls_endpoint(
    config: Arc<ServerConfig>,
) -> (SocketAddr, Acceptor, Handshakes) {
    let (listener, address) = listen().await;
    let (ready, streams) = mpsc::unbounded_channel();
    let handshakes = Handshakes::default();
    let counts = handshakes.clone();
    let task = tokio::spawn(async move {
        let tls = TlsAcceptor::from(config);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => {
                    stream.set_nodelay(true).ok();
                    under_way.spawn(tls.accept(stream));
                }
                Some(handshake) = under_way.join_next() => {
                    // A client that gives up, or does not trust us, is no concern of the others.
                    if let Ok(Ok(stream)) = handshake {
                        counts.count(stream.get_ref().1.handshake_kind());
                        let stream: Box<dyn Duplex> = Box::new(stream);
                        ready.send(stream).ok();
                    }
                }
            }
        }
    });
    (address, Acceptor::new(streams, Some(task.abort_handle())), handshakes)
}
