//! The same over TLS.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{Request, Response};
use pool_core::{Body, Error, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};

static POOL: LazyLock<Pool<TlsConnector<TcpConnector>>> =
    LazyLock::new(|| Pool::new(TlsConnector::new(TcpConnector::new())));

/// As [`http()`](crate::http()), over TLS: the server at `address` must prove to be `server_name`.
///
/// Mozilla's roots are trusted, and HTTP/2 is spoken where the server chooses it; the version of the response tells.
///
/// # Errors
///
/// An [`Error`] that names the step and the address, such as `connecting to example.org (192.0.2.1:443): TLS
/// handshake with example.org: invalid peer certificate: Expired`.
///
/// # Cancel safety
///
/// As [`http()`](crate::http()); over HTTP/2 only the stream of the request is reset.
///
/// # Examples
///
/// ```no_run
/// use pooled_fetch::{FullBytes, https, pool_tls::ServerName};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let request = http::Request::get("/").body(FullBytes::default())?;
/// let name = ServerName::try_from("example.org")?;
/// let response = https("192.0.2.1:443".parse()?, name, request).await?;
/// println!("{} in {:?}", response.status(), response.version());
/// # Ok(()) }
/// ```
pub async fn https<B>(
    address: SocketAddr,
    server_name: ServerName<'static>,
    request: Request<B>,
) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    tls_pool().http(&TlsAddress::new(address, server_name), request).await
}

/// The pool behind [`https()`].
pub fn tls_pool() -> &'static Pool<TlsConnector<TcpConnector>> {
    &POOL
}
