//! What tonic's clients take as their transport.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::MapErr;
use pool_core::{Body, Connector, Error, ResponseFuture, ToAddress, deadline};
use tokio::time::Instant;
use tonic::Status;
use tower_service::Service;

use super::status::grpc_status;
use super::timeout::grpc_timeout;

/// The transport of a tonic client: gRPC to one address of a pool, with the feature `tonic`.
///
/// Calls share the connections of the pool, and what holds for its requests holds for them. A call that was proven
/// unprocessed goes out again by itself, as the table of [`Pool::http`](crate::Pool::http) has it: a server that restarts
/// with GOAWAY fails none.
///
/// # Errors
///
/// Each failure is the [`Status`] that [`grpc_status`] makes of it, also while a response streams.
///
/// # Deadlines
///
/// The time that a call has ([`tonic::Request::set_timeout`], the field `grpc-timeout`) is the
/// [`deadline`](pool_core::deadline()) of its request here, until the end of the response, and goes on to the server. When it is over the call is
/// [`DeadlineExceeded`](tonic::Code::DeadlineExceeded), and its stream is reset.
///
/// # Examples
///
/// ```
/// use pooled_fetch::{BuildError, GrpcChannel, Http2, Pool, TcpConnector};
/// use tonic::client::Grpc;
///
/// # fn client() -> Result<Grpc<GrpcChannel<TcpConnector>>, Box<dyn std::error::Error>> {
/// // In the clear nothing is negotiated, so HTTP/2 is assumed; over TLS it is chosen by itself.
/// let pool = Pool::builder(TcpConnector::new()).http2(Http2::Assumed).build()?;
/// let channel = GrpcChannel::new(pool.to("127.0.0.1:50051".parse()?));
/// // A generated client takes it likewise: `GreeterClient::new(channel)`.
/// let client = Grpc::new(channel);
/// # Ok(client) }
/// ```
pub struct GrpcChannel<C: Connector>(ToAddress<C>);

/// The body of a response, whose errors are statuses.
pub type GrpcBody = MapErr<Body, fn(Error) -> Status>;

/// The response to a call; from [`GrpcChannel`].
#[derive(Debug)]
#[must_use = "nothing is sent before it is polled"]
pub struct GrpcFuture(ResponseFuture);

impl<C: Connector> GrpcChannel<C> {
    /// gRPC to the address of a service.
    pub fn new(service: ToAddress<C>) -> Self {
        Self(service)
    }
}

impl<C, B> Service<Request<B>> for GrpcChannel<C>
where
    C: Connector,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<GrpcBody>;
    type Error = Status;
    type Future = GrpcFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Service::<Request<B>>::poll_ready(&mut self.0, cx).map_err(grpc_status)
    }

    fn call(&mut self, mut request: Request<B>) -> GrpcFuture {
        // A time too long for the clock is never over.
        let end = grpc_timeout(request.headers()).and_then(|left| Instant::now().checked_add(left));
        if let Some(end) = end {
            deadline(&mut request, end);
        }
        GrpcFuture(self.0.http(request))
    }
}

impl Future for GrpcFuture {
    type Output = Result<Response<GrpcBody>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let to_status: fn(Error) -> Status = grpc_status;
        let sent = Pin::new(&mut self.0).poll(cx);
        sent.map_ok(|response| response.map(|body| body.map_err(to_status))).map_err(to_status)
    }
}

impl<C: Connector> Clone for GrpcChannel<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Connector> fmt::Debug for GrpcChannel<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrpcChannel").field(&self.0).finish()
    }
}
