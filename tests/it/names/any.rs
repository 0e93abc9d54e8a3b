//! A request that may go to any of several addresses.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use pool_core::{Builder, Error, ErrorKind, Pool};
use pooled_fetch_tests::{bounded, get, let_pass, post};
use tokio::time::Instant;

use super::scripted::Numbers;
use super::{Behaviour, Names, address};

const DELAY: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);

fn pool(names: &Names) -> Pool<Numbers> {
    pool_with(names, |settings| settings)
}

fn pool_with(
    names: &Names,
    set: impl FnOnce(Builder<Numbers>) -> Builder<Numbers>,
) -> Pool<Numbers> {
    set(Pool::builder(Numbers(names.clone()))).build().expect("settings that make sense")
}

/// The last number of the address that has answered.
async fn fetch(pool: &Pool<Numbers>, last: impl IntoIterator<Item = u8>) -> Result<u8, Error> {
    let addresses: Vec<_> = last.into_iter().map(address).collect();
    let response = pool.http_any(&addresses, get("/")).await?;
    let Some(SocketAddr::V4(peer)) = response.body().connection().peer_address() else {
        unreachable!("all are of IPv4")
    };
    Ok(peer.ip().octets()[3])
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_to_any_of_them_is_used_first() {
    bounded(async {
        let names = Names::default();
        let pool = pool(&names);
        assert_eq!(fetch(&pool, [3]).await.expect("a response"), 3);
        assert_eq!(fetch(&pool, [1, 2, 3]).await.expect("a response"), 3);
        assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 1);
        assert_eq!(names.connects(), [3, 1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_fails_goes_to_the_next_at_once_and_one_that_hangs_after_the_delay() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::Refuses);
        names.set(2, Behaviour::Hangs);
        let (pool, since) = (pool(&names), Instant::now());
        assert_eq!(fetch(&pool, [1, 2, 3]).await.expect("a response"), 3);
        let took = since.elapsed();
        assert!((DELAY..DELAY * 6 / 5).contains(&took), "{took:?}");
        assert_eq!(names.connects(), [1, 2, 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_kept() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::TakesAfter(SECOND));
        let pool = pool(&names);
        assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 2);
        let_pass(SECOND).await;
        assert_eq!(pool.stats_of(&address(1)).expect("known").idle, 1);
        assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 1);
        assert_eq!(names.connects(), [1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn those_that_fail_come_last() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::Refuses);
        let pool = pool_with(&names, |settings| settings.idle_timeout(Duration::ZERO));
        for _ in 0..3 {
            fetch(&pool, [1]).await.expect_err("it refuses");
        }
        for _ in 0..3 {
            assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 2);
        }
        assert_eq!(names.connects(), [1, 1, 1, 2, 2, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_an_address_sends_the_request_to_the_next() {
    bounded(async {
        let names = Names::default();
        let pool = pool_with(&names, |settings| settings.max_connections_per_address(1));
        let slow = |path| pool.http(path, get("/slow"));
        let first = address(1);
        let _lent = slow(&first).await.expect("a response");
        assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 2);
        // The total limit holds whatever the number of addresses.
        let pool = pool_with(&names, |settings| settings.max_connections(2));
        let requests = (0..20).map(|_| fetch(&pool, [4, 5, 6]));
        assert!(join_all(requests).await.iter().all(Result::is_ok));
        let stats = pool.stats();
        assert!(stats.opened - stats.closed_total() <= 2, "{stats:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_dial_a_black_hole_once() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::Hangs);
        let pool = pool(&names);
        let addresses = [1, 2, 3].map(address);
        let requests = (0..1_000).map(|_| pool.http_any(&addresses, get("/slow")));
        let responses = join_all(requests).await;
        assert!(responses.iter().all(Result::is_ok));
        let open = pool.stats().leased;
        assert!(names.connects().len() <= open + 10, "{} dials", names.connects().len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_none_can_be_reached_the_error_is_that_of_the_first_and_the_request_comes_back() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::RefusesAfter(SECOND));
        names.set(2, Behaviour::Refuses);
        let pool = pool(&names);
        let addresses = [1, 2].map(address);
        let error = pool.http_any(&addresses, post("/", "once")).await.expect_err("all refuse");
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        error.into_request().expect("it never left");
        let error = fetch(&pool, []).await.expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains("there is no address"), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retired_address_is_left_out() {
    bounded(async {
        let names = Names::default();
        let pool = pool(&names);
        pool.drain(&address(1)).await;
        assert_eq!(fetch(&pool, [1, 2]).await.expect("a response"), 2);
        let error = fetch(&pool, [1]).await.expect_err("retired");
        assert_eq!(error.kind(), ErrorKind::Retired);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_total_time_holds_while_all_of_them_hang() {
    bounded(async {
        let names = Names::default();
        names.set(1, Behaviour::Hangs);
        names.set(2, Behaviour::Hangs);
        let pool = pool_with(&names, |settings| settings.total_timeout(SECOND));
        let since = Instant::now();
        let error = fetch(&pool, [1, 2]).await.expect_err("all hang");
        assert_eq!(error.kind(), ErrorKind::TotalTimeout, "{error}");
        assert_eq!(since.elapsed().as_secs(), 1);
    })
    .await;
}
