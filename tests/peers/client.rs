//! The pool that asks a server, over one protocol.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Request, Version};
use pool_core::{Connector, Http2, Pool};
use pool_tcp::{TcpConnector, UnixConnector};
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{Authority, Whole};

use crate::real_server::Site;

/// The name that every server here proves.
pub(crate) const NAME: &str = "peer.test";

/// What is spoken with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.0 over TLS, one request for each connection.
    OnceTls,
    Http1Tls,
    Http2Tls,
    H2c,
    /// HTTP/1.1 over a Unix socket.
    Unix,
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnceTls => "TLS HTTP/1.0",
            Self::Http1Tls => "TLS HTTP/1.1",
            Self::Http2Tls => "TLS HTTP/2",
            Self::H2c => "h2c",
            Self::Unix => "Unix HTTP/1.1",
        })
    }
}

impl Speaks {
    fn version(self) -> Version {
        match self {
            Self::OnceTls => Version::HTTP_10,
            Self::Http1Tls | Self::Unix => Version::HTTP_11,
            Self::Http2Tls | Self::H2c => Version::HTTP_2,
        }
    }

    /// Whether many requests share a connection.
    pub(crate) fn is_shared(self) -> bool {
        self.version() == Version::HTTP_2
    }
}

/// A pool of its own for one check, and the server that it asks.
pub(crate) struct Client<C: Connector> {
    pub(crate) pool: Pool<C>,
    pub(crate) address: C::Address,
    pub(crate) speaks: Speaks,
}

impl<C: Connector> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), address: self.address.clone(), speaks: self.speaks }
    }
}

pub(crate) fn in_the_clear(site: &Site) -> Client<TcpConnector> {
    let pool = Pool::builder(TcpConnector::new()).http2(Http2::Assumed).build();
    let pool = pool.expect("settings that make sense");
    Client { pool, address: site.address, speaks: site.speaks }
}

pub(crate) fn over_a_unix_socket(path: PathBuf, speaks: Speaks) -> Client<UnixConnector> {
    Client { pool: Pool::new(UnixConnector::new()), address: path.into(), speaks }
}

pub(crate) fn over_tls(site: &Site, authority: &Authority) -> Client<TlsConnector<TcpConnector>> {
    let connector = TlsConnector::with_roots(TcpConnector::new(), authority.roots());
    let http2 = if site.speaks.is_shared() { Http2::Negotiated } else { Http2::Off };
    let pool = Pool::builder(connector).http2(http2).build().expect("settings that make sense");
    let name = ServerName::try_from(NAME).expect("a valid name");
    let address: TlsAddress<SocketAddr> = TlsAddress::new(site.address, name);
    Client { pool, address, speaks: site.speaks }
}

impl<C: Connector> Client<C> {
    /// Sends a request, reads the response to its end, and looks whether it came over the right protocol.
    pub(crate) async fn fetch<Q>(&self, request: Request<Q>) -> Result<Whole, String>
    where
        Q: http_body::Body<Data = Bytes> + Send + 'static,
        Q::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let response = self.pool.http(&self.address, request).await;
        let whole = Whole::read(response.map_err(|error| error.to_string())?).await;
        let whole = whole.map_err(|error| error.to_string())?;
        if whole.head.version == self.speaks.version() {
            Ok(whole)
        } else {
            Err(format!("answered in {:?}", whole.head.version))
        }
    }
}
