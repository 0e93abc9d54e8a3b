//! A connection that becomes something else leaves the pool, and its counts, for good.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http_body_util::{BodyExt, Empty, Full};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use hyper::upgrade::Upgraded;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, Connection, Whole, answer, ends_idle, eventually, for_each_backend, get, post,
    start, start_with,
};

for_each_backend! {
    an_upgrade_gives_the_caller_the_bytes_both_ways,
    a_tunnel_gives_the_caller_the_bytes_both_ways,
    an_upgraded_connection_counts_towards_no_limit,
    an_upgrade_works_on_a_connection_that_has_served,
    an_upgrade_that_the_server_ignores_is_a_request_like_any_other,
    an_upgrade_whose_server_leaves_while_it_is_sent_fails_at_once,
    a_tunnel_that_is_refused_is_a_response_like_any_other,
    an_upgraded_connection_outlives_its_pool,
    a_connection_that_was_to_become_something_else_is_not_passed_on,
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// By all that is between two ends on one machine.
const MORE_THAN_IS_BUFFERED: usize = 32 * 1024 * 1024;

fn upgrade() -> Request<Empty<Bytes>> {
    let request = Request::get("/").header("connection", "upgrade").header("upgrade", "echo");
    request.body(Empty::new()).expect("a request")
}

fn tunnel() -> Request<Empty<Bytes>> {
    Request::connect("site.test:443").body(Empty::new()).expect("a request")
}

async fn read(stream: &mut Upgraded) -> Bytes {
    let mut space = [0; 64];
    let mut buffer = ReadBuf::new(&mut space);
    let read = poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await;
    read.expect("a stream without errors");
    Bytes::copy_from_slice(buffer.filled())
}

async fn write(stream: &mut Upgraded, bytes: &[u8]) {
    let written = poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await;
    assert_eq!(written.expect("a stream without errors"), bytes.len());
    let flushed = poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await;
    flushed.expect("a stream without errors");
}

/// Shows that the two ends are connected by nothing but bytes, and that the end of one is seen by the other.
async fn is_a_stream(mut ours: Upgraded, mut theirs: Connection) {
    for word in ["one", "another"] {
        write(&mut ours, word.as_bytes()).await;
        assert_eq!(theirs.read_exactly(word.len()).await, word);
        theirs.write(word).await;
        assert_eq!(read(&mut ours).await, word);
    }
    drop(ours);
    theirs.ends().await;
}

fn has_left(caller: &Caller) {
    let stats = caller.pool.stats();
    assert_eq!((stats.leased, stats.idle, stats.parked), (0, 0, 0), "{stats:?}");
    assert_eq!(stats.closed(Reason::Upgraded), 1);
    assert_eq!(caller.watch.open(), 1, "left is not closed");
}

async fn an_upgrade_gives_the_caller_the_bytes_both_ways(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    // What the server says at once comes with the head, and is no part of it.
    let bytes = format!("{SWITCH}at once");
    let (connection, request, response) = server.open(caller.send(upgrade()), bytes).await;
    assert_eq!(request.header("upgrade"), Some("echo"));
    assert_eq!(response.status(), 101);
    has_left(&caller);
    let mut stream = hyper::upgrade::on(response).await.expect("a stream");
    assert_eq!(read(&mut stream).await, "at once");
    is_a_stream(stream, connection).await;
    ends_idle(caller).await;
}

async fn a_tunnel_gives_the_caller_the_bytes_both_ways(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let bytes = "HTTP/1.1 200 OK\r\n\r\n";
    let (connection, request, response) = server.open(caller.send(tunnel()), bytes).await;
    assert_eq!(request.line, "CONNECT site.test:443 HTTP/1.1");
    assert_eq!(response.status(), 200);
    has_left(&caller);
    let stream = hyper::upgrade::on(response).await.expect("a stream");
    is_a_stream(stream, connection).await;
    ends_idle(caller).await;
}

async fn an_upgraded_connection_counts_towards_no_limit(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let (connection, _, response) = server.open(caller.send(upgrade()), SWITCH).await;
    server.open(caller.fetch(get("/")), answer("next")).await;
    is_a_stream(hyper::upgrade::on(response).await.expect("a stream"), connection).await;
    ends_idle(caller).await;
}

async fn an_upgrade_works_on_a_connection_that_has_served(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let (_, response) = server.reuse(&mut connection, caller.send(upgrade()), SWITCH).await;
    has_left(&caller);
    is_a_stream(hyper::upgrade::on(response).await.expect("a stream"), connection).await;
    ends_idle(caller).await;
}

async fn an_upgrade_that_the_server_ignores_is_a_request_like_any_other(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (mut connection, _, response) = server.open(caller.send(upgrade()), half).await;
    connection.write("half").await;
    assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
    // hyper keeps more of it than can be taken back.
    connection.ends().await;
    let stats = caller.pool.stats();
    assert_eq!((stats.closed(Reason::Ended), stats.closed(Reason::Upgraded)), (1, 0));
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// hyper has more to write before it shuts the stream down, and no server takes that in.
async fn an_upgrade_whose_server_leaves_while_it_is_sent_fails_at_once(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let request = Request::post("/").header("connection", "upgrade").header("upgrade", "echo");
    let body = Full::new(Bytes::from(vec![0; MORE_THAN_IS_BUFFERED]));
    let client = tokio::spawn(caller.send(request.body(body).expect("a request")));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.finish().await;
    let error = client.await.expect("no panic").expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Response);
    drop(connection);
    ends_idle(caller).await;
}

async fn a_tunnel_that_is_refused_is_a_response_like_any_other(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno";
    let (mut connection, _, response) = server.open(caller.send(tunnel()), refusal).await;
    assert_eq!(response.status(), 407);
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, "no");
    connection.ends().await;
    assert_eq!(caller.pool.stats().closed(Reason::Upgraded), 0);
    ends_idle(caller).await;
}

async fn an_upgraded_connection_outlives_its_pool(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (connection, _, response) = server.open(caller.send(upgrade()), SWITCH).await;
    drop(caller);
    is_a_stream(hyper::upgrade::on(response).await.expect("a stream"), connection).await;
}

async fn a_connection_that_was_to_become_something_else_is_not_passed_on(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let mut upgrade = get("/");
    upgrade.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    upgrade.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    let upgrade = tokio::spawn(caller.fetch(upgrade));
    let mut connection = server.accept().await;
    connection.read_request().await;
    let large = "large".repeat(10_000);
    let waiting = tokio::spawn(caller.fetch(post("/", large.clone())));
    eventually("one waits", || caller.pool.stats().waiting == 1).await;
    connection.write(answer("no")).await;
    assert_eq!(upgrade.await.expect("no panic").expect("a response").body, "no");
    connection.ends().await;
    let mut connection = server.accept().await;
    assert!(connection.read_request().await.body == large.as_bytes());
    connection.write(answer("served")).await;
    assert_eq!(waiting.await.expect("no panic").expect("a response").body, "served");
    let stats = caller.pool.stats();
    assert_eq!((stats.closed(Reason::Ended), stats.stale), (1, 0));
    ends_idle(caller).await;
}
