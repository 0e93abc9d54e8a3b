//! A request may be dropped at any point, and a body anywhere: the counts stay right, and others are served.

use std::pin::pin;

use http::Request;
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Lent, Pieces, Server, answer, ends_idle, eventually,
    for_each_backend, get, poll_once, start, start_with,
};
use tokio::task::yield_now;

for_each_backend! {
    a_request_can_be_dropped_at_any_point_from_its_dial_to_its_end,
    a_request_can_be_dropped_at_any_point_of_a_reuse,
    a_request_can_be_dropped_while_it_waits_for_its_dial,
    a_request_can_be_dropped_while_it_waits_in_the_queue,
    a_request_can_be_dropped_while_its_response_is_half_there,
    an_upload_can_be_dropped_at_any_point,
    a_returned_connection_given_to_a_dropped_request_goes_to_the_next,
    a_returned_connection_given_to_a_dropped_request_is_idle_when_no_request_waits,
    a_new_connection_given_to_a_dropped_request_goes_to_the_next,
    a_new_connection_given_to_a_dropped_request_is_idle_when_no_request_waits,
}

/// More than any request here takes; reaching it means that one never ends.
const MANY: usize = 2_000;

/// Polls `request` this often, with turns for all others in between, then drops it. True if it had ended.
async fn dropped_after<F: Future>(polls: usize, request: F) -> bool {
    let mut request = pin!(request);
    for _ in 0..polls {
        if poll_once(request.as_mut()).is_ready() {
            return true;
        }
        yield_now().await;
    }
    false
}

/// Everything is where it belongs, and the next request is served.
pub(crate) async fn goes_on(caller: &Caller) {
    caller.fetch(get("/next")).await.expect("the next is served");
    is_idle(caller).await;
}

pub(crate) async fn is_idle(caller: &Caller) {
    eventually("all is at rest", || {
        let stats = caller.pool.stats();
        let resting = stats.idle + stats.parked;
        (stats.opening, stats.leased, stats.waiting) == (0, 0, 0)
            && stats.opened == resting as u64 + stats.closed_total()
            && (resting, resting) == (caller.watch.open(), caller.watch.held())
    })
    .await;
}

/// So many polls, from none to one more than a request needs: growing slowly at first, where each matters.
fn numbers_of_polls() -> impl Iterator<Item = usize> {
    (0..60).chain((60..MANY).step_by(40))
}

async fn a_request_can_be_dropped_at_any_point_from_its_dial_to_its_end(backend: Backend) {
    for polls in numbers_of_polls() {
        let (caller, server) = start(backend).await;
        let _service = EchoServer::start(server, |request| answer(request.target()));
        let ended = dropped_after(polls, caller.fetch(get("/dropped"))).await;
        goes_on(&caller).await;
        ends_idle(caller).await;
        if ended {
            return;
        }
    }
    panic!("it never ended by itself");
}

async fn a_request_can_be_dropped_at_any_point_of_a_reuse(backend: Backend) {
    let (caller, server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let _service = EchoServer::start(server, |request| answer(request.target()));
    for polls in numbers_of_polls() {
        goes_on(&caller).await;
        if dropped_after(polls, caller.fetch(get("/dropped"))).await {
            goes_on(&caller).await;
            return ends_idle(caller).await;
        }
    }
    panic!("it never ended by itself");
}

async fn a_request_can_be_dropped_while_it_waits_for_its_dial(backend: Backend) {
    for polls in 0..5 {
        let (caller, server) =
            start_with(backend, |settings| settings.max_connections_per_address(1)).await;
        caller.watch.close_gate();
        assert!(!dropped_after(polls, caller.fetch(get("/dropped"))).await);
        assert_eq!(caller.pool.stats().waiting, 0);
        let next = tokio::spawn(caller.fetch(get("/next")));
        caller.watch.until_waiting(1).await;
        caller.watch.open_gate();
        let service = EchoServer::start(server, |_| answer("served"));
        next.await.expect("no panic").expect("a response");
        assert_eq!(service.served(), [(1, "/next".to_owned())]);
        is_idle(&caller).await;
        assert_eq!(caller.watch.opened(), 1);
        ends_idle(caller).await;
    }
}

async fn a_request_can_be_dropped_while_it_waits_in_the_queue(backend: Backend) {
    for polls in 0..5 {
        let (caller, mut server) =
            start_with(backend, |settings| settings.max_connections_per_address(1)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let before = tokio::spawn(caller.fetch(get("/before")));
        eventually("it waits", || caller.pool.stats().waiting == 1).await;
        assert!(!dropped_after(polls, caller.fetch(get("/dropped"))).await);
        let after = tokio::spawn(caller.fetch(get("/after")));
        eventually("it waits", || caller.pool.stats().waiting == 2).await;
        let mut connection = lent.come_home().await;
        for path in ["/before", "/after"] {
            assert_eq!(connection.read_request().await.target(), path);
            connection.write(answer("served")).await;
        }
        for client in [before, after] {
            client.await.expect("no panic").expect("a response");
        }
        is_idle(&caller).await;
        ends_idle(caller).await;
    }
}

async fn a_request_can_be_dropped_while_its_response_is_half_there(backend: Backend) {
    let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    for length in 0..whole.len() {
        let mut client = caller.fetch(get("/dropped"));
        let half = async {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(&whole[..length]).await;
            connection
        };
        let mut connection = tokio::select! {
            biased;
            _ = &mut client => panic!("half is not the whole"),
            connection = half => connection,
        };
        // Over a socket the bytes take their time, so both before and after they came is tried.
        for _ in 0..length % 4 {
            assert!(poll_once(client.as_mut()).is_pending());
            yield_now().await;
        }
        let next = tokio::spawn(caller.fetch(get("/next")));
        eventually("it waits", || caller.pool.stats().waiting == 1).await;
        drop(client);
        // What the body still lacks may be waited for, until the connection must give way.
        connection.finish().await;
        let next = async { next.await.expect("no panic") };
        let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let (_, request, _) = server.open(next, last).await;
        assert_eq!(request.target(), "/next");
        is_idle(&caller).await;
    }
    assert_eq!(caller.watch.peak(), 1);
    ends_idle(caller).await;
}

async fn an_upload_can_be_dropped_at_any_point(backend: Backend) {
    for polls in numbers_of_polls() {
        let (caller, server) =
            start_with(backend, |settings| settings.max_connections_per_address(1)).await;
        let _service = tolerant(server);
        let upload = Pieces::new(["bit ", "by ", "bit"]);
        let request = Request::post("/dropped").body(upload).expect("a request");
        let ended = dropped_after(polls, caller.fetch(request)).await;
        goes_on(&caller).await;
        ends_idle(caller).await;
        if ended {
            return;
        }
    }
    panic!("it never ended by itself");
}

/// Answers as soon as it has the head, and reads on whatever may come.
fn tolerant(mut server: Server) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(mut connection) = server.next_connection().await {
            tokio::spawn(async move {
                connection.read_head().await;
                let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";
                if connection.try_write(last).await.is_ok() {
                    connection.read_to_end().await;
                }
            });
        }
    })
}

async fn a_returned_connection_given_to_a_dropped_request_goes_to_the_next(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut dropped = caller.fetch(get("/dropped"));
    assert!(poll_once(dropped.as_mut()).is_pending());
    let next = tokio::spawn(caller.fetch(get("/next")));
    eventually("both wait", || caller.pool.stats().waiting == 2).await;
    let mut connection = lent.come_home().await;
    assert_eq!(caller.pool.stats().waiting, 1, "the first has it, and does not know yet");
    drop(dropped);
    let next = async { next.await.expect("no panic") };
    let (request, _) = server.reuse(&mut connection, next, answer("served")).await;
    assert_eq!(request.target(), "/next");
    ends_idle(caller).await;
}

async fn a_returned_connection_given_to_a_dropped_request_is_idle_when_no_request_waits(
    backend: Backend,
) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut dropped = caller.fetch(get("/dropped"));
    assert!(poll_once(dropped.as_mut()).is_pending());
    let mut connection = lent.come_home().await;
    drop(dropped);
    assert_eq!(caller.pool.stats().idle, 1);
    server.reuse(&mut connection, caller.fetch(get("/")), answer("served")).await;
    ends_idle(caller).await;
}

async fn a_new_connection_given_to_a_dropped_request_goes_to_the_next(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    caller.watch.close_gate();
    let mut dropped = caller.fetch(get("/dropped"));
    assert!(poll_once(dropped.as_mut()).is_pending());
    let next = tokio::spawn(caller.fetch(get("/next")));
    eventually("both wait", || caller.pool.stats().waiting == 2).await;
    caller.watch.open_gate();
    let mut connection = server.accept().await;
    eventually("the first has it", || caller.pool.stats().waiting == 1).await;
    drop(dropped);
    let next = async { next.await.expect("no panic") };
    let (request, _) = server.reuse(&mut connection, next, answer("served")).await;
    assert_eq!(request.target(), "/next");
    ends_idle(caller).await;
}

async fn a_new_connection_given_to_a_dropped_request_is_idle_when_no_request_waits(
    backend: Backend,
) {
    let (caller, mut server) = start(backend).await;
    let mut dropped = caller.fetch(get("/dropped"));
    assert!(poll_once(dropped.as_mut()).is_pending());
    let mut connection = server.accept().await;
    eventually("it has it", || caller.pool.stats().waiting == 0).await;
    drop(dropped);
    assert_eq!(caller.pool.stats().idle, 1);
    server.reuse(&mut connection, caller.fetch(get("/")), answer("served")).await;
    ends_idle(caller).await;
}
