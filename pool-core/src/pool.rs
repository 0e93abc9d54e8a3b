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
use crate::connector::Connector;
use crate::dial::Dialer;
use crate::error::Error;
use crate::hosts::Hosts;
use crate::http2::Http2;
use crate::lane::Lane;
use crate::lent::Lent;
use crate::message::Message;
use crate::queue::{Ticket, Wants};
use crate::request;
use crate::request_body::{BoxError, RequestBody};
use crate::settings::Settings;
use crate::shared::Shared;
use crate::stats::{Reason, Stats};
use crate::waiting::NoPlace;

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

pub(crate) struct Inner<C: Connector> {
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

    pub(crate) fn with_settings(mut connector: C, settings: Settings) -> Self {
        if settings.http2 == Http2::Off {
            connector.never_negotiate_http2();
        }
        let hosts = Arc::new(Hosts::new(Arc::new(Shared::new(settings))));
        Self { inner: Arc::new(Inner { connector: Arc::new(connector), hosts }) }
    }

    /// Sends a request to `address` and waits for the head of its response.
    ///
    /// The request goes over the connection that came home last, if one is idle and proves to be alive,
    /// else over a new one. [`reuse`](crate::reuse()) limits it to connections of a kind.
    ///
    /// A request without `Host` gets one; an absolute URI is written in origin form. The connection goes
    /// home by itself when the response body has ended or was dropped.
    ///
    /// # What is sent again
    ///
    /// A server may close an idle connection at the moment when a request is on its way. Then the request is
    /// sent again, over another connection:
    ///
    /// | the request failed | is it sent again? |
    /// | --- | --- |
    /// | and cannot be had again: its body streams and was begun | no |
    /// | because an HTTP/2 server refused it unprocessed, on any connection | yes, whatever its method |
    /// | on a fresh connection | no: a server that fails would fail again |
    /// | on a reused connection that accepted no byte of it | yes, whatever its method |
    /// | on a reused connection, before anything was read, and it is idempotent or carries an `Idempotency-Key` | yes, within the budget |
    /// | in any other way | no: nobody knows what the server did |
    ///
    /// Idempotent are GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110 9.2.2). `Full`, `Empty`, strings and
    /// [`ReplayableBody`](crate::ReplayableBody) can be had again. After two attempts over reused connections
    /// the third is over a fresh one, and final. The budget is that of Envoy: for each address a fifth of its
    /// requests, saved up to a thousand, and three at once whatever came before. The rule is Go's.
    ///
    /// # Errors
    ///
    /// An [`Error`] that names the step and the address, with [evidence](Error::evidence) of how far the request
    /// had come, and with the request itself if it is [proven unsent](Error::into_request). A request that
    /// contradicts itself is refused before anything is sent.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await. A connection that had begun to carry the request closes.
    pub fn http<'a, B>(
        &'a self,
        address: &'a C::Address,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // Here and not in the future, which so need not hold the caller's type as well.
        request::request(&self.inner, address, Message::new(request.map(RequestBody::new)))
    }

    pub(crate) async fn checkout(&self, address: &C::Address) -> Result<Lent, Error> {
        // What it will carry is not known yet; hyper sends to an HTTP/1.0 server what it can.
        match take_idle(self.lane(address)?, |_| true) {
            Some(lent) => Ok(lent),
            None => self.inner.wait(address, Wants::Any, |_| true).await,
        }
    }

    /// The lane for a request that comes to `address`.
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
    /// Whatever comes first of what is wanted, a returned connection or a new one.
    pub(crate) async fn wait(
        &self,
        address: &C::Address,
        wants: Wants,
        suits: impl Fn(&Lent) -> bool,
    ) -> Result<Lent, Error> {
        let now = Instant::now();
        loop {
            let (lane, ticket) = self.queue_up(address, now, wants)?;
            let lent = answer(&lane, now, ticket).await?;
            if suits(&lent) {
                return Ok(lent);
            }
            lent.discard(Reason::Unsuitable);
        }
    }

    /// Joins the queue of the address.
    fn queue_up(
        &self,
        address: &C::Address,
        now: Instant,
        wants: Wants,
    ) -> Result<(Arc<Lane>, Ticket), Error> {
        // A watcher may retire between the look-up and here, and then the lane is no good; two in a row
        // go only where the runtime itself has shut down.
        for _ in 0..2 {
            let lane = self.lane(address)?;
            if let Some(ticket) = join(&lane, now, wants)? {
                return Ok((lane, ticket));
            }
        }
        Err(Error::runtime_gone(&name(address)))
    }

    /// The lane of `address` for a request that comes to it.
    pub(crate) fn lane(&self, address: &C::Address) -> Result<Arc<Lane>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(&name(address)))?;
        let lane = self.hosts.lane(address, &runtime, || {
            Dialer::boxed(&self.connector, address, self.hosts.settings().http2)
        });
        match lane.refusal() {
            None => Ok(lane),
            Some(error) => Err(error),
        }
    }
}

/// The newest idle connection that suits. It keeps the lane, which saves a clone for each request.
pub(crate) fn take_idle(mut lane: Arc<Lane>, suits: impl Fn(&Lent) -> bool) -> Option<Lent> {
    let now = Instant::now();
    loop {
        let lent = lane.checkout(now)?;
        if suits(&lent) {
            return Some(lent);
        }
        lane = Arc::clone(lent.lane());
        lent.discard(Reason::Unsuitable);
    }
}

/// Joins the queue of a lane; none if its watcher has gone.
pub(crate) fn join(lane: &Arc<Lane>, now: Instant, wants: Wants) -> Result<Option<Ticket>, Error> {
    let ticket = match lane.enqueue(now, wants) {
        Ok(ticket) => ticket,
        Err(NoPlace::BackingOff(pause)) => return Err(Error::backing_off(&lane.host.name, pause)),
        Err(NoPlace::QueueFull) => return Err(Error::queue_full(&lane.host.name)),
        Err(NoPlace::WatcherGone) => return Ok(None),
    };
    // Whoever closes answers all who wait afterwards, whoever drains waits for them, and this looks after joining.
    lane.refusal().map_or(Ok(Some(ticket)), Err)
}

/// Waits for a place in the queue to be served, as long as the checkout timeout allows.
pub(crate) async fn answer(lane: &Lane, since: Instant, ticket: Ticket) -> Result<Lent, Error> {
    let name = &lane.host.name;
    let limit = lane.shared().settings.checkout_timeout;
    let answer = match limit.and_then(|limit| Some((limit, since.checked_add(limit)?))) {
        None => ticket.await,
        Some((limit, end)) => {
            timeout_at(end, ticket).await.map_err(|_| Error::checkout_timeout(name, limit))?
        }
    };
    let mut lent = answer.unwrap_or_else(|| Err(Error::closed(name)))?;
    lent.note_queue_time(since.elapsed());
    Ok(lent)
}

/// An address as errors tell it.
pub(crate) fn name(address: &impl fmt::Debug) -> Arc<str> {
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
