//! The pool: checkout, send, and what happens when the connection turns out to be stale.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::body::Body;
use crate::builder::Builder;
use crate::connector::{Connector, Target};
use crate::dial::Dialer;
use crate::error::Error;
use crate::head;
use crate::hosts::Hosts;
use crate::informational;
use crate::lane::Lane;
use crate::lease::{Lease, Needs, Outcome};
use crate::queue::Ticket;
use crate::request_body::{BoxError, RequestBody};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stats::{Reason, Stats};
use crate::waiting::NoPlace;

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
    connector: Arc<C>,
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
        Self { inner: Arc::new(Inner { connector: Arc::new(connector), hosts }) }
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
        let needs = fit(&mut request, self.hosts().settings(), || self.target(address))
            .map_err(|why| Error::invalid_request(&name(address), why))?;
        self.inner.exchange(address, &mut Some(request), &needs).await
    }

    pub(crate) async fn checkout(&self, address: &C::Address) -> Result<Lease, Error> {
        // What it will carry is not known yet; hyper sends to an HTTP/1.0 server what it can.
        let needs = &Needs::default();
        match self.inner.take_idle(address, needs)? {
            Some(lease) => Ok(lease),
            None => self.inner.wait(address, needs, true).await,
        }
    }

    pub(crate) fn target(&self, address: &C::Address) -> Target {
        self.inner.connector.target(address)
    }

    pub(crate) fn lane(&self, address: &C::Address) -> Result<Arc<Lane>, Error> {
        self.inner.lane(address)
    }

    pub(crate) fn hosts(&self) -> &Hosts<C::Address> {
        &self.inner.hosts
    }

    /// What the pool has done and what it holds.
    pub fn stats(&self) -> Stats {
        self.inner.hosts.stats()
    }

    /// The part of [`stats`](Self::stats) that concerns one address; none if the pool knows nothing of it.
    pub fn stats_of(&self, address: &C::Address) -> Option<Stats> {
        self.inner.hosts.stats_of(address)
    }
}

impl<C: Connector> Inner<C> {
    /// Ends, because a new connection is never followed by another turn, after [`STALE_TRIES`] turns idle
    /// connections are left alone, and the turns are counted.
    async fn exchange(
        &self,
        address: &C::Address,
        request: &mut Option<Request<RequestBody>>,
        needs: &Needs,
    ) -> Result<Response<Body>, Error> {
        let mut tries = 0;
        loop {
            let trust_idle = tries < STALE_TRIES;
            let idle = if trust_idle { self.take_idle(address, needs)? } else { None };
            let lease = match idle {
                Some(lease) => lease,
                // In a box, so that those who need not wait do not move what waiting takes about.
                None => Box::pin(self.wait(address, needs, trust_idle)).await?,
            };
            let last = lease.connection.is_fresh() || tries >= 2 * STALE_TRIES;
            let host = last.then(|| Arc::clone(&lease.lane.host));
            match (lease.send(request, needs).await, host) {
                (Outcome::Response(response), _) => return Ok(response),
                (Outcome::Failed(error), _) => return Err(error),
                (Outcome::Unsent(error), Some(host)) => {
                    return Err(Error::unsent(&host.name, error));
                }
                (Outcome::Unsent(_), None) => {}
            }
            tries += 1;
        }
    }

    /// The newest idle connection that can carry the request.
    fn take_idle(&self, address: &C::Address, needs: &Needs) -> Result<Option<Lease>, Error> {
        let lane = self.lane(address)?;
        let now = Instant::now();
        while let Some(lease) = lane.checkout(now) {
            if lease.can_carry(needs) {
                return Ok(Some(lease));
            }
            lease.discard(Reason::Unsuitable);
        }
        Ok(None)
    }

    /// Whatever comes first, a returned connection or a new one.
    async fn wait(
        &self,
        address: &C::Address,
        needs: &Needs,
        trust_idle: bool,
    ) -> Result<Lease, Error> {
        let now = Instant::now();
        loop {
            let (lane, ticket) = self.queue_up(address, now, trust_idle)?;
            let lease = answer(&lane, now, ticket).await?;
            if lease.can_carry(needs) {
                return Ok(lease);
            }
            lease.discard(Reason::Unsuitable);
        }
    }

    /// Joins the queue of the address.
    fn queue_up(
        &self,
        address: &C::Address,
        now: Instant,
        trust_idle: bool,
    ) -> Result<(Arc<Lane>, Ticket), Error> {
        // A watcher may retire between the look-up and here, and then the lane is no good; two in a row
        // go only where the runtime itself has shut down.
        for _ in 0..2 {
            let lane = self.lane(address)?;
            if let Some(ticket) = join(&lane, now, trust_idle)? {
                return Ok((lane, ticket));
            }
        }
        Err(Error::runtime_gone(&name(address)))
    }

    fn lane(&self, address: &C::Address) -> Result<Arc<Lane>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(&name(address)))?;
        let lane = self.hosts.lane(address, &runtime, || Dialer::boxed(&self.connector, address));
        lane.is_refused().map_or(Ok(lane), Err)
    }
}

/// Makes a request fit for a connection, or says why it cannot be.
pub(crate) fn fit(
    request: &mut Request<RequestBody>,
    settings: &Settings,
    target: impl FnOnce() -> Target,
) -> Result<Needs, &'static str> {
    let told = head::prepare(request, target)?;
    let patience = settings.expect_continue_timeout;
    let gate = informational::connect(request, told.expects_continue, patience);
    Ok(Needs { chunked: request.body().exact_len().is_none(), upgrade: told.upgrade, gate })
}

/// Joins the queue of a lane; none if its watcher has gone.
pub(crate) fn join(
    lane: &Arc<Lane>,
    now: Instant,
    trust_idle: bool,
) -> Result<Option<Ticket>, Error> {
    let ticket = match lane.enqueue(now, trust_idle) {
        Ok(ticket) => ticket,
        Err(NoPlace::QueueFull) => return Err(Error::queue_full(&lane.host.name)),
        Err(NoPlace::WatcherGone) => return Ok(None),
    };
    // Whoever closes or retires answers all who wait afterwards, and this looks after joining.
    lane.is_refused().map_or(Ok(Some(ticket)), Err)
}

/// Waits for a place in the queue to be served, as long as the checkout timeout allows.
pub(crate) async fn answer(lane: &Lane, since: Instant, ticket: Ticket) -> Result<Lease, Error> {
    let name = &lane.host.name;
    let limit = lane.shared().settings.checkout_timeout;
    let answer = match limit.and_then(|limit| Some((limit, since.checked_add(limit)?))) {
        None => ticket.await,
        Some((limit, end)) => {
            timeout_at(end, ticket).await.map_err(|_| Error::checkout_timeout(name, limit))?
        }
    };
    let mut lease = answer.unwrap_or_else(|| Err(Error::closed(name)))?;
    lease.connection.note_queue_time(since.elapsed());
    Ok(lease)
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
