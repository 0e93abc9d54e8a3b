//! What is promised about HTTP, over each protocol: HTTP/1 and HTTP/2, in memory, over TCP and over TLS.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::BodyExt;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{
    Caller, Pattern, Pieces, Protocol, Upload, Whole, ends_idle, for_each_protocol, get, poll_once,
    post, start_hyper_server,
};
use tokio::task::JoinSet;

for_each_protocol! {
    requests_one_after_another_share_one_connection,
    a_connection_that_was_checked_out_counts_the_requests_before,
    bodies_arrive_byte_for_byte_both_ways,
    a_streamed_upload_comes_back_byte_for_byte,
    trailers_come_with_the_response_and_go_with_the_request,
    a_head_has_no_content,
    an_early_answer_to_an_upload_arrives_and_the_next_request_is_served,
    a_dropped_body_does_not_hurt_the_next_request,
    a_cancelled_request_ends_at_its_server_and_hurts_no_other,
    two_hundred_at_once_get_each_its_own_answer,
    a_limit_of_two_connections_holds_and_all_are_served,
    a_server_that_leaves_loses_nothing,
    a_drained_address_serves_to_the_end_and_then_refuses,
    a_warmed_address_opens_nothing_more_for_the_first_request,
    a_closed_pool_lets_end_what_is_under_way,
    an_idle_connection_closes_after_the_idle_timeout,
    an_address_without_a_listener_gives_the_request_back,
}

/// More than any test here sends at once.
const MANY: u32 = 1_000;

fn is_shared(protocol: Protocol) -> bool {
    protocol.version() == Version::HTTP_2
}

/// What a test leaves behind: no stream, and every connection counted.
async fn over(caller: Caller) {
    assert_eq!(caller.pool.stats().streams, 0);
    ends_idle(caller).await;
}

async fn requests_one_after_another_share_one_connection(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for number in 0..100 {
        let path = format!("/{number}");
        let whole = caller.fetch(get(&path)).await.expect("a response");
        assert_eq!((whole.head.version, whole.body), (protocol.version(), Bytes::from(path)));
    }
    let stats = caller.pool.stats();
    assert_eq!((server.accepted(), stats.opened, stats.reused, stats.idle), (1, 1, 99, 1));
    assert_eq!((stats.requests, stats.stale, stats.retried), (100, 0, 0));
    over(caller).await;
}

async fn a_connection_that_was_checked_out_counts_the_requests_before(protocol: Protocol) {
    let (caller, _server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for before in 0..3 {
        let checkout = caller.pool.lease(&caller.address).await.expect("a connection");
        let info = checkout.connection().clone();
        assert_eq!((info.use_number(), info.attempt(), info.is_reused()), (before, 0, before > 0));
        let response = checkout.http(get("/")).await.expect("a response");
        let info = response.body().connection().clone();
        assert_eq!((info.use_number(), info.attempt()), (before + 1, 1));
        assert_eq!(info.is_reused(), before > 0);
        Whole::read(response).await.expect("a body");
    }
    let stats = caller.pool.stats();
    assert_eq!((stats.requests, stats.reused, stats.opened), (3, 2, 1));
    over(caller).await;
}

async fn bodies_arrive_byte_for_byte_both_ways(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for length in [0, 1, 64 * 1024, 1024 * 1024] {
        let whole = caller.fetch(get(&format!("/bytes/{length}"))).await.expect("a response");
        assert_eq!(whole.body.len(), length);
        Pattern::new().check(&whole.body);
        let sent = Pattern::bytes(length);
        let whole = caller.fetch(post("/echo", sent)).await.expect("a response");
        assert_eq!(whole.body.len(), length);
        Pattern::new().check(&whole.body);
    }
    assert_eq!(server.accepted(), 1);
    over(caller).await;
}

async fn a_streamed_upload_comes_back_byte_for_byte(protocol: Protocol) {
    const LENGTH: usize = 4 * 1024 * 1024;
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    let (upload, gauge) = Upload::new(LENGTH);
    let request = Request::post("/echo").body(upload).expect("a request");
    let mut body = caller.send(request).await.expect("a response").into_body();
    let mut pattern = Pattern::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.expect("the rest").into_data() {
            pattern.check(&data);
        }
    }
    assert_eq!(pattern.position(), LENGTH);
    assert!(gauge.peak() < LENGTH / 2, "{} bytes were alive at one time", gauge.peak());
    assert_eq!(server.accepted(), 1);
    over(caller).await;
}

fn checksum() -> HeaderMap {
    HeaderMap::from_iter([("checksum".parse().expect("a name"), HeaderValue::from_static("mine"))])
}

async fn trailers_come_with_the_response_and_go_with_the_request(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    let ask = |path, method| {
        let builder = Request::builder().method(method).uri(path).header("te", "trailers");
        builder.header("trailer", "checksum")
    };
    let request = ask("/trailers", Method::GET).body(String::new()).expect("a request");
    let whole = caller.fetch(request).await.expect("a response");
    assert_eq!(whole.body, "before them");
    assert_eq!(whole.trailers.expect("trailers")["checksum"], "good");

    let body = Pieces::new(["con", "tent"]).with_trailers(async { Some(Ok(checksum())) });
    let request = ask("/echo", Method::POST).body(body).expect("a request");
    let whole = caller.fetch(request).await.expect("a response");
    assert_eq!(whole.body, "content");
    assert_eq!(whole.trailers.expect("trailers")["checksum"], "mine");
    assert_eq!(server.accepted(), 1);
    over(caller).await;
}

async fn a_head_has_no_content(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for _ in 0..3 {
        let mut request = get("/bytes/100");
        *request.method_mut() = Method::HEAD;
        let whole = caller.fetch(request).await.expect("a response");
        assert_eq!(
            (whole.head.headers["content-length"].as_bytes(), &whole.body[..]),
            (&b"100"[..], &b""[..])
        );
    }
    assert_eq!(server.accepted(), 1);
    over(caller).await;
}

async fn an_early_answer_to_an_upload_arrives_and_the_next_request_is_served(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for _ in 0..3 {
        let (upload, _) = Upload::new(64 * 1024 * 1024);
        let request = Request::post("/early").body(upload).expect("a request");
        let whole = caller.fetch(request).await.expect("a response");
        assert_eq!(whole.head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(whole.body, "enough");
        assert_eq!(caller.fetch(get("/next")).await.expect("a response").body, "/next");
    }
    if is_shared(protocol) {
        assert_eq!(server.accepted(), 1);
    }
    over(caller).await;
}

async fn a_dropped_body_does_not_hurt_the_next_request(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for _ in 0..3 {
        let mut response = caller.send(get("/endless")).await.expect("a head");
        response.body_mut().frame().await.expect("a frame").expect("some of it");
        drop(response);
        assert_eq!(caller.fetch(get("/next")).await.expect("a response").body, "/next");
    }
    if is_shared(protocol) {
        assert_eq!(server.accepted(), 1);
    }
    over(caller).await;
}

async fn a_cancelled_request_ends_at_its_server_and_hurts_no_other(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    server.close_gate();
    let kept = tokio::spawn(caller.fetch(get("/held")));
    server.until_held(1).await;
    let cancelled = tokio::spawn(caller.fetch(get("/held")));
    server.until_held(2).await;
    cancelled.abort();
    assert!(cancelled.await.expect_err("it was aborted").is_cancelled());
    server.until_held(1).await;
    server.open_gate();
    assert_eq!(kept.await.expect("no panic").expect("a response").body, "/held");
    assert_eq!(caller.fetch(get("/next")).await.expect("a response").body, "/next");
    assert_eq!(server.accepted(), if is_shared(protocol) { 1 } else { 2 });
    over(caller).await;
}

async fn two_hundred_at_once_get_each_its_own_answer(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let (path, content) = (format!("/{number}"), format!("content {number}"));
        let (got, echoed) =
            (caller.fetch(get(&path)), caller.fetch(post("/echo", content.clone())));
        clients.spawn(async move {
            assert_eq!(got.await.expect("a response").body, path);
            assert_eq!(echoed.await.expect("a response").body, content);
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    assert_eq!(server.served().len(), 400);
    let stats = caller.pool.stats();
    assert_eq!(stats.requests, 400);
    // A connection may come too late to be needed.
    assert!(stats.reused >= 400 - stats.opened, "{stats:?}");
    assert!(stats.opened <= if is_shared(protocol) { 1 } else { 200 }, "{stats:?}");
    over(caller).await;
}

async fn a_limit_of_two_connections_holds_and_all_are_served(protocol: Protocol) {
    const STREAMS: u32 = 5;
    let (caller, server) =
        start_hyper_server(protocol, STREAMS, |settings| settings.max_connections(2)).await;
    server.close_gate();
    let mut clients: JoinSet<_> = (0..40).map(|_| caller.fetch(get("/held"))).collect();
    let at_once = if is_shared(protocol) { 2 * STREAMS as usize } else { 2 };
    server.until_held(at_once).await;
    assert_eq!(caller.pool.stats().waiting, 40 - at_once);
    server.open_gate();
    while let Some(client) = clients.join_next().await {
        assert_eq!(client.expect("no panic").expect("a response").body, "/held");
    }
    assert_eq!((caller.watch.peak(), server.accepted()), (2, 2));
    over(caller).await;
}

async fn a_server_that_leaves_loses_nothing(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    for round in 1..=5 {
        server.close_gate();
        let client = tokio::spawn(caller.fetch(get("/held")));
        server.until_held(1).await;
        server.leave();
        server.open_gate();
        assert_eq!(client.await.expect("no panic").expect("a response").body, "/held");
        // One that must not be executed twice, so it is not allowed to meet the one that leaves.
        let whole = caller.fetch(post("/echo", "content")).await.expect("a response");
        assert_eq!(whole.body, "content");
        assert_eq!(server.accepted(), round + 1);
    }
    caller.watch.until_open(1).await;
    assert_eq!(caller.pool.stats().closed_total(), 5);
    over(caller).await;
}

async fn a_drained_address_serves_to_the_end_and_then_refuses(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    server.close_gate();
    let client = tokio::spawn(caller.fetch(get("/held")));
    server.until_held(1).await;
    let mut drained = Box::pin(caller.pool.drain(&caller.address));
    assert!(poll_once(drained.as_mut()).is_pending());
    let error = caller.fetch(get("/late")).await.expect_err("it is retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
    server.open_gate();
    assert_eq!(client.await.expect("no panic").expect("a response").body, "/held");
    drained.await;
    assert_eq!((caller.watch.open(), caller.pool.stats().closed(Reason::Retired)), (0, 1));
    over(caller).await;
}

async fn a_warmed_address_opens_nothing_more_for_the_first_request(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    caller.pool.warm(&caller.address, 1).await.expect("a connection");
    assert_eq!((caller.watch.opened(), caller.pool.stats().idle), (1, 1));
    caller.pool.warm(&caller.address, 1).await.expect("a connection");
    assert_eq!(caller.fetch(get("/first")).await.expect("a response").body, "/first");
    assert_eq!((caller.watch.opened(), server.accepted()), (1, 1));
    over(caller).await;
}

async fn a_closed_pool_lets_end_what_is_under_way(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    server.close_gate();
    let client = tokio::spawn(caller.fetch(get("/held")));
    server.until_held(1).await;
    caller.pool.close();
    let error = caller.fetch(get("/late")).await.expect_err("it is closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    server.open_gate();
    assert_eq!(client.await.expect("no panic").expect("a response").body, "/held");
    caller.watch.until_open(0).await;
    over(caller).await;
}

async fn an_idle_connection_closes_after_the_idle_timeout(protocol: Protocol) {
    let limit = Duration::from_millis(50);
    let (caller, server) =
        start_hyper_server(protocol, MANY, |settings| settings.idle_timeout(limit)).await;
    for round in 1..=2 {
        caller.fetch(get("/")).await.expect("a response");
        caller.watch.until_open(0).await;
        assert_eq!(server.accepted(), round);
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), round as u64);
    }
    over(caller).await;
}

async fn an_address_without_a_listener_gives_the_request_back(protocol: Protocol) {
    let (caller, server) = start_hyper_server(protocol, MANY, |settings| settings).await;
    drop(server);
    let refused = |error: &pool_core::Error| error.to_string().contains("connection refused");
    // The door closes when the task of the server has seen that it shall end.
    let mut error = caller.fetch(post("/once", "content")).await.expect_err("no server is there");
    while !refused(&error) {
        error = caller.fetch(post("/once", "content")).await.expect_err("no server is there");
    }
    assert_eq!(error.kind(), ErrorKind::Connect);
    let told = format!("connecting to {:?}: connection refused", caller.address);
    assert_eq!(error.to_string(), told);
    assert!(error.evidence().is_unsent());
    let request = error.into_request().expect("nothing was sent");
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/once"));
    let content = request.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(content, "content");
    over(caller).await;
}
