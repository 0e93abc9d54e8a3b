//! One function and the pool behind it.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{Request, Response};
use pool_core::{Body, Error, Pool};
use pool_tcp::TcpConnector;

static POOL: LazyLock<Pool<TcpConnector>> = LazyLock::new(|| Pool::new(TcpConnector::new()));

/// Sends a request to `address` over the default pool and waits for the head of its response.
///
/// See [`Pool::http`] for what happens on the way. The request body is any body of [`Bytes`]; the connection is checked
/// in by itself when the response body has ended or was dropped.
///
/// The pool is one for the whole process and works from any number of tokio runtimes, one after the
/// other or at once: a connection is lent only to requests of the runtime that opened it, and closes with
/// that runtime.
///
/// # Errors
///
/// An [`Error`] that names the step and the address, such as
/// `connecting to 127.0.0.1:1: connection refused`. A request whose URI is `https` is refused: a gateway that ends TLS
/// builds a [`Pool`] with `https_over_cleartext`.
///
/// # Cancel safety
///
/// The future can be dropped at any await. A connection that had begun to carry the request closes.
///
/// # Examples
///
/// ```no_run
/// use pooled_fetch::{FullBytes, http};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let request = http::Request::get("/").body(FullBytes::default())?;
/// let response = http("127.0.0.1:8080".parse()?, request).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
pub async fn http<B>(address: SocketAddr, request: Request<B>) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pool().http(&address, request).await
}

/// The pool behind [`http()`], for its numbers, or to share it with code that takes a pool.
///
/// It has the default settings. For others build a [`Pool`] over a [`TcpConnector`].
pub fn pool() -> &'static Pool<TcpConnector> {
    &POOL
}
