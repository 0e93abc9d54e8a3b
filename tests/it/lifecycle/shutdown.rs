//! What was opened is closed: with the pool, with its request, with its time.

use std::thread;
use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Whole, answer, bounded, ends_idle, eventually, for_each_backend, get, start,
    start_with,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

for_each_backend! {
    dropping_the_last_pool_closes_its_idle_connections,
    a_clone_keeps_the_connections_of_its_pool,
    a_cancelled_request_closes_its_connection,
    a_request_cancelled_while_it_connects_leaves_nothing_behind,
    a_body_outlives_its_pool_and_its_connection_does_not,
    a_pool_leaves_no_task_behind,
    idle_connections_close_with_their_runtime,
    two_runtimes_never_share_a_connection,
}

async fn dropping_the_last_pool_closes_its_idle_connections(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut clients: JoinSet<_> = (0..4).map(|_| caller.send(get("/"))).collect();
    let mut connections = Vec::new();
    for _ in 0..4 {
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        connections.push(connection);
    }
    let mut responses = Vec::new();
    while let Some(response) = clients.join_next().await {
        responses.push(response.expect("no panic").expect("a response"));
    }
    for connection in &mut connections {
        connection.write("half").await;
    }
    // What is still lent must not keep the others open.
    let lent = responses.pop();
    for response in responses {
        Whole::read(response).await.expect("the other half");
    }
    let watch = caller.watch.clone();
    assert_eq!((caller.pool.stats().idle, watch.open()), (3, 4));
    drop(caller);
    assert_eq!(watch.open(), 1, "closed by the drop itself");
    drop(lent);
    for connection in &mut connections {
        connection.ends().await;
    }
}

async fn a_clone_keeps_the_connections_of_its_pool(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    drop(caller.pool.clone());
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_cancelled_request_closes_its_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    client.abort();
    connection.ends().await;
    assert!(client.await.expect_err("cancelled").is_cancelled());
    assert_eq!(caller.pool.stats().closed(Reason::Cancelled), 1);

    let (_, received, _) = server.open(caller.fetch(get("/next")), answer("next")).await;
    assert_eq!(received.target(), "/next");
    ends_idle(caller).await;
}

async fn a_request_cancelled_while_it_connects_leaves_nothing_behind(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.watch.close_gate();
    let client = tokio::spawn(caller.fetch(get("/")));
    caller.watch.until_waiting(1).await;
    assert_eq!(caller.pool.stats().opening, 1);
    client.abort();
    assert!(client.await.expect_err("cancelled").is_cancelled());
    caller.watch.open_gate();
    server.open(caller.fetch(get("/next")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_body_outlives_its_pool_and_its_connection_does_not(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (mut connection, _, response) = server.open(caller.send(get("/")), half).await;
    drop(caller);
    connection.write("half").await;
    assert_eq!(Whole::read(response).await.expect("the other half").body, "halfhalf");
    connection.ends().await;
}

async fn a_pool_leaves_no_task_behind(backend: Backend) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (caller, mut server) = start(backend).await;
    let of_the_server = tasks();
    server.open(caller.fetch(get("/")), answer("first")).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (connection, _, response) = server.open(caller.send(get("/")), half).await;
    drop((connection, response));
    drop(caller);
    eventually("the tasks of the pool end", || tasks() == of_the_server).await;
}

async fn idle_connections_close_with_their_runtime(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = caller.fetch(get("/"));
    let (ended, has_ended) = oneshot::channel();
    let short_lived = thread::spawn(move || {
        let whole = Runtime::new().expect("a runtime").block_on(client);
        ended.send(()).expect("the test waits");
        whole
    });
    let mut connection = server.accept().await;
    connection.read_request().await;
    connection.write(answer("first")).await;
    has_ended.await.expect("a runtime that ends");
    connection.ends().await;
    short_lived.join().expect("no panic").expect("a response");
    let stats = caller.pool.stats();
    assert_eq!((stats.idle, stats.closed(Reason::RuntimeGone)), (0, 1));
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn two_runtimes_never_share_a_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let other = Runtime::new().expect("a runtime");
    let (mut ours, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let there = |client| async { other.spawn(client).await.expect("no panic") };
    let (mut theirs, ..) = server.open(there(caller.fetch(get("/"))), answer("there")).await;
    server.reuse(&mut ours, caller.fetch(get("/")), answer("here")).await;
    server.reuse(&mut theirs, there(caller.fetch(get("/"))), answer("there")).await;
    assert_eq!(caller.watch.opened(), 2);
    other.shutdown_background();
    theirs.ends().await;
    ends_idle(caller).await;
}

/// Longer than any test runs, so that only the paused clock can reach it.
const IDLE: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_when_its_time_is_over() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(IDLE)).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let home = Instant::now();
        connection.ends().await;
        let rested = home.elapsed();
        assert!((IDLE..IDLE * 2).contains(&rested), "it rested for {rested:?}");
        let stats = caller.pool.stats();
        assert_eq!((stats.idle, stats.closed(Reason::IdleTimeout)), (0, 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_again_rests_anew() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(IDLE)).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let start = Instant::now();
        for _ in 0..5 {
            tokio::time::advance(IDLE * 3 / 4).await;
            server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        }
        let used_last = start.elapsed();
        connection.ends().await;
        assert!(start.elapsed() >= used_last + IDLE);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_timeout_of_zero_keeps_no_connection() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(Duration::ZERO)).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        connection.ends().await;
        assert_eq!(caller.pool.stats().idle, 0);
        ends_idle(caller).await;
    })
    .await;
}
