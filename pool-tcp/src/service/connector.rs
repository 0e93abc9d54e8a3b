//! A service that opens connections to URIs, as a connector.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use http::uri::Scheme;
use http::{Extensions, Uri};
use hyper::rt;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use pool_core::{
    ConnectOptions, Connected, Connector, Fault, KernelCheck, Protocol, Target, async_trait,
};
use tower_service::Service;

use super::address::{ServiceAddress, UriAddress};
use super::socket::{LendSocket, LentSocket};
use super::stream::{Lend, ServiceStream};
use crate::runtime::{self, NoIo};

/// Opens connections with any connector of the hyper-util family: a `tower_service::Service` of [`Uri`] whose streams are
/// [`Connection`]s, such as hyper-util's `HttpConnector`, hyper-rustls' `HttpsConnector`, those over hickory's resolver, and
/// hyperlocal's for Unix sockets. For proxies there is `ProxyConnector`: hyper-util's `Tunnel` and `SocksV5` lose
/// what a server says at once after their handshake.
///
/// A user timeout that is set on hyper-util's connector holds during uploads too; that of `TcpConnector` does not.
///
/// What the service says of a connection holds here: its addresses, whether HTTP/2 was negotiated, and whether it ends at a
/// proxy that forwards requests, which are then in absolute form, as with hyper-util's client. A connection to an `https`
/// address is never taken for one: its proxy must have opened a tunnel.
///
/// Where the pool wants no HTTP/2, because it is off or a request needs HTTP/1 (a WebSocket), it says so to its
/// connector, and a service has no ear for that: if it negotiates HTTP/2 all the same, the dial fails, with an error that
/// says so. [`with_http1_service`](Self::with_http1_service) gives it one for such dials.
///
/// An error of the service is passed on with its chain of causes, in which the code of the system says on whose side a
/// connect has failed. The connect timeout of the pool covers all that the service does.
///
/// # Examples
///
/// ```no_run
/// use hyper_util::client::legacy::connect::HttpConnector;
/// use pool_core::Pool;
/// use pool_tcp::{ServiceConnector, UriAddress};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = Pool::new(ServiceConnector::new(HttpConnector::new()));
/// let address: UriAddress = "http://example.org".parse()?;
/// let response = pool.http(&address, http::Request::get("/").body(String::new())?).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
pub struct ServiceConnector<S: Service<Uri>, A = UriAddress> {
    service: S,
    http1: Option<S>,
    lend: Lend<S::Response>,
    offers_http2: bool,
    /// The streams are sockets of tokio, which need its I/O driver.
    needs_io: bool,
    address: PhantomData<fn(&A)>,
}

impl<S: Service<Uri>> ServiceConnector<S> {
    /// Over a service whose streams are known to lie on sockets of tokio.
    ///
    /// The kernel is asked about these before a connection is used again, so no request meets one that its server has just
    /// closed; [`LendSocket`] names the streams.
    pub fn new(service: S) -> Self
    where
        S::Response: LendSocket + 'static,
    {
        let connector = Self::lending(service, LendSocket::lend);
        Self { needs_io: true, ..connector }
    }

    /// Over a service of any other kind. `lend` gives the socket below a stream, as far as there is one.
    ///
    /// Without one the pool believes the runtime, whose word is as old as its last look at the system: now and then a
    /// request then meets a connection that its server has just closed, and one that must not be sent twice fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Uri;
    /// use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
    /// use hyper_util::rt::TokioIo;
    /// use pool_tcp::{LentSocket, ServiceConnector};
    ///
    /// let connector = ServiceConnector::lending(HttpConnector::new(), |stream: &TokioIo<tokio::net::TcpStream>| {
    ///     Some(LentSocket::plain(stream.inner()))
    /// });
    /// # drop(pool_core::Pool::new(connector));
    /// ```
    pub fn lending<F>(service: S, lend: F) -> Self
    where
        F: Fn(&S::Response) -> Option<LentSocket<'_>> + Send + Sync + 'static,
    {
        Self {
            service,
            http1: None,
            lend: Arc::new(lend),
            offers_http2: true,
            needs_io: false,
            address: PhantomData,
        }
    }
}

impl<S: Service<Uri>, A> ServiceConnector<S, A> {
    /// The same for addresses of the caller's own. Defaults to [`UriAddress`].
    pub fn with_addresses<B: ServiceAddress>(self) -> ServiceConnector<S, B> {
        let Self { service, http1, lend, offers_http2, needs_io, address: _ } = self;
        ServiceConnector { service, http1, lend, offers_http2, needs_io, address: PhantomData }
    }

    /// Whether the service may negotiate HTTP/2. Defaults to true, because a pool that does not expect it opens more
    /// connections than it needs.
    ///
    /// Say no for a service that does not offer it: else the pool waits for the first connection to an `https` address
    /// before it opens more, because that one may serve all who wait.
    #[must_use]
    pub fn offers_http2(mut self, offers: bool) -> Self {
        self.offers_http2 = offers;
        self
    }

    /// Has `service` open the connections over which no HTTP/2 is wanted: one that does not offer it. Defaults to the same
    /// service for all, which is right where that never negotiates HTTP/2.
    #[must_use]
    pub fn with_http1_service(mut self, service: S) -> Self {
        self.http1 = Some(service);
        self
    }
}

impl<S: Service<Uri> + Clone, A> Clone for ServiceConnector<S, A> {
    fn clone(&self) -> Self {
        let Self { service, http1, lend, offers_http2, needs_io, address } = self;
        Self {
            service: service.clone(),
            http1: http1.clone(),
            lend: Arc::clone(lend),
            offers_http2: *offers_http2,
            needs_io: *needs_io,
            address: *address,
        }
    }
}

impl<S: Service<Uri>, A> fmt::Debug for ServiceConnector<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a service shows may be the credentials for a proxy.
        f.debug_struct("ServiceConnector").finish_non_exhaustive()
    }
}

#[async_trait]
impl<S, A> Connector for ServiceConnector<S, A>
where
    S: Service<Uri> + Clone + Send + Sync + 'static,
    S::Response: rt::Read + rt::Write + Connection + Unpin + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    A: ServiceAddress,
{
    type Address = A;
    type Stream = ServiceStream<S::Response>;

    async fn connect(
        &self,
        address: &A,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        if self.needs_io {
            runtime::check()?;
        }
        let mut service = match &self.http1 {
            Some(service) if !options.http2 => service.clone(),
            _ => self.service.clone(),
        };
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
        let stream = service.call(address.uri()).await.map_err(failed)?;
        let facts = stream.connected();
        let mut extras = Extensions::new();
        facts.get_extras(&mut extras);
        let info = extras.get::<HttpInfo>();
        let addresses = (info.map(HttpInfo::local_addr), info.map(HttpInfo::remote_addr));
        let check = (self.lend)(&stream).map(|_lent| KernelCheck::new());
        let kernel_check = check.clone();
        let (lend, check) = (Arc::clone(&self.lend), check.unwrap_or_default());
        let stream = ServiceStream::new(stream, lend, check, facts.is_negotiated_h2());
        let mut connected = Connected::new(stream).with_addresses(addresses.0, addresses.1);
        if let Some(check) = kernel_check {
            connected = connected.with_kernel_check(check);
        }
        if facts.is_negotiated_h2() {
            connected = connected.with_protocol(Protocol::Http2);
        } else if facts.is_proxied() && address.target().scheme != Scheme::HTTPS {
            connected = connected.with_absolute_form(None);
        }
        Ok(connected)
    }

    fn target(&self, address: &A) -> Target {
        let target = address.target();
        let negotiates = target.negotiates_http2 && self.offers_http2;
        target.with_http2(negotiates)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        if NoIo::is_in(error) { Fault::Runtime } else { Fault::of(error) }
    }
}

/// An error of the system stays what it is, and any other is of the kind of that within.
fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    let error = match error.into().downcast::<io::Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    let mut kind = io::ErrorKind::Other;
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            kind = error.kind();
            break;
        }
        cause = error.source();
    }
    io::Error::new(kind, error)
}
