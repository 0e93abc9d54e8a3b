//! Request bodies that fail or panic on their way.

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::BodyExt;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Whole, answer, ends_idle, for_each_backend, get, start, start_with,
};
use tokio::sync::oneshot;

for_each_backend! {
    a_request_body_that_panics_in_the_background_closes_its_own_connection_only,
    a_request_body_that_panics_is_never_told_to_have_ended,
    a_request_body_that_fails_after_the_head_came_tells_its_cause,
}

/// No test takes so long.
const LONG: Duration = Duration::from_secs(3600);

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// A body that gives one piece, and fails as it was made to when it is told to.
struct Failing {
    piece: Option<Bytes>,
    told: oneshot::Receiver<()>,
    fail: fn() -> io::Error,
}

impl http_body::Body for Failing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.piece.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        std::task::ready!(Pin::new(&mut self.told).poll(cx)).expect("the test says when");
        Poll::Ready(Some(Err((self.fail)())))
    }
}

/// A request whose body fails so when the sender says so.
fn failing(fail: fn() -> io::Error) -> (oneshot::Sender<()>, Request<Failing>) {
    let (tell, told) = oneshot::channel();
    let body = Failing { piece: Some("begun".into()), told, fail };
    (tell, Request::post("/").body(body).expect("a request"))
}

async fn a_request_body_that_panics_in_the_background_closes_its_own_connection_only(
    backend: Backend,
) {
    let (caller, mut server) = start_with(backend, |settings| settings.drain_limit(8, LONG)).await;
    let lent = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    let (mut idle, _, lent) = server.open(caller.send(get("/")), lent).await;
    let (panic, request) = failing(|| panic!("a mistake of the caller's own"));
    let client = tokio::spawn(caller.fetch(request));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(answer("early")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "early");
    idle.write("idle").await;
    Whole::read(lent).await.expect("a body");

    panic.send(()).expect("the body is still to be sent");
    connection.read_to_end().await;
    let stats = caller.pool.stats();
    assert_eq!((stats.idle, stats.closed(Reason::BodyDropped), stats.closed_total()), (1, 1, 1));
    server.reuse(&mut idle, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// It does so while its response is read, and what is left is then finished in the background.
async fn a_request_body_that_panics_is_never_told_to_have_ended(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.drain_limit(8, LONG)).await;
    let (panic, request) = failing(|| panic!("a mistake of the caller's own"));
    let client = tokio::spawn(caller.send(request));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(HALF).await;
    let response = client.await.expect("no panic").expect("a head");
    panic.send(()).expect("the body is still to be sent");
    let reader = tokio::spawn(Whole::read(response));
    assert!(reader.await.expect_err("the panic goes to the caller").is_panic());

    let sent = connection.read_to_end().await;
    assert!(!sent.ends_with(b"0\r\n\r\n"), "the server takes it for whole: {sent:?}");
    ends_idle(caller).await;
}

async fn a_request_body_that_fails_after_the_head_came_tells_its_cause(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (fail, request) = failing(|| io::Error::other("the disk is gone"));
    let client = tokio::spawn(caller.send(request));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(HALF).await;
    let mut body = client.await.expect("no panic").expect("a response").into_body();
    body.frame().await.expect("a frame").expect("half of it");
    fail.send(()).expect("the body is still to be sent");
    let error = body.frame().await.expect("a frame").expect_err("the other half never comes");
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert!(error.to_string().contains(": the disk is gone ("), "{error}");
    let cause = error.source().and_then(|error| error.source()).expect("the caller's error");
    assert!(cause.is::<io::Error>(), "{cause:?}");
    connection.read_to_end().await;
    assert_eq!(caller.pool.stats().closed(Reason::Failed), 1);
    ends_idle(caller).await;
}
