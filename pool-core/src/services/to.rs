//! Requests to one address.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::Body as HttpBody;

use super::future::ResponseFuture;
use crate::connector::Connector;
use crate::lanes::Position;
use crate::pool::Pool;
use crate::request::{BoxError, RequestBody};

/// Sends requests to one address; from [`Pool::to`].
///
/// With the feature `tower` it is a `tower_service::Service`, a `tower::load::Load`, and so what a balancer takes; and a
/// `tonic::client::GrpcService`.
///
/// # When it is ready
///
/// When a request would be served at once, or next: over an idle connection or a free stream, by a dial that is under way, or
/// by one for which the limits leave room; or all requests that wait at the address have come later. Without a
/// limit on connections it is always ready, except while the address [fails](crate::Backoff): then it is when the next dial is due, so
/// that a balancer goes elsewhere. Otherwise it stands in line with the others, first come, first served, and counts in
/// [`Stats::waiting`](crate::Stats::waiting). It is never an error: what is wrong with the address or the pool is told to the request.
///
/// When its turn has come it counts as one request until it is called, or dropped, or 10 ms are over; a service that is
/// held ready for longer, as balancers do, keeps nothing from others. No connection and no permit is kept for it. A request that has to
/// wait nevertheless comes before all that have waited for less long, the time in line included, and is not refused by
/// [`max_waiters_per_address`](crate::Builder::max_waiters_per_address).
///
/// A clone is not ready: it stands in line for itself. A request that is sent without waiting for readiness joins the queue as any other.
pub struct ToAddress<C: Connector> {
    pool: Pool<C>,
    address: Shared<C::Address>,
    position: Option<Position>,
}

/// One address for all futures.
pub(super) struct Shared<A>(Arc<A>);

impl<A> AsRef<A> for Shared<A> {
    fn as_ref(&self) -> &A {
        &self.0
    }
}

impl<C: Connector> Pool<C> {
    /// Sends requests to one address, by futures that own what they need; with back-pressure.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool_core::{Connector, Pool};
    /// # use http_body_util::Empty;
    /// # fn spawn<C: Connector>(pool: &Pool<C>, address: C::Address) -> Result<(), http::Error> {
    /// let mut set = tokio::task::JoinSet::new();
    /// let request = http::Request::get("/").body(Empty::new())?;
    /// set.spawn(pool.to(address).http(request));
    /// # Ok(()) }
    /// ```
    pub fn to(&self, address: C::Address) -> ToAddress<C> {
        ToAddress { pool: self.clone(), address: Shared(Arc::new(address)), position: None }
    }
}

impl<C: Connector> ToAddress<C> {
    /// Where the requests go.
    pub fn address(&self) -> &C::Address {
        self.address.as_ref()
    }

    /// How many requests to the address are under way or wait, whoever sends them. A response is under way until its body has
    /// ended.
    pub fn load(&self) -> usize {
        self.pool.hosts().load_of(self.address())
    }

    /// Waits until a request would be served at once, or next.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any await. The position in line is kept until the service is called or dropped.
    pub async fn turn(&mut self) {
        poll_fn(|cx| self.poll_turn(cx)).await;
    }

    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pool.hosts().poll_turn(self.address.as_ref(), &mut self.position, cx)
    }

    /// Sends a request, as [`Pool::http`]. The future can be spawned.
    pub fn http<B>(&mut self, request: Request<B>) -> ResponseFuture
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let address = Shared(Arc::clone(&self.address.0));
        let request = request.map(RequestBody::new);
        ResponseFuture::new(self.pool.clone(), address, request, self.position.take())
    }
}

impl<C: Connector> Clone for ToAddress<C> {
    fn clone(&self) -> Self {
        let address = Shared(Arc::clone(&self.address.0));
        Self { pool: self.pool.clone(), address, position: None }
    }
}

impl<C: Connector> fmt::Debug for ToAddress<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToAddress").field("address", self.address()).finish_non_exhaustive()
    }
}
