//! 1xx answers reach the caller that asks for them, and a body that waits for one; they never go on for ever.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use pool_core::{ErrorKind, on_informational};
use pooled_fetch_tests::{
    Backend, Feed, answer, bounded, ends_idle, feed, for_each_backend, get, start, start_with,
};
use tokio::time::{Instant, advance};

for_each_backend! {
    interim_answers_reach_the_caller_that_asks_for_them,
    interim_answers_without_end_are_an_error,
    many_interim_answers_are_none,
    a_body_is_held_back_until_the_server_wants_it,
    a_streaming_body_is_not_even_asked_before_the_server_wants_it,
    a_final_answer_spares_the_body,
    an_empty_body_has_nothing_to_wait_for,
}

/// A time that no test reaches.
const LONG: Duration = Duration::from_secs(3600);

async fn interim_answers_reach_the_caller_that_asks_for_them(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let told = Arc::<Mutex<Vec<_>>>::default();
    let log = Arc::clone(&told);
    let mut request = get("/");
    on_informational(&mut request, move |status, headers| {
        let links =
            headers.get_all("link").iter().map(|link| link.to_str().expect("text").to_owned());
        log.lock()
            .expect("no thread panicked with it")
            .push((status.as_u16(), links.collect::<Vec<_>>()));
    });
    let client = tokio::spawn(caller.fetch(request));
    let mut connection = server.accept().await;
    connection.read_request().await;
    connection.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n").await;
    connection.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    connection.write(answer("final")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "final");
    let links = vec!["</a>".to_owned(), "</b>".to_owned()];
    assert_eq!(*told.lock().expect("no thread panicked with it"), [(103, links), (100, vec![])]);

    // The next request over the connection has not asked.
    let bytes = [b"HTTP/1.1 103 Early Hints\r\n\r\n", &*answer("next")].concat();
    server.reuse(&mut connection, caller.fetch(get("/")), bytes).await;
    assert_eq!(told.lock().expect("no thread panicked with it").len(), 2);
    ends_idle(caller).await;
}

async fn interim_answers_without_end_are_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    while connection.try_write("HTTP/1.1 102 Processing\r\n\r\n".repeat(100)).await.is_ok() {}
    let error = client.await.expect("no panic").expect_err("no final answer");
    assert_eq!(error.kind(), ErrorKind::EndlessInformational);
    let told = format!(
        "waiting for the response of {:?}: 1xx answers without end, beyond the 417792 bytes of \
         max_response_head \
         (request 1 of a fresh connection, written, something read)",
        caller.address
    );
    assert_eq!(error.to_string(), told);
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn many_interim_answers_are_none(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    for _ in 0..10_000 {
        connection.write("HTTP/1.1 102 Processing\r\n\r\n").await;
    }
    connection.write(answer("final")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "final");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// A POST whose body waits for a `100`.
fn expecting<Q>(body: Q) -> Request<Q> {
    Request::post("/").header("expect", "100-continue").body(body).expect("a request")
}

async fn a_body_is_held_back_until_the_server_wants_it(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.expect_continue_timeout(LONG)).await;
    let client = tokio::spawn(caller.fetch(expecting(Full::from("wanted"))));
    let mut connection = server.accept().await;
    let head = connection.read_head().await;
    assert_eq!(head.header("content-length"), Some("6"));
    let before = caller.watch.written();
    connection.write("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(connection.read_exactly(6).await, "wanted");
    assert_eq!(caller.watch.written(), before + 6, "nothing came with the head");
    connection.write(answer("thanks")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "thanks");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// A body that knows whether it was asked for anything.
struct Asked {
    body: Feed,
    asked: Arc<AtomicBool>,
}

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.asked.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

async fn a_streaming_body_is_not_even_asked_before_the_server_wants_it(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.expect_continue_timeout(LONG)).await;
    let (upload, body) = feed();
    let asked = Arc::<AtomicBool>::default();
    let request = expecting(Asked { body, asked: Arc::clone(&asked) });
    let client = tokio::spawn(caller.fetch(request));
    let mut connection = server.accept().await;
    connection.read_head().await;
    upload.send("ready".into()).expect("a body that listens");
    // What is not the word that the body waits for is not taken for it.
    connection.write("HTTP/1.1 102 Processing\r\n\r\n").await;
    assert!(!asked.load(Ordering::Acquire));
    connection.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    drop(upload);
    assert_eq!(connection.read_exactly(15).await, "5\r\nready\r\n0\r\n\r\n");
    connection.write(answer("thanks")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "thanks");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

const REFUSAL: &str = "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno";

async fn a_final_answer_spares_the_body(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.expect_continue_timeout(LONG)).await;
    let client = tokio::spawn(caller.fetch(expecting(Full::from("unwanted"))));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(REFUSAL).await;
    let whole = client.await.expect("no panic").expect("a response");
    assert_eq!((whole.head.status.as_u16(), &*whole.body), (417, b"no".as_slice()));
    // The server waits for the body that was announced, so the next request must not go here.
    server.open(caller.fetch(get("/")), answer("next")).await;
    connection.ends().await;
    ends_idle(caller).await;
}

async fn an_empty_body_has_nothing_to_wait_for(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.expect_continue_timeout(LONG)).await;
    let client = caller.fetch(expecting(Full::<Bytes>::default()));
    let (mut connection, ..) = server.open(client, answer("first")).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_goes_out_after_a_while_though_the_server_keeps_silent() {
    bounded(async {
        for wait in [Duration::ZERO, Duration::from_secs(1), LONG] {
            let (caller, mut server) = start_with(Backend::Memory, |settings| {
                // One second is the default.
                if wait.as_secs() == 1 { settings } else { settings.expect_continue_timeout(wait) }
            })
            .await;
            let client = tokio::spawn(caller.fetch(expecting(Full::from("at last"))));
            let mut connection = server.accept().await;
            connection.read_head().await;
            let start = Instant::now();
            assert_eq!(connection.read_exactly(7).await, "at last");
            let waited = start.elapsed();
            assert!(waited <= wait + Duration::from_millis(2), "{waited:?}");
            assert!(waited >= wait, "{waited:?}");
            // A 100 that comes late means nothing any more.
            let late = [b"HTTP/1.1 100 Continue\r\n\r\n", &*answer("thanks")].concat();
            connection.write(late).await;
            assert_eq!(client.await.expect("no panic").expect("a response").body, "thanks");
            server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
            ends_idle(caller).await;
        }
    })
    .await;
}

/// The watcher has all the time in the world to save the connection; it must not do so with a body that the
/// server has refused.
#[tokio::test(start_paused = true)]
async fn a_body_that_was_refused_is_not_sent_after_a_while() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.drain_limit(1024, LONG)).await;
        let client = tokio::spawn(caller.fetch(expecting(Full::from("unwanted"))));
        let mut connection = server.accept().await;
        connection.read_head().await;
        connection.write(REFUSAL).await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "no");
        connection.ends().await;
        ends_idle(caller).await;
    })
    .await;
}

/// The head of the refusal is there, its body takes longer than the request body would wait.
#[tokio::test(start_paused = true)]
async fn a_body_that_was_refused_is_not_sent_while_the_refusal_is_read() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let client = tokio::spawn(caller.send(expecting(Full::from("unwanted"))));
        let mut connection = server.accept().await;
        connection.read_head().await;
        connection.write(&REFUSAL[..REFUSAL.len() - 1]).await;
        let mut body = client.await.expect("no panic").expect("a response").into_body();
        body.frame().await.expect("a frame").expect("the first byte");
        let rest = async {
            tokio::task::yield_now().await;
            advance(Duration::from_secs(5)).await;
            tokio::task::yield_now().await;
            connection.write("o").await;
        };
        let (frame, ()) = tokio::join!(body.frame(), rest);
        frame.expect("a frame").expect("the second byte");
        drop(body);
        connection.ends().await;
        ends_idle(caller).await;
    })
    .await;
}
