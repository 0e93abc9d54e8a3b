//! What is counted without an observer: requests that fail, by the kind of their error, and addresses in quarantine.

use std::io;
use std::time::Duration;

use http::Request;
use http_body_util::Empty;
use pool_core::ErrorKind;
use pooled_fetch_tests::{
    Backend, Caller, Whole, answer, bounded, ends_idle, for_each_backend, get, start,
    start_many_addresses, start_with,
};
use tokio::time::advance;

for_each_backend! {
    each_request_that_fails_is_counted_by_the_kind_of_its_error,
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

async fn each_request_that_fails_is_counted_by_the_kind_of_its_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let odd = Request::get("/").header("content-length", "x").body(Empty::new()).expect("a head");
    caller.fetch(odd).await.expect_err("it contradicts itself");
    assert!(caller.pool.stats_of(&caller.address).is_none(), "no request has asked for it");
    for _ in 0..2 {
        caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
        caller.fetch(get("/")).await.expect_err("refused");
    }
    let (connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    drop(connection);
    Whole::read(response).await.expect_err("cut in the middle");
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    drop(response);
    connection.ends().await;
    let (_open, ..) = server.open(caller.fetch(get("/")), answer("whole")).await;

    let stats = caller.pool.stats();
    for kind in ErrorKind::ALL {
        let failed = match kind {
            ErrorKind::InvalidRequest | ErrorKind::ResponseBody => 1,
            ErrorKind::Connect => 2,
            _ => 0,
        };
        assert_eq!(stats.failed(*kind), failed, "{kind}");
    }
    assert_eq!((stats.failed_total(), stats.requests), (4, 5));
    let of_address = caller.pool.stats_of(&caller.address).expect("a known address");
    assert_eq!(of_address.failed_total(), 3, "what asked for it");
    let text = format!("{stats:?}");
    let failed = "failed: {invalid_request: 1, connect: 2, response_body: 1}";
    assert!(text.contains(failed), "{text}");
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_refuses_is_counted_apart_from_what_waits_too_long() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings
                .max_connections(1)
                .max_waiters_per_address(1)
                .checkout_timeout(Duration::from_secs(1))
        })
        .await;
        let (_open, _, _held) = server.open(caller.send(get("/")), HALF).await;
        let waits = tokio::spawn(caller.fetch(get("/")));
        while caller.pool.stats().waiting == 0 {
            tokio::task::yield_now().await;
        }
        caller.fetch(get("/")).await.expect_err("the queue is full");
        waits.await.expect("no panic").expect_err("no connection comes free");
        let stats = caller.pool.stats();
        let failed = (stats.failed(ErrorKind::QueueFull), stats.failed(ErrorKind::CheckoutTimeout));
        assert_eq!((failed, stats.failed_total()), ((1, 1), 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_counts_as_quarantined_as_long_as_it_is() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        assert_eq!(caller.pool.stats().quarantined, 0);
        connection.write("stray").await;
        caller.watch.until_open(0).await;
        assert_eq!(caller.pool.stats().quarantined, 1);
        assert_eq!(caller.pool.stats_of(&caller.address).map(|stats| stats.quarantined), Some(1));
        advance(Duration::from_secs(1)).await;
        assert_eq!(caller.pool.stats().quarantined, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_to_any_address_fails_where_it_is_counted() {
    bounded(async {
        let (callers, servers) =
            start_many_addresses(Backend::Memory, 2, |settings| settings).await;
        let [retired, refusing] = [&callers[0], &callers[1]];
        retired.pool.drain(&retired.address).await;
        retired.watch.fail_next(io::ErrorKind::ConnectionRefused);
        let addresses = [retired.address.clone(), refusing.address.clone()];
        retired.pool.http_any(&addresses, get("/")).await.expect_err("refused");
        let of = |caller: &Caller| {
            let stats = caller.pool.stats_of(&caller.address).expect("a known address");
            (stats.requests, stats.failed_total())
        };
        assert_eq!((of(retired), of(refusing)), ((0, 0), (1, 1)));
        retired.pool.http_any(&addresses[..1], get("/")).await.expect_err("retired");
        assert_eq!((of(retired), of(refusing)), ((0, 1), (1, 1)));
        drop(servers);
    })
    .await;
}
