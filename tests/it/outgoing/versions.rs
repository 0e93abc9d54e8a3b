//! A request is written in the version that is spoken here, not in that of the hop before.

use std::time::Duration;

use http::request::Builder;
use http::{Request, Version};
use pool_core::{ErrorKind, Http10, Reason};
use pooled_fetch_tests::{
    Backend, Pieces, Protocol, answer, ends_idle, for_each_backend, for_each_protocol, get, start,
    start_with,
};

use super::Site;

for_each_protocol! {
    heads_of_other_versions_go_out_in_ours_without_the_words_of_their_connection,
    what_routes_and_frames_a_message_stays_whatever_connection_names,
}

for_each_backend! {
    requests_of_http_1_0_share_one_connection,
    a_streaming_body_of_http_1_0_is_sent_in_chunks,
    a_body_of_http_1_0_does_not_wait_for_a_100,
    a_request_of_http_1_1_keeps_the_words_of_its_connection,
    http_1_0_is_written_for_a_request_that_asks_for_it,
    a_request_that_was_refused_comes_back_in_the_version_that_it_had,
}

/// As a proxy writes it that speaks HTTP/1.0 to what it takes for a server.
fn of_another_hop(version: Version) -> Builder {
    Request::get("/path")
        .version(version)
        .header("host", "site.test")
        .header("connection", "close, x-first")
        .header("connection", "keep-alive, X-Hop")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("upgrade", "websocket")
        .header("x-first", "of this hop")
        .header("x-hop", "of this hop")
        .header("x-end", "to the end")
}

const OF_THE_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "upgrade", "x-first", "x-hop"];

async fn heads_of_other_versions_go_out_in_ours_without_the_words_of_their_connection(
    protocol: Protocol,
) {
    let mut site = Site::start(protocol).await;
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let request = of_another_hop(version).body(Default::default()).expect("a request");
        let arrived = site.send(request).await.expect("an answer");
        assert!(arrived.line.ends_with(site.version()), "{arrived:?} of {version:?}");
        arrived.assert_lacks(OF_THE_HOP);
        assert_eq!(arrived.values("x-end"), ["to the end"]);
    }
    site.end().await;
}

async fn what_routes_and_frames_a_message_stays_whatever_connection_names(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let request = Request::post("/path")
            .version(version)
            .header("host", "site.test")
            .header("content-length", "7")
            .header("connection", "host, content-length");
        let request = request.body("content".into()).expect("a request");
        let arrived = site.send(request).await.expect("an answer");
        assert_eq!(arrived.values("content-length"), ["7"]);
        assert_eq!((arrived.authority(), &arrived.body[..]), ("site.test", &b"content"[..]));
    }
    site.end().await;
}

async fn requests_of_http_1_0_share_one_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let request = || {
        let head = Request::get("/").version(Version::HTTP_10).header("connection", "close");
        caller.fetch(head.body(String::new()).expect("a request"))
    };
    let (mut connection, ..) = server.open(request(), answer("first")).await;
    for _ in 0..3 {
        let (received, _) = server.reuse(&mut connection, request(), answer("next")).await;
        assert_eq!(received.line, "GET / HTTP/1.1");
    }
    assert_eq!(caller.pool.stats().opened, 1);
    ends_idle(caller).await;
}

async fn a_streaming_body_of_http_1_0_is_sent_in_chunks(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let head = Request::post("/").version(Version::HTTP_10);
    let request = head.body(Pieces::new(["bit ", "by bit"])).expect("a request");
    let (_, received, _) = server.open(caller.fetch(request), answer("thanks")).await;
    assert_eq!(received.header("transfer-encoding"), Some("chunked"));
    assert_eq!(received.body, "bit by bit");
    ends_idle(caller).await;
}

/// RFC 9110 10.1.1 has the expectation ignored in HTTP/1.0, so the server is not told of it.
async fn a_body_of_http_1_0_does_not_wait_for_a_100(backend: Backend) {
    let hour = Duration::from_secs(3600);
    let (caller, mut server) =
        start_with(backend, |settings| settings.expect_continue_timeout(hour)).await;
    let head = Request::post("/").version(Version::HTTP_10).header("expect", "100-continue");
    let client = caller.fetch(head.body(String::from("content")).expect("a request"));
    let (_, received, _) = server.open(client, answer("thanks")).await;
    assert_eq!((received.header("expect"), &received.body[..]), (None, &b"content"[..]));
    ends_idle(caller).await;
}

async fn a_request_of_http_1_1_keeps_the_words_of_its_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let request = Request::get("/").header("connection", "close, x-hop").header("x-hop", "stays");
    let client = caller.fetch(request.body(String::new()).expect("a request"));
    let (mut connection, received, _) = server.open(client, answer("only")).await;
    assert_eq!(received.header("connection"), Some("close, x-hop"));
    assert_eq!(received.header("x-hop"), Some("stays"));
    connection.ends().await;
    ends_idle(caller).await;
}

async fn http_1_0_is_written_for_a_request_that_asks_for_it(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let head = || Request::get("/").version(Version::HTTP_10).extension(Http10);
    let last = caller.fetch(head().body(String::new()).expect("a request"));
    let (mut connection, received, _) = server.open(last, answer("last")).await;
    assert_eq!(received.line, "GET / HTTP/1.0");
    connection.ends().await;
    assert_eq!(caller.pool.stats().closed(Reason::Ended), 1);

    let stays = head().header("connection", "keep-alive").header("keep-alive", "timeout=5");
    let stays = caller.fetch(stays.body(String::new()).expect("a request"));
    let (mut connection, received, _) = server.open(stays, answer("stays")).await;
    assert_eq!(received.line, "GET / HTTP/1.0");
    assert_eq!(received.header("keep-alive"), Some("timeout=5"));
    let (received, _) = server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    assert_eq!(received.line, "GET / HTTP/1.1");

    let unknown = Request::post("/").version(Version::HTTP_10).extension(Http10);
    let unknown = unknown.body(Pieces::new(["bit ", "by bit"])).expect("a request");
    let error = caller.fetch(unknown).await.expect_err("no chunks in HTTP/1.0");
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    ends_idle(caller).await;
}

async fn a_request_that_was_refused_comes_back_in_the_version_that_it_had(backend: Backend) {
    let (caller, _server) = start(backend).await;
    caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
    let request = of_another_hop(Version::HTTP_10).body(String::new()).expect("a request");
    let headers = request.headers().clone();
    let error = caller.fetch(request).await.expect_err("no server");
    let back = error.into_request().expect("a request that was not sent");
    assert_eq!((back.version(), back.headers()), (Version::HTTP_10, &headers));
    ends_idle(caller).await;
}

#[tokio::test]
async fn http_1_0_is_refused_where_http2_is_assumed() {
    let mut site = Site::start(Protocol::MemoryHttp2).await;
    let head = Request::get("/").version(Version::HTTP_10).extension(Http10);
    let request = head.body(Default::default()).expect("a request");
    let error = site.send(request).await.expect_err("HTTP/2 is no HTTP/1.0");
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(error.to_string().contains("it can only go over HTTP/1"), "{error}");
    site.end().await;
}
