//! The connector: open the way to the proxy, then ask it for the target.
//!
//! What must hold: what the inner connector knows of its stream (the socket addresses, the question to the kernel) travels up
//! unchanged. Whatever the proxy refuses is held against the address, which is this target through this proxy.

use std::io;
use std::time::Duration;

use pool_core::{
    ConnectOptions, Connected, Connector, Fault, Protocol, Resolving, Target, async_trait,
};
use tokio::time::timeout;

use super::address::{Kind, ProxyAddress};
use super::error::{ProxyError, Step};
use super::handshake::{basic, socks5, tunnel};
use super::stream::ProxyStream;

/// Opens streams through proxies, which it reaches by another connector: by [`TcpConnector`](crate::TcpConnector), by one of
/// TLS for a proxy behind TLS, or by itself for a proxy behind another.
///
/// The proxy is part of the [`ProxyAddress`], so one pool serves many of them. For TLS to the target stands `TlsConnector`
/// over this one: it shakes hands through the tunnel, by the name in its own address, and may agree upon HTTP/2 there. With
/// the proxy itself HTTP/1 or SOCKS5 is spoken.
///
/// A dial that fails says which step has failed, and how the proxy has answered: a [`ProxyError`] lies in its error. A
/// proxy's refusal is held against the address, as one of the target itself is, because through this proxy, with these
/// credentials, it cannot be reached; what keeps the proxy itself from being reached is judged by the inner connector. The
/// connect timeout of the pool covers all steps. The bytes of the target that come with the answer of the proxy are not lost.
///
/// Of the answers to CONNECT only 200 opens a tunnel, as hyper-util sees it, and an answer of more than 8 KiB does not. A
/// proxy that forwards requests answers for its targets: what it says is the response.
///
/// # Examples
///
/// ```no_run
/// use std::net::SocketAddr;
///
/// use pool_core::Pool;
/// use pool_tcp::{Proxy, ProxyAddress, ProxyConnector, TcpConnector};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = Pool::new(ProxyConnector::new(TcpConnector::new()));
/// let proxy: SocketAddr = "192.0.2.1:1080".parse()?;
/// let proxy = Proxy::socks5(proxy).with_credentials("user", "word");
/// let address = ProxyAddress::new(proxy, "example.org", 80)?;
/// let response = pool.http(&address, http::Request::get("/").body(String::new())?).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProxyConnector<C> {
    inner: C,
    handshake_timeout: Option<Duration>,
}

impl<C> ProxyConnector<C> {
    /// Through proxies that `inner` reaches.
    pub fn new(inner: C) -> Self {
        Self { inner, handshake_timeout: None }
    }

    /// How long a proxy may take to open a tunnel once it is reached. Defaults to no limit of its own, because the
    /// connect timeout of the pool covers this step too; with one the error names the step.
    #[must_use]
    pub fn with_handshake_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.handshake_timeout = limit.into();
        self
    }

    async fn within<T>(
        &self,
        step: Step,
        handshake: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let Some(limit) = self.handshake_timeout else { return handshake.await };
        timeout(limit, handshake).await.unwrap_or_else(|_| {
            let why = "it has not answered in time";
            Err(ProxyError::refused(step, io::ErrorKind::TimedOut, why))
        })
    }
}

#[async_trait]
impl<C: Connector> Connector for ProxyConnector<C> {
    type Address = ProxyAddress<C::Address>;
    type Stream = ProxyStream<C::Stream>;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        let proxy = address.proxy();
        let (target, credentials) = (address.target_uri(), proxy.credentials());
        // HTTP/2 may be agreed upon with the target, and not with the proxy.
        let options = options.clone().with_http2(false);
        let connected = self.inner.connect(proxy.address(), &options).await;
        let connected = connected.map_err(|error| ProxyError::caused(Step::Reach, error))?;
        if connected.protocol != Protocol::Http1 {
            let why = "HTTP/2 was negotiated with it, and it is spoken to over HTTP/1";
            return Err(ProxyError::refused(Step::Reach, io::ErrorKind::Unsupported, why));
        }
        if connected.is_forwarded() {
            let why = "it lies behind one that only forwards requests";
            return Err(ProxyError::refused(Step::Reach, io::ErrorKind::Unsupported, why));
        }
        let (stream, mut rest) = connected.take_stream();
        // What is known of the proxy, such as its certificate, is not of the target.
        rest.extensions = http::Extensions::new();
        let stream = match proxy.kind() {
            Kind::Forward => {
                let authorization =
                    credentials.map(|known| basic(known, Step::Reach)).transpose()?;
                let rest = rest.with_absolute_form(authorization);
                return Ok(rest.map_stream(|()| ProxyStream::new(stream)));
            }
            Kind::Tunnel => self.within(Step::Tunnel, tunnel(stream, target, credentials)).await?,
            Kind::Socks5 => self.within(Step::Socks5, socks5(stream, target, credentials)).await?,
        };
        Ok(rest.map_stream(|()| stream))
    }

    /// Of the proxy, which is what is dialled. Where the target lies is for the proxy to find out.
    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        self.inner.resolve(address.proxy().address())
    }

    fn target(&self, address: &Self::Address) -> Target {
        Target::http(address.target().clone())
    }

    fn fault(&self, error: &io::Error) -> Fault {
        match ProxyError::below(error, Step::Reach) {
            Some(below) => self.inner.fault(below),
            None => Fault::of(error),
        }
    }

    /// The proxy as well, though it may serve other targets: what is kept for it is made anew then.
    fn forget(&self, address: &Self::Address) {
        self.inner.forget(address.proxy().address());
    }
}
