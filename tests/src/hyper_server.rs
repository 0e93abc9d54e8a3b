//! A site: a server by hyper, in either version of HTTP, that answers by the path.
//!
//! | path | is answered with |
//! | --- | --- |
//! | `/bytes/N` | the first `N` bytes of the pattern |
//! | `/echo` | the content and the trailers of the request |
//! | `/early` | 413 at once, whatever may still come |
//! | `/endless` | content without an end |
//! | `/trailers` | a few bytes, and trailers |
//! | `/held` | its path, once the gate is open |
//! | any other | its path |

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::{Acceptor, Duplex, Pattern, Pieces};

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// A running site. Dropping it ends it, and closes its door.
pub struct HyperServer {
    state: Arc<State>,
    task: AbortHandle,
}

struct State {
    accepted: AtomicUsize,
    served: Mutex<Vec<(usize, String)>>,
    gate: watch::Sender<bool>,
    held: watch::Sender<usize>,
    leave: Notify,
}

impl HyperServer {
    /// Serves what `acceptor` lets in, over HTTP/2 with so many streams at once.
    pub fn start(mut acceptor: Acceptor, version: Version, streams: u32) -> Self {
        let state = Arc::new(State {
            accepted: AtomicUsize::new(0),
            served: Mutex::default(),
            gate: watch::Sender::new(true),
            held: watch::Sender::new(0),
            leave: Notify::new(),
        });
        let seen = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(stream) = acceptor.accept().await {
                connections.spawn(serve(stream, version, streams, Arc::clone(&seen)));
            }
            while connections.join_next().await.is_some() {}
        });
        Self { state, task: task.abort_handle() }
    }

    /// How many connections were taken in.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Which connection served which path, in order.
    pub fn served(&self) -> Vec<(usize, String)> {
        self.state.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Holds up what asks for `/held` from now on.
    pub fn close_gate(&self) {
        self.state.gate.send_replace(false);
    }

    /// Answers what was held up.
    pub fn open_gate(&self) {
        self.state.gate.send_replace(true);
    }

    /// Waits until so many requests are held up.
    pub async fn until_held(&self, requests: usize) {
        let mut held = self.state.held.subscribe();
        let reached = held.wait_for(|now| *now == requests).await;
        assert!(reached.is_ok(), "the sender is borrowed, so it lives");
    }

    /// Has every connection there is end politely, with what is under way.
    pub fn leave(&self) {
        self.state.leave.notify_waiters();
    }
}

impl Drop for HyperServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for HyperServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperServer").field("accepted", &self.accepted()).finish_non_exhaustive()
    }
}

/// Polls a connection to its end, and has it leave when it is told to.
macro_rules! to_its_end {
    ($connection:expr, $state:expr) => {{
        let mut connection = std::pin::pin!($connection);
        let mut leave = std::pin::pin!($state.leave.notified());
        leave.as_mut().enable();
        tokio::select! {
            // A client that goes without a farewell is no concern of the others.
            end = connection.as_mut() => drop(end),
            () = leave => {
                connection.as_mut().graceful_shutdown();
                connection.await.ok();
            }
        }
    }};
}

async fn serve(stream: Box<dyn Duplex>, version: Version, streams: u32, state: Arc<State>) {
    let number = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    let stream = TokioIo::new(stream);
    let service = {
        let state = Arc::clone(&state);
        service_fn(move |request| respond(request, number, Arc::clone(&state)))
    };
    if version == Version::HTTP_2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(streams);
        to_its_end!(builder.serve_connection(stream, service), state);
    } else {
        to_its_end!(http1::Builder::new().serve_connection(stream, service), state);
    }
}

async fn respond(
    request: Request<Incoming>,
    connection: usize,
    state: Arc<State>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let entry = (connection, path.clone());
    state.served.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    if path == "/held" {
        hold(&state).await;
    }
    let announced = request.headers().get(TRAILER).cloned();
    let is_head = *request.method() == Method::HEAD;
    let mut answer = Response::new(match path.strip_prefix("/bytes/") {
        Some(length) => full(Pattern::bytes(length.parse().expect("a number"))),
        None => match &path[..] {
            "/echo" => request.into_body().boxed_unsync(),
            "/early" => full("enough"),
            "/endless" => Endless.map_err(|never| match never {}).boxed_unsync(),
            "/trailers" => with_trailers("before them"),
            _ => full(path.clone()),
        },
    });
    if path == "/early" {
        *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    // Over HTTP/1 hyper sends only those that were announced.
    if let Some(announced) = announced {
        answer.headers_mut().insert(TRAILER, announced);
    }
    if is_head {
        // Over HTTP/2 hyper would send the content as well.
        let length = answer.body().size_hint().exact().expect("content of a known length");
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
        *answer.body_mut() = full("");
    }
    Ok(answer)
}

/// Waits for the gate; a request that is given up meanwhile is held no longer.
async fn hold(state: &State) {
    struct Held<'s>(&'s State);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.held.send_modify(|held| *held -= 1);
        }
    }
    state.held.send_modify(|held| *held += 1);
    let _held = Held(state);
    let mut gate = state.gate.subscribe();
    assert!(gate.wait_for(|open| *open).await.is_ok(), "the sender is borrowed, so it lives");
}

fn full(content: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, hyper::Error> {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

fn with_trailers(content: &'static str) -> UnsyncBoxBody<Bytes, hyper::Error> {
    let trailers = async {
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", HeaderValue::from_static("good"));
        Some(Ok(trailers))
    };
    Pieces::new([content]).with_trailers(trailers).map_err(|never| match never {}).boxed_unsync()
}

/// Content without an end.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 16 * 1024] = [b'.'; 16 * 1024];
        std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))))
    }
}
