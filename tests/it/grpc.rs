//! gRPC works over the pool, with tonic on both sides: calls of every kind, whose failures have the codes of gRPC.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, Iter, Stream};
use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pooled_fetch::{Error, GrpcChannel, Http2, Pool, TcpConnector};
use pooled_fetch_tests::{Pattern, bounded, eventually};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Code, Status, Streaming};

/// What says "fail" cannot be encoded. All else is as it is: what is in a message is no concern of the transport.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        if message == "fail" {
            return Err(Status::data_loss("nothing to send"));
        }
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// Sends back what it is sent.
struct Echo;

impl UnaryService<Bytes> for Echo {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

/// Sends back each message as it comes.
struct EchoEach;

impl StreamingService<Bytes> for EchoEach {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

/// Says how much time its caller has.
struct Left;

impl UnaryService<Bytes> for Left {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let left = request.metadata().get("grpc-timeout").map(|left| left.as_bytes().to_vec());
        ready(Ok(tonic::Response::new(left.unwrap_or_default().into())))
    }
}

/// Refuses to say anything.
struct Refuse;

impl UnaryService<Bytes> for Refuse {
    type Response = Bytes;
    type Future = Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, _: tonic::Request<Bytes>) -> Self::Future {
        ready(Err(Status::not_found("nothing here")))
    }
}

/// Counts to the number that it is sent; to more than a thousand it gets only so far.
struct Count;

impl ServerStreamingService<Bytes> for Count {
    type Response = Bytes;
    type ResponseStream = Iter<std::vec::IntoIter<Result<Bytes, Status>>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let end: u32 = request.into_inner().get_u32();
        let mut numbers: Vec<_> =
            (0..end.min(1_000)).map(|number| Ok(Bytes::from(number.to_string()))).collect();
        if end > 1_000 {
            numbers.push(Err(Status::out_of_range("too far")));
        }
        ready(Ok(tonic::Response::new(stream::iter(numbers))))
    }
}

async fn respond(request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let mut grpc = Grpc::new(Raw);
    Ok(match request.uri().path() {
        "/test.Echo/Say" => grpc.unary(Echo, request).await,
        "/test.Echo/Never" => std::future::pending().await,
        "/test.Echo/Left" => grpc.unary(Left, request).await,
        "/test.Echo/Each" => grpc.streaming(EchoEach, request).await,
        "/test.Count/To" => grpc.server_streaming(Count, request).await,
        _ => grpc.unary(Refuse, request).await,
    })
}

/// A server that ends with the test, and how many connections it has taken in, and has seen the end of.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    /// What the connections that there are have to do.
    orders: watch::Sender<Order>,
    task: AbortHandle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Serve,
    /// Finish what has come, and take nothing more.
    Leave,
    /// Go at once.
    Cut,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (accepted, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (orders, _) = watch::channel(Order::Serve);
        let (count, count_ended, ordered) =
            (Arc::clone(&accepted), Arc::clone(&ended), orders.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (ended, mut orders) = (Arc::clone(&count_ended), ordered.subscribe());
                connections.spawn(async move {
                    let http2 = http2::Builder::new(TokioExecutor::new());
                    let served = http2.serve_connection(TokioIo::new(stream), service_fn(respond));
                    let mut served = std::pin::pin!(served);
                    loop {
                        tokio::select! {
                            _ = &mut served => break,
                            ordered = orders.changed() => match ordered.map(|()| *orders.borrow()) {
                                Ok(Order::Leave) => served.as_mut().graceful_shutdown(),
                                Ok(Order::Cut) | Err(_) => break,
                                Ok(Order::Serve) => {}
                            }
                        }
                    }
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, accepted, ended, orders, task: task.abort_handle() }
    }

    /// Those that come later are served by what comes after the restart.
    fn restart(&self, order: Order) {
        self.orders.send_replace(order);
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn client(&self) -> Client {
        let pool = Pool::builder(TcpConnector::new()).http2(Http2::Assumed).build();
        let pool = pool.expect("settings that make sense");
        let grpc = tonic::client::Grpc::new(GrpcChannel::new(pool.to(self.address)));
        Client { grpc, pool }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Client {
    grpc: tonic::client::Grpc<GrpcChannel<TcpConnector>>,
    pool: Pool<TcpConnector>,
}

impl Client {
    async fn unary(&self, path: &'static str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
        self.ask(path, tonic::Request::new(message.into())).await
    }

    async fn ask(
        &self,
        path: &'static str,
        request: tonic::Request<Bytes>,
    ) -> Result<Bytes, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await?;
        let answer = grpc.unary(request, PathAndQuery::from_static(path), Raw).await?;
        Ok(answer.into_inner())
    }

    async fn count(&self, end: u32) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await?;
        let request = tonic::Request::new(Bytes::copy_from_slice(&end.to_be_bytes()));
        let path = PathAndQuery::from_static("/test.Count/To");
        Ok(grpc.server_streaming(request, path, Raw).await?.into_inner())
    }

    async fn each(
        &self,
        messages: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<Streaming<Bytes>, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await?;
        let path = PathAndQuery::from_static("/test.Echo/Each");
        Ok(grpc.streaming(tonic::Request::new(messages), path, Raw).await?.into_inner())
    }
}

/// Whether the pool proves that no server has acted upon the call.
fn is_unprocessed(status: &Status) -> bool {
    let error = status.source().and_then(|source| source.downcast_ref::<Error>());
    error.expect("the pool's own").evidence().is_unprocessed()
}

#[tokio::test]
async fn a_unary_call_brings_its_message_and_its_status() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        for length in [0, 1, 64 * 1024, 1024 * 1024] {
            let message = Pattern::bytes(length);
            let answer = client.unary("/test.Echo/Say", message).await.expect("an answer");
            assert_eq!(answer.len(), length);
            Pattern::new().check(&answer);
        }
        assert_eq!(server.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_hundred_calls_that_are_cancelled_in_a_row_end_no_connection() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        for _ in 0..100 {
            let call = client.unary("/test.Echo/Never", "");
            timeout(Duration::from_millis(2), call).await.expect_err("it is never answered");
        }
        let answer = client.unary("/test.Echo/Say", "alive").await.expect("an answer");
        assert_eq!(answer, "alive");
        assert_eq!(server.ended.load(Ordering::SeqCst), 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_fails_says_why() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        let error = client.unary("/test.Other/Ask", "").await.expect_err("refused");
        assert_eq!((error.code(), error.message()), (Code::NotFound, "nothing here"));
        let error = client.unary("/test.Echo/Say", "fail").await.expect_err("nothing to send");
        // So says tonic itself.
        assert_eq!(error.code(), Code::Internal);
        assert!(error.message().starts_with("Error encoding"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_and_a_stream_that_is_lost_are_unavailable() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        let mut messages = client.each(stream::pending()).await.expect("a head");
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.unary("/test.Echo/Never", "").await }
        });
        eventually("both are under way", || client.pool.stats().streams == 2).await;
        let refusing = server.address;
        drop(server);
        let lost = call.await.expect("no panic").expect_err("lost");
        assert_eq!((lost.code(), is_unprocessed(&lost)), (Code::Unavailable, false), "{lost}");
        let lost = messages.message().await.expect_err("lost");
        assert_eq!(lost.code(), Code::Unavailable, "{lost}");
        let refused = loop {
            let refused = client.unary("/test.Echo/Say", "").await.expect_err("nobody listens");
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
            if is_unprocessed(&refused) {
                break refused;
            }
        };
        assert!(refused.message().contains(&refusing.to_string()), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn the_time_of_a_call_goes_to_the_server_and_is_its_deadline_here() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        let within = |time| {
            let mut request = tonic::Request::new(Bytes::new());
            request.set_timeout(time);
            request
        };
        let left = client.ask("/test.Echo/Left", within(Duration::from_secs(60))).await;
        assert_eq!(left.expect("an answer"), "60000000u");
        let never = client.ask("/test.Echo/Never", within(Duration::from_millis(20))).await;
        assert_eq!(never.expect_err("over").code(), Code::DeadlineExceeded);
        let mut grpc = client.grpc.clone();
        let mut request = tonic::Request::new(stream::pending::<Bytes>());
        request.set_timeout(Duration::from_millis(50));
        let path = PathAndQuery::from_static("/test.Echo/Each");
        let mut answers = grpc.streaming(request, path, Raw).await.expect("a head").into_inner();
        let over = answers.message().await.expect_err("over while it streams");
        assert_eq!(over.code(), Code::DeadlineExceeded, "{over}");
        assert_eq!(server.ended.load(Ordering::SeqCst), 0, "only the streams have ended");
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_messages_comes_in_order_and_ends_with_its_status() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        for (end, expected) in [(0_u32, 0), (1_000, 1_000), (1_001, 1_000)] {
            let mut messages = client.count(end).await.expect("a head");
            for number in 0..expected {
                let message = messages.message().await.expect("no failure yet").expect("a message");
                assert_eq!(message, number.to_string());
            }
            match messages.message().await {
                Ok(message) => assert!(end == expected && message.is_none()),
                Err(error) => {
                    assert!(end > expected && error.code() == Code::OutOfRange, "{error}");
                }
            }
        }
        assert_eq!(server.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn messages_go_both_ways_at_once() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        let (say, said) = mpsc::channel::<Bytes>(1);
        let said = stream::unfold(said, async |mut said| Some((said.recv().await?, said)));
        let mut answers = client.each(said).await.expect("a head");
        for number in 0..100 {
            say.send(number.to_string().into()).await.expect("the call goes on");
            let answer = answers.message().await.expect("no failure").expect("a message");
            assert_eq!(answer, number.to_string());
        }
        drop(say);
        assert_eq!(answers.message().await.expect("no failure"), None);
    })
    .await;
}

#[tokio::test]
async fn calls_at_once_share_a_connection_and_those_given_up_hurt_no_other() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        let mut calls = JoinSet::new();
        for number in 0..100_u32 {
            let client = client.clone();
            calls.spawn(async move {
                let mut counted = client.count(1_000).await.expect("a head");
                let first = counted.message().await.expect("no failure").expect("a message");
                assert_eq!(first, "0");
                drop(counted);
                let said = client.unary("/test.Echo/Say", number.to_string()).await;
                assert_eq!(said.expect("an answer"), number.to_string());
            });
        }
        while let Some(call) = calls.join_next().await {
            call.expect("no panic");
        }
        assert_eq!(server.accepted(), 1);
        eventually("all streams end", || client.pool.stats().streams == 0).await;
    })
    .await;
}

/// Sixteen callers call on while the server restarts ten times; gives what has failed.
async fn restarts(order: Order) -> Vec<Status> {
    let server = Server::start().await;
    let client = server.client();
    let (stop, stopped) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (client, stopped) = (client.clone(), stopped.clone());
        callers.spawn(async move {
            let mut failed = Vec::new();
            while !*stopped.borrow() {
                failed.extend(client.unary("/test.Echo/Say", "a").await.err());
            }
            failed
        });
    }
    for restart in 1..=10 {
        let before = client.pool.stats().requests;
        eventually("calls go on", || client.pool.stats().requests > before + 100).await;
        server.restart(order);
        let ended = || server.ended.load(Ordering::SeqCst) >= restart;
        eventually("a connection has ended", ended).await;
    }
    stop.send_replace(true);
    let mut failed = Vec::new();
    while let Some(caller) = callers.join_next().await {
        failed.extend(caller.expect("no panic"));
    }
    failed
}

#[tokio::test]
async fn a_server_that_restarts_with_a_word_fails_no_call() {
    bounded(async {
        let failed = restarts(Order::Leave).await;
        assert!(failed.is_empty(), "{failed:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_restarts_without_a_word_fails_no_call_that_it_has_not_processed() {
    bounded(async {
        for failed in restarts(Order::Cut).await {
            assert_eq!((failed.code(), is_unprocessed(&failed)), (Code::Unavailable, false));
        }
    })
    .await;
}
