//! Opens TCP connections to socket addresses.

use std::io;
use std::net::SocketAddr;

use http::uri::Authority;
use pool_core::{Connected, Connector, KernelCheck, Target, async_trait};

use crate::stream::TcpStream;

/// Opens plain TCP connections, IPv4 and IPv6, with `TCP_NODELAY` on.
///
/// Without `TCP_NODELAY` the last small segment of a request waits for the acknowledgement of the one
/// before, up to 40 ms on Linux; every client that was compared turns it on.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector {
    _private: (),
}

impl TcpConnector {
    /// A connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Connector for TcpConnector {
    type Address = SocketAddr;
    type Stream = TcpStream;

    async fn connect(&self, address: &SocketAddr) -> io::Result<Connected<TcpStream>> {
        let socket = tokio::net::TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (local, peer) = (socket.local_addr().ok(), socket.peer_addr().ok());
        let check = KernelCheck::new();
        let stream = TcpStream::new(socket, check.clone());
        Ok(Connected::new(stream).with_addresses(local, peer).with_kernel_check(check))
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
