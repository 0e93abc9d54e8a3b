//! gRPC works over the pool: unary and streaming calls, whose status is in the trailers, with a server by tonic.

#[path = "../../pooled-fetch/examples/grpc/call.rs"]
mod call;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream::{self, Iter};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pooled_fetch_tests::{Pattern, bounded, eventually};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, ServerStreamingService, UnaryService};

use crate::grpc::call::Client;

/// Messages as they are: what is in them is no concern of the transport.
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
        "/test.Count/To" => grpc.server_streaming(Count, request).await,
        _ => grpc.unary(Refuse, request).await,
    })
}

/// A server that ends with the test, and how many connections it has taken in, and has seen the end of.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let accepted = Arc::<AtomicUsize>::default();
        let ended = Arc::<AtomicUsize>::default();
        let (count, count_ended) = (Arc::clone(&accepted), Arc::clone(&ended));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let http2 = http2::Builder::new(TokioExecutor::new());
                let ended = Arc::clone(&count_ended);
                connections.spawn(async move {
                    let served = http2.serve_connection(TokioIo::new(stream), service_fn(respond));
                    served.await.ok();
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, accepted, ended, task: task.abort_handle() }
    }

    fn client(&self) -> Client {
        Client::new(self.address).expect("settings that make sense")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
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
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
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
        let error = server.client().unary("/test.Other/Ask", "").await.expect_err("refused");
        assert_eq!((error.code, &error.message[..]), (5, "nothing%20here"));
        let client = server.client();
        drop(server);
        // The first may meet the connection while it ends, which is no proof; the calls after it meet a closed door.
        while client.unary("/test.Echo/Say", "").await.map_err(|error| error.code) != Err(14) {}
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_messages_comes_in_order_and_ends_with_its_status() {
    bounded(async {
        let server = Server::start().await;
        let client = server.client();
        for (end, expected) in [(0_u32, 0), (1_000, 1_000), (1_001, 1_000)] {
            let message = Bytes::copy_from_slice(&end.to_be_bytes());
            let mut messages = client.streaming("/test.Count/To", message).await.expect("a head");
            for number in 0..expected {
                let message = messages.next().await.expect("no failure yet").expect("a message");
                assert_eq!(message, number.to_string());
            }
            match messages.next().await {
                Ok(message) => assert!(end == expected && message.is_none()),
                Err(error) => assert!(end > expected && error.code == 11, "{error}"),
            }
        }
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
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
                let message = Bytes::copy_from_slice(&1_000_u32.to_be_bytes());
                let mut counted =
                    client.streaming("/test.Count/To", message).await.expect("a head");
                let first = counted.next().await.expect("no failure").expect("a message");
                assert_eq!(first, "0");
                drop(counted);
                let said = client.unary("/test.Echo/Say", number.to_string()).await;
                assert_eq!(said.expect("an answer"), number.to_string());
            });
        }
        while let Some(call) = calls.join_next().await {
            call.expect("no panic");
        }
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
        eventually("all streams end", || client.pool().stats().streams == 0).await;
    })
    .await;
}
