//! What went wrong once, or nearly did.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use http::Request;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use pool_core::{ErrorKind, Pool, Reason, Reuse, reuse};
use pooled_fetch_tests::{
    Backend, Endpoint, Pattern, Pieces, Upload, Whole, answer, bounded, ends_at_rest, eventually,
    for_each_backend, get, post, start, start_elsewhere, start_many_addresses, start_with,
    tcp_endpoint,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, interval};

for_each_backend! {
    a_response_arrives_whatever_is_left_of_the_budget_of_its_task,
    many_requests_and_messages_in_one_task_all_arrive,
    a_drain_without_end_in_time_or_volume_is_a_drain,
    an_http_1_0_server_takes_a_streaming_body_of_known_length,
    a_body_of_unknown_length_waits_for_a_server_that_knows_chunks,
    an_upload_goes_on_after_an_early_response,
    a_connection_whose_address_is_retired_takes_no_other_along,
    a_connection_that_was_to_become_something_else_is_not_passed_on,
}

/// No test takes so long.
const LONG: Duration = Duration::from_secs(3600);

const MIB: usize = 1024 * 1024;

/// What `client` gives, driven by a thread of its own, whose task does nothing else: so nobody polls again
/// what has forgotten to ask for it.
fn alone<T, F>(client: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        done.send(runtime.block_on(client())).expect("the test waits");
    });
    result.recv_timeout(Duration::from_secs(10)).expect("the task was never polled again")
}

/// What tokio lets a task do in one poll.
const BUDGET: usize = 128;

/// A head with less than a body: hyper does not look for more before somebody asks for it, so nothing but
/// the head itself can have the task polled.
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

async fn a_response_arrives_whatever_is_left_of_the_budget_of_its_task(backend: Backend) {
    for left in 0..8 {
        let answered = Arc::<AtomicBool>::default();
        let (is_out, out) = oneshot::channel();
        let flag = Arc::clone(&answered);
        let (caller, server) = start_elsewhere(backend, move |mut server| async move {
            let mut connection = server.accept().await;
            connection.read_request().await;
            out.await.expect("the client waits");
            flag.store(true, Ordering::Release);
            connection.write(HALF).await;
            connection.ends().await;
        });
        let mut client = Box::pin(caller.send(get("/")));
        let watch = caller.watch.clone();
        let response = alone(move || {
            let (mut is_out, mut spent) = (Some(is_out), false);
            poll_fn(move |cx| {
                // Once, when the answer is there: the next poll has a budget of its own.
                if answered.load(Ordering::Acquire) && !spent {
                    spent = true;
                    for _ in 0..BUDGET - left {
                        assert!(pin!(consume_budget()).poll(cx).is_ready(), "more than a budget");
                    }
                }
                let result = client.as_mut().poll(cx);
                if watch.written() > 0
                    && let Some(is_out) = is_out.take()
                {
                    is_out.send(()).expect("the server waits");
                }
                result
            })
        });
        drop((response.expect("a response"), caller));
        server.join().expect("a server without complaints");
    }
}

async fn many_requests_and_messages_in_one_task_all_arrive(backend: Backend) {
    const REQUESTS: usize = 6;
    const ROUNDS: std::ops::Range<usize> = BUDGET - 4 * REQUESTS..BUDGET;
    let (written, all_written) = mpsc::channel();
    let (go_on, mut may_go_on) = unbounded_channel();
    let (caller, server) = start_elsewhere(backend, move |mut server| async move {
        let mut connections = Vec::new();
        for _ in 0..REQUESTS {
            connections.push(server.accept().await);
        }
        for _ in ROUNDS {
            for connection in &mut connections {
                connection.read_request().await;
            }
            for connection in &mut connections {
                connection.write(HALF).await;
            }
            written.send(()).expect("the client waits");
            may_go_on.recv().await.expect("the client lives");
            for connection in &mut connections {
                connection.write("half").await;
            }
        }
    });
    let client = caller.clone();
    alone(move || async move {
        client.pool.warm(&client.address, REQUESTS).await.expect("connections");
        for messages in ROUNDS {
            // So that the requests go out with a whole budget.
            tokio::task::yield_now().await;
            let (sender, mut receiver) = unbounded_channel();
            (0..messages).for_each(|_| sender.send(()).expect("an open channel"));
            let mut requests: Vec<_> =
                (0..REQUESTS).map(|_| Box::pin(client.send(get("/")))).collect();
            let (mut responses, mut are_out) = (Vec::new(), false);
            poll_fn(|cx| {
                if are_out {
                    while receiver.poll_recv(cx).is_ready() {}
                }
                requests.retain_mut(|request| match request.as_mut().poll(cx) {
                    Poll::Ready(response) => {
                        responses.push(response.expect("a response"));
                        false
                    }
                    Poll::Pending => true,
                });
                if !are_out {
                    // All answers come to the same poll, the next one.
                    are_out = true;
                    all_written.recv().expect("the server writes");
                }
                if requests.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            go_on.send(()).expect("the server waits");
            for response in responses {
                assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
            }
        }
    });
    assert_eq!(caller.watch.opened(), REQUESTS as u64);
    server.join().expect("a server without complaints");
}

async fn a_drain_without_end_in_time_or_volume_is_a_drain(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.drain_limit(u64::MAX, Duration::MAX)).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    drop(response);
    connection.write("half").await;
    eventually("the rest is read", || caller.pool.stats().idle == 1).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_at_rest(caller).await;
}

const HTTP_1_0: &str = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nmore";

async fn an_http_1_0_server_takes_a_streaming_body_of_known_length(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), HTTP_1_0).await;
    for _ in 0..3 {
        let body = Pieces::new(["bit ", "by ", "bit"]);
        let request = Request::post("/").header("content-length", "10").body(body);
        let client = caller.fetch(request.expect("a request"));
        let (received, _) = server.reuse(&mut connection, client, HTTP_1_0).await;
        assert_eq!(received.body, "bit by bit");
    }
    assert_eq!(caller.watch.opened(), 1);
    ends_at_rest(caller).await;
}

/// The only connection that there may be comes free, but the one who waits for it cannot use it.
async fn a_body_of_unknown_length_waits_for_a_server_that_knows_chunks(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let first = tokio::spawn(caller.fetch(get("/")));
    let mut old = server.accept().await;
    old.read_request().await;
    let request = Request::post("/").body(Pieces::new(["bit ", "by bit"])).expect("a request");
    let waiting = caller.fetch(request);
    let client = async {
        let (whole, ()) = tokio::join!(waiting, async {
            eventually("one waits", || caller.pool.stats().waiting == 1).await;
            old.write(HTTP_1_0).await;
            first.await.expect("no panic").expect("a response");
            old.ends().await;
        });
        whole
    };
    let (_, received, _) = server.open(client, answer("thanks")).await;
    assert_eq!(received.body, "bit by bit");
    assert_eq!(caller.pool.stats().closed(Reason::Unsuitable), 1);
    ends_at_rest(caller).await;
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
    ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[test]
fn a_request_from_a_runtime_that_has_shut_down_fails_at_once() {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Runtime::new().expect("a runtime");
        let Endpoint { connector, address, .. } = runtime.block_on(tcp_endpoint());
        let pool = Pool::new(connector);
        let handle = runtime.handle().clone();
        runtime.shutdown_timeout(LONG);
        let _inside = handle.enter();
        for _ in 0..3 {
            let request = pool.http(&address, get("/"));
            let answer = pin!(request).poll(&mut Context::from_waker(Waker::noop()));
            done.send(answer.map_ok(drop)).expect("the test waits");
        }
    });
    for _ in 0..3 {
        let answer = result.recv_timeout(Duration::from_secs(10)).expect("neither spins nor waits");
        let Poll::Ready(Err(error)) = answer else { panic!("waits for nobody: {answer:?}") };
        assert_eq!(error.kind(), ErrorKind::NoRuntime);
    }
}

/// The future itself lives on: its thread is not one of the runtime's.
#[test]
fn a_request_that_waits_while_its_runtime_shuts_down_fails() {
    let runtime = Runtime::new().expect("a runtime");
    let (caller, _server) =
        runtime.block_on(start_with(Backend::Memory, |settings| settings.checkout_timeout(None)));
    caller.watch.close_gate();
    let (handle, client) = (runtime.handle().clone(), caller.fetch(get("/")));
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(handle.block_on(client).map(drop)));
    runtime.block_on(bounded(caller.watch.until_waiting(1)));
    runtime.shutdown_timeout(LONG);
    let answer = result.recv_timeout(Duration::from_secs(10)).expect("waits for nobody");
    assert_eq!(answer.expect_err("no runtime").kind(), ErrorKind::NoRuntime);
    let stats = caller.pool.stats();
    assert_eq!((stats.opening, stats.waiting), (0, 0));
}

async fn a_connection_whose_address_is_retired_takes_no_other_along(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 2, |settings| settings.max_idle(1)).await;
    let (mut kept, ..) = servers[0].open(callers[0].fetch(get("/")), answer("rests")).await;
    let (mut lent, _, response) = servers[1].open(callers[1].send(get("/")), HALF).await;
    // Somebody waits who would not take what comes home.
    callers[1].watch.close_gate();
    let mut fresh = get("/");
    reuse(&mut fresh, Reuse::Never);
    let fresh = tokio::spawn(callers[1].fetch(fresh));
    callers[1].watch.until_waiting(1).await;
    callers[0].pool.retain(|address| *address == callers[0].address);
    lent.write("half").await;
    Whole::read(response).await.expect("the other half");
    lent.ends().await;
    assert_eq!(callers[0].pool.stats().closed(Reason::Retired), 1);
    servers[0].reuse(&mut kept, callers[0].fetch(get("/")), answer("rested")).await;

    callers[1].watch.open_gate();
    let mut connection = servers[1].accept().await;
    connection.read_request().await;
    connection.write(answer("served")).await;
    fresh.await.expect("no panic").expect("it had come before");
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_at_rest(caller).await;
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
    ends_at_rest(caller).await;
}
