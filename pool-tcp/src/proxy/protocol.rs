//! The PROXY protocol: a header at the head of a connection tells the server whom the connection is for.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use pool_core::{ConnectOptions, Connected, Connector, Fault, Resolving, Target, async_trait};
use ppp::{v1, v2};
use tokio::io::AsyncWriteExt;

use super::error::{ProxyError, Step};

/// How the header of the PROXY protocol is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyProtocolVersion {
    /// As a line of text.
    V1,
    /// In binary, which is shorter.
    V2,
}

/// An address of the inner connector, and the header that a server there gets first.
///
/// The header is part of the identity: whom a server believes to serve makes two connections different, so that no
/// client's requests go over a connection of another.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
///
/// use pool_tcp::{ProxyProtocolAddress, ProxyProtocolVersion};
///
/// let [server, client]: [SocketAddr; 2] = ["192.0.2.1:80".parse()?, "198.51.100.7:5000".parse()?];
/// let address = ProxyProtocolAddress::new(server, ProxyProtocolVersion::V2, client, server);
/// assert_eq!(format!("{address:?}"), "192.0.2.1:80 (PROXY v2 for 198.51.100.7:5000 to 192.0.2.1:80)");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyProtocolAddress<A> {
    inner: A,
    version: ProxyProtocolVersion,
    /// The client, and what it had connected to; none if the connection is the proxy's own.
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl<A> ProxyProtocolAddress<A> {
    /// For a client at `source` that had connected to `destination`.
    ///
    /// Where one is an IPv4 address and the other is not, it is written as an IPv6 address that stands for it.
    pub fn new(
        inner: A,
        version: ProxyProtocolVersion,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        Self { inner, version, ends: Some((source, destination)) }
    }

    /// For nobody but the proxy itself, as a health check: `LOCAL` in version 2, `UNKNOWN` in version 1.
    pub fn local(inner: A, version: ProxyProtocolVersion) -> Self {
        Self { inner, version, ends: None }
    }

    /// The address of the inner connector.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    fn header(&self) -> io::Result<Vec<u8>> {
        let ends = self.ends.map(of_one_family);
        match self.version {
            ProxyProtocolVersion::V1 => {
                let ends = ends.map_or(v1::Addresses::Unknown, v1::Addresses::from);
                Ok(ends.to_string().into_bytes())
            }
            ProxyProtocolVersion::V2 => match ends {
                Some(ends) => {
                    let command = v2::Version::Two | v2::Command::Proxy;
                    v2::Builder::with_addresses(command, v2::Protocol::Stream, ends).build()
                }
                None => {
                    let family = v2::AddressFamily::Unspecified | v2::Protocol::Unspecified;
                    v2::Builder::new(v2::Version::Two | v2::Command::Local, family).build()
                }
            },
        }
    }
}

/// A header knows one family for both ends.
fn of_one_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(source), mapped(destination))
}

impl<A: fmt::Debug> fmt::Debug for ProxyProtocolAddress<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            ProxyProtocolVersion::V1 => "v1",
            ProxyProtocolVersion::V2 => "v2",
        };
        write!(f, "{:?} (PROXY {version}", self.inner)?;
        match self.ends {
            Some((source, destination)) => write!(f, " for {source} to {destination})"),
            None => f.write_str(")"),
        }
    }
}

/// Opens streams of another connector, and writes a header of the PROXY protocol before anything else.
///
/// For servers that expect one, such as haproxy with `accept-proxy` and nginx with `proxy_protocol`; any other takes it for
/// a bad request. For TLS to the server stands `TlsConnector` over this one, because the header goes before the
/// handshake.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProxyProtocolConnector<C> {
    inner: C,
}

impl<C> ProxyProtocolConnector<C> {
    /// Over the streams of `inner`.
    pub fn new(inner: C) -> Self {
        Self { inner }
    }
}

#[async_trait]
impl<C: Connector> Connector for ProxyProtocolConnector<C> {
    type Address = ProxyProtocolAddress<C::Address>;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        let header = address.header()?;
        let mut connected = self.inner.connect(&address.inner, options).await?;
        if connected.is_forwarded() {
            let why = "the server lies behind a proxy that only forwards requests";
            return Err(ProxyError::refused(Step::Header, io::ErrorKind::Unsupported, why));
        }
        let written = async {
            connected.stream.write_all(&header).await?;
            connected.stream.flush().await
        };
        written.await.map_err(|error| ProxyError::caused(Step::Header, error))?;
        Ok(connected)
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        self.inner.resolve(&address.inner)
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(&address.inner)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(ProxyError::below(error, Step::Header).unwrap_or(error))
    }

    /// The inner address as well, though other clients may use it: what is kept for it is made anew then.
    fn forget(&self, address: &Self::Address) {
        self.inner.forget(&address.inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProxyProtocolVersion::{V1, V2};

    fn header(version: ProxyProtocolVersion, source: &str, destination: &str) -> Vec<u8> {
        let [source, destination] = [source, destination].map(|end| end.parse().unwrap());
        ProxyProtocolAddress::new((), version, source, destination).header().unwrap()
    }

    #[test]
    fn version_1_is_a_line() {
        for (source, destination, line) in [
            ("192.0.2.1:1", "192.0.2.2:80", "PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n"),
            ("[2001:db8::1]:1", "[2001:db8::2]:80", "PROXY TCP6 2001:db8::1 2001:db8::2 1 80\r\n"),
            ("192.0.2.1:1", "[2001:db8::2]:80", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 80\r\n"),
        ] {
            assert_eq!(header(V1, source, destination), line.as_bytes());
        }
        let local = ProxyProtocolAddress::local((), V1).header().unwrap();
        assert_eq!(local, b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2_is_binary() {
        const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        let four = header(V2, "192.0.2.1:1", "192.0.2.2:80");
        let ends = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 80];
        assert_eq!(four, [SIGNATURE, &[0x21, 0x11, 0, 12], &ends].concat());
        let six = header(V2, "[2001:db8::1]:1", "192.0.2.2:80");
        assert_eq!(six[..16], [SIGNATURE, &[0x21, 0x21, 0, 36]].concat());
        assert_eq!(six.len(), 16 + 36);
        let local = ProxyProtocolAddress::local((), V2).header().unwrap();
        assert_eq!(local, [SIGNATURE, &[0x20, 0x00, 0, 0]].concat());
    }
}
