//! Which address is tried, and when the next one is.

use std::time::Duration;

use futures_util::future::join_all;
use pool_core::ErrorKind;
use pooled_fetch_tests::{bounded, let_pass, settle};
use tokio::time::Instant;

use super::scripted::fetch;
use super::{Behaviour, Names};

const DELAY: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_first_address_that_can_be_reached_serves_the_name() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        let pool = names.pool();
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        assert_eq!((names.connects(), names.resolutions()), (vec![1], 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_an_address_that_refuses_the_next_is_tried_at_once() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        names.set(1, Behaviour::Refuses);
        names.set(2, Behaviour::Refuses);
        let (pool, since) = (names.pool(), Instant::now());
        assert_eq!(fetch(&pool).await.expect("a response"), 3);
        assert!(since.elapsed() < DELAY, "{:?}", since.elapsed());
        assert_eq!(names.connects(), [1, 2, 3]);
        assert_eq!(pool.stats().failed_to_open, 0, "the name could be reached");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn beside_an_address_that_hangs_the_next_is_tried_after_the_delay() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        names.set(1, Behaviour::Hangs);
        let (pool, since) = (names.pool(), Instant::now());
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        let took = since.elapsed();
        assert!((DELAY..DELAY * 6 / 5).contains(&took), "{took:?}");
        assert_eq!(names.connects(), [1, 2]);
        // From here on the address that was reached comes first.
        pool.drain(&"name.test").await;
        pool.retain(|_| true);
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_kept_for_the_next_request() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set(1, Behaviour::TakesAfter(SECOND));
        let pool = names.pool();
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        let_pass(SECOND).await;
        assert_eq!(pool.stats().idle, 2);
        assert_eq!(fetch(&pool).await.expect("a response"), 1, "the newest");
        assert_eq!(names.connects(), [1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_takes_long_makes_no_other_address_tried() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set(1, Behaviour::ShakesHandsFor(SECOND));
        let pool = names.pool();
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        assert_eq!(names.connects(), [1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_the_next_address_is_tried_in_place_of_the_one_that_hangs() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        names.set(1, Behaviour::Hangs);
        names.set(2, Behaviour::Hangs);
        for in_all in [false, true] {
            let pool = names.pool_with(|settings| {
                if in_all {
                    settings.max_connections(1)
                } else {
                    settings.max_connections_per_address(1)
                }
            });
            let since = Instant::now();
            let request = fetch(&pool);
            let watch = async {
                while since.elapsed() < DELAY * 2 {
                    let stats = pool.stats();
                    assert!(stats.opening + stats.leased + stats.idle <= 1, "{stats:?}");
                    let_pass(DELAY / 10).await;
                }
            };
            let (served, ()) = tokio::join!(request, watch);
            assert_eq!(served.expect("a response"), 3);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_at_once_dial_no_more_than_they_need() {
    bounded(async {
        for hole in [1, 2, 3] {
            let names = Names::new([1, 2, 3]);
            names.set(hole, Behaviour::Hangs);
            let pool = names.pool();
            let requests =
                (0..1_000).map(|_| pool.http(&"name.test", pooled_fetch_tests::get("/")));
            let responses = join_all(requests).await;
            assert!(responses.iter().all(Result::is_ok));
            let stats = pool.stats();
            let open = stats.leased + stats.idle;
            assert_eq!(open, 1_000, "each holds its own");
            assert!(names.connects().len() <= open + 10, "{} dials", names.connects().len());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_no_address_can_be_reached_the_error_tells_of_each() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        names.set(1, Behaviour::Refuses);
        names.set(2, Behaviour::RefusesAfter(DELAY * 3));
        names.set(3, Behaviour::Refuses);
        let (pool, since) = (names.pool(), Instant::now());
        let error = fetch(&pool).await.expect_err("all refuse");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let text = error.to_string();
        assert!(text.starts_with("connecting to \"name.test\": "), "{text}");
        assert!(text.contains("192.0.2.2:80: connection refused"), "{text}");
        assert!(since.elapsed() >= DELAY * 3, "the one that was slow might have answered");
        assert_eq!(names.connects(), [1, 2, 3]);
        assert_eq!(pool.stats().opening, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_goes_on_alone_when_the_others_have_failed() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        names.set(1, Behaviour::TakesAfter(SECOND));
        names.set(2, Behaviour::Refuses);
        names.set(3, Behaviour::RefusesAfter(DELAY * 2));
        let pool = names.pool();
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        assert_eq!(names.connects(), [1, 2, 3]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_all_addresses_hang_the_connect_timeout_ends_it() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        for last in [1, 2, 3] {
            names.set(last, Behaviour::Hangs);
        }
        let pool = names.pool_with(|settings| settings.connect_timeout(SECOND * 2));
        let since = Instant::now();
        let error = fetch(&pool).await.expect_err("all hang");
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error}");
        assert!(since.elapsed() < SECOND * 3, "{:?}", since.elapsed());
        assert_eq!(names.connects()[..3], [1, 2, 3]);
        let_pass(SECOND * 5).await;
        assert_eq!(pool.stats().opening, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn however_many_addresses_hang_and_whatever_the_limit_a_request_waits_no_longer_than_the_timeout()
 {
    bounded(async {
        for (addresses, limit, in_all) in [2, 3, 4, 7]
            .into_iter()
            .flat_map(|addresses| LIMITS.map(|(limit, in_all)| (addresses, limit, in_all)))
        {
            let names = Names::new(1..=addresses);
            (1..=addresses).for_each(|last| names.set(last, Behaviour::Hangs));
            let pool = names.pool_with(|settings| {
                let settings = settings.connect_timeout(SECOND * 2).checkout_timeout(None);
                if in_all {
                    settings.max_connections(limit)
                } else {
                    settings.max_connections_per_address(limit)
                }
            });
            for _ in 0..3 {
                let since = Instant::now();
                let error = fetch(&pool).await.expect_err("all hang");
                assert_eq!(error.kind(), ErrorKind::ConnectTimeout, "{error}");
                let took = since.elapsed();
                assert!(took < SECOND * 2 + DELAY, "{addresses} {limit:?} {in_all}: {took:?}");
            }
        }
    })
    .await;
}

/// Limits, and whether they are of the pool or of an address.
const LIMITS: [(Option<usize>, bool); 5] =
    [(None, true), (Some(1), true), (Some(2), true), (Some(1), false), (Some(2), false)];

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_during_the_race_leaves_one_dial_at_most() {
    bounded(async {
        let names = Names::new([1, 2, 3]);
        for last in [1, 2, 3] {
            names.set(last, Behaviour::Hangs);
        }
        let pool = names.pool_with(|settings| settings.connect_timeout(None));
        tokio::time::timeout(SECOND, fetch(&pool)).await.expect_err("all hang");
        settle().await;
        assert!(pool.stats().opening <= 1, "{:?}", pool.stats());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_hangs_when_no_request_waits_keeps_later_ones_from_no_address() {
    bounded(async {
        for timeout in [Some(SECOND * 10), None] {
            let names = Names::new([1, 2]);
            names.set(1, Behaviour::Hangs);
            let pool = names.pool_with(|settings| settings.connect_timeout(timeout));
            tokio::time::timeout(DELAY / 2, fetch(&pool)).await.expect_err("little patience");
            let_pass(DELAY).await;
            let since = Instant::now();
            assert_eq!(fetch(&pool).await.expect("a response"), 2);
            assert!(since.elapsed() < DELAY, "{:?}", since.elapsed());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_of_little_patience_reach_an_address_that_is_far_beside_one_that_hangs() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set(1, Behaviour::Hangs);
        names.set(2, Behaviour::TakesAfter(DELAY * 2));
        let pool = names.pool();
        let mut served = None;
        for _ in 0..10 {
            served = served.or(tokio::time::timeout(DELAY * 6 / 5, fetch(&pool)).await.ok());
        }
        assert_eq!(served.expect("the dial that was left behind").expect("a response"), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_hangs_gives_its_place_to_a_request_that_a_limit_keeps_waiting() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set(1, Behaviour::Hangs);
        let pool = names.pool_with(|settings| settings.max_connections_per_address(2));
        let held =
            pool.http(&"name.test", pooled_fetch_tests::get("/slow")).await.expect("a response");
        let since = Instant::now();
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
        drop(held);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_failed_once_is_tried_again_while_another_still_hangs() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set(1, Behaviour::Hangs);
        names.set(2, Behaviour::Refuses);
        let pool = names.pool();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { fetch(&pool).await }
        });
        let_pass(SECOND).await;
        names.set(2, Behaviour::Takes);
        let_pass(SECOND).await;
        let since = Instant::now();
        let second = fetch(&pool).await;
        assert_eq!(second.expect("a response"), 2);
        assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
        first.abort();
    })
    .await;
}
