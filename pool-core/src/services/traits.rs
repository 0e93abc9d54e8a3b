//! What tower knows these services as. tonic knows any such service as a transport.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::load::Load;
use tower_service::Service;

use super::any::PoolService;
use super::future::ResponseFuture;
use super::to::ToAddress;
use crate::connector::Connector;
use crate::exchange::Body;
use crate::report::Error;
use crate::request::BoxError;

impl<C, B> Service<Request<B>> for ToAddress<C>
where
    C: Connector,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_turn(cx).map(Ok)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.http(request)
    }
}

/// Requests under way and waiting at the address; `tower::load::PeakEwma` measures latency instead.
impl<C: Connector> Load for ToAddress<C> {
    type Metric = usize;

    fn load(&self) -> usize {
        Self::load(self)
    }
}

impl<C, B> Service<Request<B>> for PoolService<C>
where
    C: Connector,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        self.http(request)
    }
}
