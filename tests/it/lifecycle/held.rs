//! A connection that is held for several requests, one after the other.

use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Http2Server, Protocol, Whole, answer, bounded, ends_idle, eventually,
    for_each_backend, get, let_pass, poll_once, post, settle, start, start_protocol, start_with,
};

for_each_backend! {
    requests_go_over_the_connection_that_is_held_and_no_other_does,
    the_next_request_waits_for_the_end_of_the_response_before,
    a_connection_that_closes_while_it_is_held_is_an_error_and_nothing_else_is_dialled,
    what_is_dropped_while_its_response_is_under_way_comes_home_all_the_same,
    a_detached_connection_counts_no_more_and_closes_at_the_end,
    a_held_connection_can_be_closed,
}

async fn requests_go_over_the_connection_that_is_held_and_no_other_does(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
    let mut connection = server.accept().await;
    for turn in 0..3 {
        let serve = async {
            connection.read_request().await;
            connection.write(answer("held")).await;
        };
        let (response, ()) = tokio::join!(held.http(get("/")), serve);
        let response = response.expect("a response");
        assert_eq!(response.body().connection().id(), held.connection().id());
        assert_eq!(response.body().connection().use_number(), turn + 1);
        assert_eq!(Whole::read(response).await.expect("a body").body, "held");
        // Another request opens its own, though this one rests.
        let stats = caller.pool.stats();
        assert_eq!((stats.leased, stats.idle), (1, 0));
    }
    let (_other, _, response) = server.open(caller.send(get("/")), answer("other")).await;
    assert_ne!(response.body().connection().id(), held.connection().id());
    drop(response);
    eventually("the other is idle", || caller.pool.stats().idle == 1).await;
    drop(held);
    assert_eq!(caller.pool.stats().idle, 2);
    server.reuse(&mut connection, caller.fetch(get("/")), answer("of all")).await;
    ends_idle(caller).await;
}

async fn the_next_request_waits_for_the_end_of_the_response_before(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
    let mut connection = server.accept().await;
    let half = async {
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
    };
    let (response, ()) = tokio::join!(held.http(get("/")), half);
    let body = response.expect("a response").into_body();
    {
        let mut next = std::pin::pin!(held.http(get("/given-up")));
        assert!(poll_once(next.as_mut()).is_pending());
        settle().await;
        assert!(poll_once(next.as_mut()).is_pending());
    }
    connection.write("half").await;
    body.collect().await.expect("the other half");
    let serve = async {
        assert_eq!(connection.read_request().await.target(), "/next");
        connection.write(answer("next")).await;
    };
    let (response, ()) = tokio::join!(held.http(get("/next")), serve);
    assert_eq!(Whole::read(response.expect("a response")).await.expect("a body").body, "next");
    drop(held);
    ends_idle(caller).await;
}

async fn a_connection_that_closes_while_it_is_held_is_an_error_and_nothing_else_is_dialled(
    backend: Backend,
) {
    let (caller, mut server) = start(backend).await;
    let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
    let mut connection = server.accept().await;
    let last = async {
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    };
    let (response, ()) = tokio::join!(held.http(get("/")), last);
    Whole::read(response.expect("a response")).await.expect("a body");
    for _ in 0..2 {
        let error = held.http(post("/", "once")).await.expect_err("it has closed");
        assert_eq!(error.kind(), ErrorKind::Unsent, "{error}");
        error.into_request().expect("it never left");
    }
    assert_eq!(held.detach().await.expect_err("it has closed").kind(), ErrorKind::Unsent);
    assert_eq!(caller.watch.opened(), 1);
}

async fn what_is_dropped_while_its_response_is_under_way_comes_home_all_the_same(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
    let mut connection = server.accept().await;
    let half = async {
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
    };
    let (response, ()) = tokio::join!(held.http(get("/")), half);
    drop(held);
    connection.write("half").await;
    Whole::read(response.expect("a response")).await.expect("the other half");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("of all")).await;
    ends_idle(caller).await;
}

async fn a_detached_connection_counts_no_more_and_closes_at_the_end(backend: Backend) {
    for uses in 0..2 {
        let (caller, mut server) =
            start_with(backend, |settings| settings.max_connections(1)).await;
        let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
        let mut connection = server.accept().await;
        held.detach().await.expect("it is here");
        let stats = caller.pool.stats();
        assert_eq!((stats.leased, stats.closed(Reason::Detached)), (0, 1));
        // There is room for another.
        let (_other, _, response) = server.open(caller.send(get("/")), answer("other")).await;
        drop(response);
        for _ in 0..uses {
            let serve = async {
                connection.read_request().await;
                connection.write(answer("mine")).await;
            };
            let (response, ()) = tokio::join!(held.http(get("/")), serve);
            Whole::read(response.expect("a response")).await.expect("a body");
        }
        drop(held);
        connection.ends().await;
        ends_idle(caller).await;
    }
}

async fn a_held_connection_can_be_closed(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
    let mut connection = server.accept().await;
    held.close();
    connection.ends().await;
    assert_eq!(caller.pool.stats().closed(Reason::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn over_http2_requests_go_over_the_same_connection_as_long_as_it_takes_them() {
    bounded(async {
        let (caller, server) = start_protocol(Protocol::MemoryHttp2, |settings| settings).await;
        let mut server = Http2Server::start(server.into_acceptor(), 100);
        let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
        let id = held.connection().id();
        for rest in [Duration::ZERO, Duration::from_secs(5)] {
            let mut responses = Vec::new();
            for _ in 0..3 {
                let (response, stream) = tokio::join!(held.http(get("/")), async {
                    let mut stream = server.next().await;
                    (stream.begin("half"), stream)
                });
                let response = response.expect("a response");
                assert_eq!(response.body().connection().id(), id);
                responses.push((response, stream));
            }
            assert_eq!(held.detach().await.expect_err("shared").kind(), ErrorKind::Unsent);
            drop(responses);
            let_pass(rest).await;
        }
        caller.pool.close_idle();
        let error = held.http(get("/")).await.expect_err("it has closed");
        assert_eq!(error.kind(), ErrorKind::Unsent, "{error}");
        assert_eq!(caller.watch.opened(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_held_connection_that_was_used_can_be_closed_at_any_moment() {
    bounded(async {
        for under_way in [false, true] {
            let (caller, mut server) = start(Backend::Memory).await;
            let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
            let mut connection = server.accept().await;
            let half = async {
                connection.read_request().await;
                connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
            };
            let (response, ()) = tokio::join!(held.http(get("/")), half);
            let response = response.expect("a response");
            if under_way {
                held.close();
                connection.write("half").await;
                Whole::read(response).await.expect("a body");
            } else {
                connection.write("half").await;
                Whole::read(response).await.expect("a body");
                held.close();
            }
            connection.ends().await;
            let stats = caller.pool.stats();
            assert_eq!((stats.idle, stats.closed(Reason::Cancelled)), (0, 1), "{under_way}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_held_connection_serves_no_further_request_of_a_pool_that_is_closed_or_an_address_retired()
 {
    bounded(async {
        for closes in [false, true] {
            let (caller, mut server) = start(Backend::Memory).await;
            let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
            let mut connection = server.accept().await;
            let serve = async {
                connection.read_request().await;
                connection.write(answer("once")).await;
            };
            let (response, ()) = tokio::join!(held.http(get("/")), serve);
            Whole::read(response.expect("a response")).await.expect("a body");
            let (kind, ended) = if closes {
                (ErrorKind::Closed, tokio::spawn(caller.pool.close().into_future()))
            } else {
                caller.pool.retain(|_| false);
                let (pool, address) = (caller.pool.clone(), caller.address.clone());
                (ErrorKind::Retired, tokio::spawn(async move { pool.drain(&address).await }))
            };
            settle().await;
            assert_eq!(held.http(get("/")).await.expect_err("over").kind(), kind);
            connection.ends().await;
            ended.await.expect("no panic");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_request_ends_its_wait_for_the_response_before() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
        let mut connection = server.accept().await;
        let half = async {
            connection.read_request().await;
            connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        };
        let (response, ()) = tokio::join!(held.http(get("/")), half);
        let since = tokio::time::Instant::now();
        let mut request = get("/");
        pool_core::total_timeout(&mut request, Duration::from_secs(3));
        let error = held.http(request).await.expect_err("the first is unread");
        assert_eq!((error.kind(), since.elapsed().as_secs()), (ErrorKind::TotalTimeout, 3));
        drop(response);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_held_connection_is_that_since_its_last_response() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let mut held = caller.pool.lease(&caller.address).await.expect("a connection").hold();
        let mut connection = server.accept().await;
        for rest in [0, 7, 3] {
            let_pass(Duration::from_secs(rest)).await;
            let serve = async {
                connection.read_request().await;
                connection.write(answer("held")).await;
            };
            let (response, ()) = tokio::join!(held.http(get("/")), serve);
            let response = response.expect("a response");
            assert_eq!(response.body().connection().idle_for().as_secs(), rest);
            Whole::read(response).await.expect("a body");
        }
    })
    .await;
}
