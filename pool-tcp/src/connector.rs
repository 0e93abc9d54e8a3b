//! Opens TCP connections to socket addresses.

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use http::uri::Authority;
use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};

use crate::address::{Peer, TcpAddress};
use crate::builder::Builder;
use crate::connect::connect;
use crate::options::Options;
use crate::runtime::{self, NoIo};
use crate::step::Step;
use crate::stream::TcpStream;

/// Opens plain TCP connections, IPv4 and IPv6, with `TCP_NODELAY` on, and with the kernel looking for dead peers.
///
/// Without `TCP_NODELAY` the last small segment of a request waits for the acknowledgement of the one
/// before, up to 40 ms on Linux; every client that was compared turns it on. The other options are those of the
/// [`Builder`].
///
/// An address is a [`SocketAddr`], or, for a connector that is [`routed`](Self::routed), a [`TcpAddress`].
#[derive(Debug)]
pub struct TcpConnector<A = SocketAddr> {
    options: Arc<Options>,
    addresses: PhantomData<fn(A)>,
}

impl TcpConnector {
    /// A connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets up a connector with options of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use pool_tcp::TcpConnector;
    ///
    /// let patient = TcpConnector::builder()
    ///     .keep_alive(Duration::from_secs(60))
    ///     .user_timeout(None)
    ///     .build();
    /// # drop(pool_core::Pool::new(patient));
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_options(options: Options) -> Self {
        Self { options: Arc::new(options), addresses: PhantomData }
    }

    pub(crate) fn opens_fast(&self) -> bool {
        self.options.fast_open
    }

    /// The same connector for addresses that say by which way their peer is reached.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool_tcp::{TcpAddress, TcpConnector};
    ///
    /// let pool = pool_core::Pool::new(TcpConnector::new().routed());
    /// # drop(async move {
    /// let one = TcpAddress::new("192.0.2.1:80".parse()?).with_source("198.51.100.7".parse()?);
    /// let response = pool.http(&one, http::Request::get("/").body(String::new())?).await?;
    /// # drop(response);
    /// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    /// # });
    /// ```
    pub fn routed(self) -> TcpConnector<TcpAddress> {
        TcpConnector { options: self.options, addresses: PhantomData }
    }
}

impl<A> Clone for TcpConnector<A> {
    fn clone(&self) -> Self {
        Self { options: Arc::clone(&self.options), addresses: PhantomData }
    }
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self::from_options(Options::default())
    }
}

#[async_trait]
impl<A: Peer> Connector for TcpConnector<A> {
    type Address = A;
    type Stream = TcpStream;

    async fn connect(&self, address: &A, _: &ConnectOptions) -> io::Result<Connected<TcpStream>> {
        runtime::check()?;
        let mut peer = address.peer();
        // One of IPv4 in the clothes of IPv6 takes the options of IPv4.
        peer.set_ip(peer.ip().to_canonical());
        let way = address.routed().map(TcpAddress::way);
        let socket = connect(peer, &self.options, way).await?;
        let local = socket.local_addr().ok();
        // The kernel is asked only where it may have put another address in place of this one.
        let peer = if peer.ip().is_unspecified() { socket.peer_addr().ok() } else { Some(peer) };
        self.options.look_after(&socket);
        let (stream, check) = TcpStream::new(socket, self.options.user_timeout);
        Ok(Connected::new(stream).with_addresses(local, peer).with_kernel_check(check))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        match Fault::of(error) {
            _ if NoIo::is_in(error) => Fault::Runtime,
            Fault::Peer if Step::is_of_this_machine(error) => Fault::Machine,
            fault => fault,
        }
    }

    /// The address itself, without a zone, which is of this machine alone.
    fn target(&self, address: &A) -> Target {
        let peer = address.peer();
        let without_zone = SocketAddr::new(peer.ip(), peer.port());
        let authority = Authority::try_from(without_zone.to_string());
        Target::http(authority.unwrap_or_else(|_| Authority::from_static("localhost")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_the_address_without_a_default_port_or_a_zone() {
        for (address, host) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:8080", "[::1]:8080"),
            ("[::1]:80", "[::1]"),
            ("[fe80::1%2]:81", "[fe80::1]:81"),
        ] {
            let target = TcpConnector::new().target(&address.parse::<SocketAddr>().unwrap());
            assert_eq!(target.host(), host);
        }
    }
}
