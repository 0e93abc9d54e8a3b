//! Opens TCP connections to socket addresses.

use std::io;
use std::net::SocketAddr;

use http::uri::Authority;
use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};

use crate::builder::Builder;
use crate::keep_alive::KeepAlive;
use crate::runtime::{self, NoIo};
use crate::stream::TcpStream;
use crate::user_timeout::UserTimeout;

/// Opens plain TCP connections, IPv4 and IPv6, with `TCP_NODELAY` on, and with the kernel looking for dead peers.
///
/// Without `TCP_NODELAY` the last small segment of a request waits for the acknowledgement of the one
/// before, up to 40 ms on Linux; every client that was compared turns it on. The other options are those of the
/// [`Builder`].
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector {
    options: Options,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) keep_alive: KeepAlive,
    pub(crate) user_timeout: UserTimeout,
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
        Self { options }
    }
}

#[async_trait]
impl Connector for TcpConnector {
    type Address = SocketAddr;
    type Stream = TcpStream;

    async fn connect(
        &self,
        address: &SocketAddr,
        _: &ConnectOptions,
    ) -> io::Result<Connected<TcpStream>> {
        runtime::check()?;
        let socket = tokio::net::TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let local = socket.local_addr().ok();
        // The kernel is asked only where it may have put another address in place of this one.
        let peer =
            if address.ip().is_unspecified() { socket.peer_addr().ok() } else { Some(*address) };
        let Options { keep_alive, user_timeout } = self.options;
        keep_alive.apply(&socket);
        user_timeout.apply(&socket);
        let (stream, check) = TcpStream::new(socket, user_timeout);
        Ok(Connected::new(stream).with_addresses(local, peer).with_kernel_check(check))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        if NoIo::is_in(error) { Fault::Runtime } else { Fault::of(error) }
    }

    /// The address itself, without a zone, which is of this machine alone.
    fn target(&self, address: &SocketAddr) -> Target {
        let without_zone = SocketAddr::new(address.ip(), address.port());
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
            let target = TcpConnector::new().target(&address.parse().unwrap());
            assert_eq!(target.host(), host);
        }
    }
}
