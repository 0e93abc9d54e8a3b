//! A response over HTTP/1 that contradicts itself about its length is an error, and nothing follows it on its connection.

use http::Request;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{Backend, answer, ends_idle, for_each_backend, get, start};

for_each_backend! {
    a_response_that_contradicts_itself_is_an_error_and_its_connection_closes,
    a_request_that_was_answered_by_a_contradiction_is_not_sent_again,
    lengths_that_agree_reach_the_caller_once,
    a_response_without_a_body_by_rule_may_contradict_itself,
    a_tunnel_may_be_opened_by_a_contradiction,
}

/// The fields of a response, and what the error says of them.
const CONTRADICTIONS: &[(&str, &[&str])] = &[
    ("content-length: 4\r\ntransfer-encoding: chunked", &["content-length", "transfer-encoding"]),
    ("transfer-encoding: chunked\r\ncontent-length: 4", &["content-length", "transfer-encoding"]),
    ("transfer-encoding: chunked\r\ncontent-length: no", &["content-length", "transfer-encoding"]),
    ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", &["one chunked"]),
    ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", &["one chunked"]),
    ("transfer-encoding: chunked, chunked", &["one chunked"]),
    ("transfer-encoding: gzip, chunked", &["one chunked"]),
    ("transfer-encoding: chunked,", &["one chunked"]),
    ("transfer-encoding: chunked;q=1", &["one chunked"]),
    ("transfer-encoding: \"chunked\"", &["one chunked"]),
    ("transfer-encoding: xchunked", &["one chunked"]),
    ("transfer-encoding: identity", &["one chunked"]),
    ("transfer-encoding: gzip", &["one chunked"]),
    ("transfer-encoding:", &["one chunked"]),
    ("content-length: 4\r\ncontent-length: 5", &["content-length"]),
    ("content-length: 4, 5", &["content-length"]),
    ("content-length: 4,", &["content-length"]),
    ("content-length: +4", &["content-length"]),
    ("content-length: -4", &["content-length"]),
    ("content-length: 0x4", &["content-length"]),
    ("content-length: 4 4", &["content-length"]),
    ("content-length:", &["content-length"]),
    ("content-length: 99999999999999999999", &["content-length"]),
];

async fn a_response_that_contradicts_itself_is_an_error_and_its_connection_closes(
    backend: Backend,
) {
    let (caller, mut server) = start(backend).await;
    for (fields, words) in CONTRADICTIONS {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection
            .write(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n4\r\nbody\r\n0\r\n\r\n"))
            .await;
        let error = client.await.expect("no panic").expect_err(fields);
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text:?} says {words:?}");
        connection.ends().await;
    }
    let failed = caller.pool.stats().closed(Reason::Failed);
    assert_eq!(failed, CONTRADICTIONS.len() as u64);
    ends_idle(caller).await;
}

async fn a_request_that_was_answered_by_a_contradiction_is_not_sent_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    for (fields, _) in CONTRADICTIONS {
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let opened = caller.watch.opened();
        let client = tokio::spawn(caller.fetch(get("/")));
        connection.read_request().await;
        connection.write(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
        let error = client.await.expect("no panic").expect_err(fields);
        assert_eq!((error.evidence().attempts(), caller.watch.opened()), (1, opened), "{error}");
    }
    ends_idle(caller).await;
}

async fn lengths_that_agree_reach_the_caller_once(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for fields in [
        "content-length: 4\r\ncontent-length: 4",
        "content-length: 4, 4",
        "content-length: 4,4\r\nx: 1\r\ncontent-length: 4",
        "x: 1\r\nx: 2\r\ncontent-length: 4",
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nbody");
        let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), bytes).await;
        let told: Vec<_> = whole.head.headers.get_all("content-length").iter().collect();
        assert_eq!(told, ["4"], "{fields}");
        assert_eq!(whole.body, "body");
    }
    ends_idle(caller).await;
}

/// What a response says of a body that it cannot have frames nothing, RFC 9112 6.3.
async fn a_response_without_a_body_by_rule_may_contradict_itself(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let both = "content-length: 4\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    for (method, bytes) in [
        ("HEAD", format!("HTTP/1.1 200 OK\r\n{both}")),
        ("GET", format!("HTTP/1.1 204 No Content\r\n{both}")),
        ("GET", format!("HTTP/1.1 304 Not Modified\r\n{both}")),
        ("GET", format!("HTTP/1.1 103 Early Hints\r\n{both}HTTP/1.1 204 No Content\r\n\r\n")),
    ] {
        let request = Request::builder().method(method).body(String::new()).expect("a request");
        let (_, whole) = server.reuse(&mut connection, caller.fetch(request), bytes).await;
        assert_eq!(whole.body, "");
    }
    assert_eq!(caller.watch.opened(), 1);
    ends_idle(caller).await;
}

async fn a_tunnel_may_be_opened_by_a_contradiction(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let request = Request::connect("site.test:443").body(String::new()).expect("a request");
    let bytes = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n";
    let (_, _, response) = server.open(caller.send(request), bytes).await;
    assert_eq!(response.status(), 200);
    drop(response);
    ends_idle(caller).await;
}
