//! The pool: checkout, send, and what happens when the connection turns out to be stale.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::body::Body;
use crate::builder::{Builder, Settings};
use crate::connection;
use crate::connector::Connector;
use crate::error::Error;
use crate::head;
use crate::host::{Lane, Permit, Shared};
use crate::hosts::Hosts;
use crate::lease::{Lease, Outcome};
use crate::request_body::{BoxError, RequestBody};
use crate::stats::{Reason, Stats};

/// So many stale connections are tried before a request insists on a new one.
const STALE_TRIES: usize = 2;

/// HTTP connections, kept by address and lent to requests.
///
/// A pool is a handle: clones share the same connections, and when the last one drops, all that is idle
/// closes at once and what is lent closes when its response ends.
///
/// One pool may be used from several tokio runtimes. A connection is lent only to requests of the runtime
/// that opened it.
pub struct Pool<C: Connector> {
    inner: Arc<Inner<C>>,
}

struct Inner<C: Connector> {
    connector: C,
    hosts: Arc<Hosts<C::Address>>,
}

impl<C: Connector> Pool<C> {
    /// A pool with the default settings.
    pub fn new(connector: C) -> Self {
        Self::with_settings(connector, Settings::default())
    }

    /// A pool with settings of your own.
    pub fn builder(connector: C) -> Builder<C> {
        Builder::new(connector)
    }

    pub(crate) fn with_settings(connector: C, settings: Settings) -> Self {
        let hosts = Arc::new(Hosts::new(Arc::new(Shared::new(settings))));
        Self { inner: Arc::new(Inner { connector, hosts }) }
    }

    /// Sends a request to `address` and waits for the head of its response.
    ///
    /// The request goes over the connection that came home last, if one is idle and proves to be alive,
    /// else over a new one. A reused connection that turns out closed before the request was written gives
    /// it back, and it is sent again, whatever its method and body. A request that may have reached the
    /// server is never sent twice.
    ///
    /// A request without `Host` gets one; an absolute URI is written in origin form. The connection goes
    /// home by itself when the response body has ended or was dropped.
    ///
    /// # Errors
    ///
    /// An [`Error`] that names the step and the address. A request that contradicts itself is refused
    /// before anything is sent.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await. A connection that had begun to carry the request closes.
    pub async fn http<B>(
        &self,
        address: &C::Address,
        request: Request<B>,
    ) -> Result<Response<Body>, Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut request = request.map(RequestBody::new);
        let authority = || self.inner.connector.target(address).authority;
        head::prepare(&mut request, authority)
            .map_err(|why| Error::invalid_request(&name(address), why))?;
        self.inner.exchange(address, request).await
    }

    /// What the pool has done and what it holds.
    pub fn stats(&self) -> Stats {
        self.inner.hosts.stats()
    }
}

impl<C: Connector> Inner<C> {
    /// Ends, because each turn but the last consumes an idle connection, there are at most
    /// [`STALE_TRIES`] of those, and a new connection is never followed by another turn.
    async fn exchange(
        &self,
        address: &C::Address,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Body>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(&name(address)))?;
        let lane = self.hosts.lane(address, &runtime);
        for _ in 0..STALE_TRIES {
            let Some(lease) = checkout(&lane, &request) else { break };
            match lease.send(request).await {
                Outcome::Response(response) => return Ok(response),
                Outcome::Failed(error) => return Err(error),
                Outcome::Unsent(back, _) => request = back,
            }
        }
        let lease = self.connect(address, lane, &runtime).await?;
        let host = Arc::clone(&lease.lane.host);
        match lease.send(request).await {
            Outcome::Response(response) => Ok(response),
            Outcome::Failed(error) => Err(error),
            Outcome::Unsent(_, error) => Err(Error::exchange(&host.name, error)),
        }
    }

    async fn connect(
        &self,
        address: &C::Address,
        mut lane: Arc<Lane>,
        runtime: &Handle,
    ) -> Result<Lease, Error> {
        let permit = loop {
            match Permit::new(&lane) {
                Some(permit) => break permit,
                // The watcher retired between the look-up and here.
                None => lane = self.hosts.lane(address, runtime),
            }
        };
        let name = Arc::clone(&lane.host.name);
        let connecting = self.connector.connect(address);
        let connected = match lane.host.shared.settings.connect_timeout {
            None => connecting.await,
            Some(limit) => timeout(limit, connecting)
                .await
                .map_err(|_| Error::connect_timeout(&name, limit))?,
        }
        .map_err(|error| Error::connect(&name, error))?;
        let watch = Arc::downgrade(&lane);
        let connection = connection::open(connected, permit, watch)
            .await
            .map_err(|error| Error::handshake(&name, error))?;
        Ok(Lease::new(connection, lane))
    }
}

/// The newest idle connection that can carry the request.
fn checkout(lane: &Arc<Lane>, request: &Request<RequestBody>) -> Option<Lease> {
    let now = Instant::now();
    let chunked = request.body().exact_len().is_none();
    loop {
        let lease = lane.checkout(now)?;
        if !chunked || lease.connection.can_send_chunked() {
            return Some(lease);
        }
        lease.discard(Reason::Unsuitable);
    }
}

fn name(address: &impl fmt::Debug) -> Arc<str> {
    format!("{address:?}").into()
}

impl<C: Connector> Drop for Inner<C> {
    fn drop(&mut self) {
        self.hosts.close();
    }
}

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<C: Connector> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
