//! A body that is not read to its end, or not sent to its end, never harms the next message.

use std::thread;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, EchoServer, Pattern, Server, Upload, answer, bounded, ends_idle, eventually, feed,
    for_each_backend, get, start, start_elsewhere, start_with,
};
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval};

for_each_backend! {
    bodies_dropped_half_way_never_reach_another_request,
    a_dropped_body_that_never_goes_on_closes_its_connection,
    a_dropped_body_that_announces_too_much_closes_its_connection_at_once,
    what_is_left_of_a_dropped_body_is_drained_within_the_limits,
    a_body_dropped_outside_a_runtime_closes_its_connection,
    a_body_dropped_after_its_runtime_closes_its_connection,
    a_request_body_that_outlasts_its_response_harms_no_other_request,
    a_request_body_that_ends_soon_after_its_response_saves_the_connection,
    an_upload_that_is_refused_early_gets_the_refusal,
    a_drain_without_end_in_time_or_volume_is_a_drain,
    an_upload_goes_on_after_an_early_response,
}

/// A limit that no test reaches.
const LONG: Duration = Duration::from_secs(3600);

const MIB: usize = 1024 * 1024;

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

async fn bodies_dropped_half_way_never_reach_another_request(backend: Backend) {
    let (caller, server) = start(backend).await;
    let service = EchoServer::start(server, |request| {
        // As much as fits into one read, more than that, and more than is ever drained.
        let length = match request.target() {
            "/small" => 100,
            "/large" => 20_000,
            "/huge" => 1_000_000,
            other => return answer(other),
        };
        answer(vec![b'x'; length])
    });
    for round in 0..60 {
        let dropped = ["/small", "/large", "/huge"][round % 3];
        let mut response = caller.send(get(dropped)).await.expect("a response");
        if round % 2 == 0 {
            response.body_mut().frame().await.expect("a frame").expect("a piece");
        }
        drop(response);
        let target = format!("/{round}");
        let whole = caller.fetch(get(&target)).await.expect("a response");
        assert_eq!(whole.body, target);
    }
    assert_eq!(service.served().len(), 120, "each request is served once");
    ends_idle(caller).await;
}

async fn a_dropped_body_that_never_goes_on_closes_its_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (mut connection, _, response) = server.open(caller.send(get("/")), half).await;
    drop(response);
    connection.ends().await;
    server.open(caller.fetch(get("/")), answer("next")).await;
    assert_eq!(caller.pool.stats().closed(Reason::BodyDropped), 1);
    ends_idle(caller).await;
}

async fn a_dropped_body_that_announces_too_much_closes_its_connection_at_once(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.drain_limit(7, LONG)).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
    let (mut connection, _, response) = server.open(caller.send(get("/")), half).await;
    drop(response);
    assert_eq!(caller.watch.open(), 0);
    connection.ends().await;
    ends_idle(caller).await;
}

async fn what_is_left_of_a_dropped_body_is_drained_within_the_limits(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.drain_limit(8, LONG)).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (mut connection, _, response) = server.open(caller.send(get("/")), half).await;
    drop(response);
    connection.write("half").await;
    eventually("the rest is read", || caller.pool.stats().idle == 1).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;

    // Endless, so that only the limit can end it.
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (_, response) = server.reuse(&mut connection, caller.send(get("/")), endless).await;
    drop(response);
    connection.write("9\r\nnine much\r\n").await;
    connection.ends().await;
    ends_idle(caller).await;
}

async fn a_drain_without_end_in_time_or_volume_is_a_drain(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.drain_limit(u64::MAX, Duration::MAX)).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    drop(response);
    connection.write("half").await;
    eventually("the rest is read", || caller.pool.stats().idle == 1).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// Half a response to the one request, then silence until the connection ends.
async fn half_then_silence(mut server: Server) {
    let mut connection = server.accept().await;
    connection.read_request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
    connection.ends().await;
}

async fn a_body_dropped_outside_a_runtime_closes_its_connection(backend: Backend) {
    let (caller, server) = start_elsewhere(backend, half_then_silence);
    let response = caller.send(get("/")).await.expect("a response");
    thread::spawn(move || drop(response)).join().expect("a drop without a panic");
    caller.watch.until_open(0).await;
    server.join().expect("a server without complaints");
    ends_idle(caller).await;
}

async fn a_body_dropped_after_its_runtime_closes_its_connection(backend: Backend) {
    for inside_another_runtime in [false, true] {
        let (caller, server) = start_elsewhere(backend, half_then_silence);
        let client = caller.send(get("/"));
        let short_lived = thread::spawn(|| Runtime::new().expect("a runtime").block_on(client));
        let response = short_lived.join().expect("no panic").expect("a response");
        if inside_another_runtime {
            drop(response);
        } else {
            thread::spawn(move || drop(response)).join().expect("a drop without a panic");
        }
        server.join().expect("a server without complaints");
        ends_idle(caller).await;
    }
}

async fn a_request_body_that_outlasts_its_response_harms_no_other_request(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (upload, body) = feed();
    upload.send("begun".into()).expect("a body that listens");
    let client = tokio::spawn(caller.fetch(Request::post("/").body(body).expect("a request")));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(answer("early")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "early");

    let (_, received, whole) = server.open(caller.fetch(get("/next")), answer("next")).await;
    assert_eq!((received.target(), &*whole.body), ("/next", b"next".as_slice()));
    // The upload never ends, so its connection must.
    connection.read_to_end().await;
    drop(upload);
    ends_idle(caller).await;
}

async fn a_request_body_that_ends_soon_after_its_response_saves_the_connection(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.drain_limit(8, LONG)).await;
    let (upload, body) = feed();
    let client = tokio::spawn(caller.fetch(Request::post("/").body(body).expect("a request")));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(answer("early")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "early");

    upload.send("late".into()).expect("a body that listens");
    drop(upload);
    assert_eq!(connection.read_exactly(14).await, "4\r\nlate\r\n0\r\n\r\n");
    eventually("the rest is sent", || caller.pool.stats().idle == 1).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn an_upload_that_is_refused_early_gets_the_refusal(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (upload, body) = feed();
    let client = tokio::spawn(caller.fetch(Request::post("/").body(body).expect("a request")));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection
        .write("HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno")
        .await;
    let whole = client.await.expect("no panic").expect("a response");
    assert_eq!((whole.head.status.as_u16(), &*whole.body), (413, b"no".as_slice()));
    connection.read_to_end().await;
    drop(upload);
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn an_upload_goes_on_after_an_early_response(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.drain_limit(64 * 1024, LONG)).await;
    let (upload, gauge) = Upload::new(32 * MIB);
    let request = Request::put("/").header("content-length", 32 * MIB).body(upload);
    let client = tokio::spawn(caller.fetch(request.expect("a request")));
    let mut connection = server.accept().await;
    connection.read_head().await;
    connection.write(answer("early")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "early");
    // The server has not taken in much so far, and goes on only now.
    assert!(gauge.peak() < 8 * MIB, "{} bytes were alive", gauge.peak());
    let mut pattern = Pattern::new();
    while pattern.position() < 32 * MIB {
        pattern.check(&connection.read_exactly(64 * 1024).await);
    }
    eventually("all is sent", || caller.pool.stats().idle == 1).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// Each time that the server takes something in, the upload has the time of the drain limit anew.
#[tokio::test(start_paused = true)]
async fn an_upload_goes_on_after_an_early_response_as_long_as_the_server_reads() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (upload, _) = Upload::new(32 * MIB);
        let request = Request::put("/").header("content-length", 32 * MIB).body(upload);
        let client = tokio::spawn(caller.fetch(request.expect("a request")));
        let mut connection = server.accept().await;
        connection.read_head().await;
        connection.write(answer("early")).await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "early");

        let (mut pattern, mut slowly) = (Pattern::new(), interval(Duration::from_millis(15)));
        let start = Instant::now();
        while pattern.position() < 32 * MIB {
            slowly.tick().await;
            pattern.check(&connection.read_exactly(64 * 1024).await);
        }
        assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());
        eventually("all is sent", || caller.pool.stats().idle == 1).await;
        server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;

        // A server that stops reading has no such time.
        let (upload, _) = Upload::new(MIB);
        let request = Request::put("/").body(upload).expect("a request");
        let early = async {
            connection.read_head().await;
            connection.write(answer("early")).await;
        };
        let (whole, ()) = tokio::join!(caller.fetch(request), early);
        assert_eq!(whole.expect("a response").body, "early");
        let start = Instant::now();
        caller.watch.until_open(0).await;
        assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
        ends_idle(caller).await;
    })
    .await;
}
