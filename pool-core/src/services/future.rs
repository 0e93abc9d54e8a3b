//! A request on its way, with all that it needs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};

use crate::connector::Connector;
use crate::exchange::{self, Body, PendingRequest};
use crate::lanes::Position;
use crate::pool::Pool;
use crate::report::Error;
use crate::request::RequestBody;

/// The response to a request that a service has been called with; from [`ToAddress::http`](crate::ToAddress::http).
///
/// It holds the pool, and borrows nothing. Nothing is sent before it is polled.
///
/// # Cancel safety
///
/// As [`Pool::http`].
#[must_use = "nothing is sent before it is polled"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Sent> + Send>>);

type Sent = Result<Response<Body>, Error>;

impl ResponseFuture {
    pub(super) fn new<C: Connector>(
        pool: Pool<C>,
        address: impl AsRef<C::Address> + Send + Sync + 'static,
        request: Request<RequestBody>,
        position: Option<Position>,
    ) -> Self {
        let pending = PendingRequest::new(request);
        Self(Box::pin(async move {
            exchange::send(pool.hosts(), address.as_ref(), pending, position).await
        }))
    }

    /// For a request that goes nowhere.
    #[cfg(feature = "tower")]
    pub(super) fn refused<C: Connector>(
        pool: Pool<C>,
        request: Request<RequestBody>,
        error: Error,
    ) -> Self {
        let mut pending = PendingRequest::new(request);
        Self(Box::pin(async move { Err(exchange::fail(pool.hosts(), None, &mut pending, error)) }))
    }
}

impl Future for ResponseFuture {
    type Output = Sent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
