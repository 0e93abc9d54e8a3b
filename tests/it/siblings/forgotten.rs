//! A path that has forgotten its connections says nothing: a timeout tells, and one connection is tried.

use std::time::Duration;

use pool_core::{ErrorKind, Reason, response_timeout};
use pooled_fetch_tests::{Backend, bounded, eventually, get, post, settle};
use tokio::time::{Instant, advance, timeout};

use super::{SECOND, World};

#[tokio::test(start_paused = true)]
async fn a_path_that_has_forgotten_its_connections_costs_one_request() {
    bounded(async {
        for (idle, limit) in [(20, SECOND), (3, SECOND), (20, SECOND / 20), (1, 30 * SECOND)] {
            let world = World::resting(idle, limit).await;
            world.path.forget();
            world.times_out(get("/")).await;
            for _ in 0..idle {
                let begun = Instant::now();
                let answered = world.fetch(get("/next")).await.expect("not over the old path");
                assert_eq!(answered.body, "/next");
                assert!(begun.elapsed() < limit / 2, "it has waited for {:?}", begun.elapsed());
            }
            // The one that was tried timed out as well, but its request went on over another.
            let lost = idle.saturating_sub(2);
            eventually("the others close", || world.closed(Reason::SiblingFailed) == lost).await;
            assert_eq!((world.idle(), world.path.opened()), (1, idle + 1));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_be_sent_again_tries_nothing() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.path.forget();
            world.times_out(post("/", "once")).await;
            for _ in 0..idle {
                world.fetch(post("/", "next")).await.expect("over a fresh connection");
            }
            // All but the one that failed, and one of many, whose place the fresh one has.
            let aside = if idle > 8 { idle - 2 } else { idle - 1 };
            assert_eq!((world.idle(), world.path.opened()), (aside + 1, idle + 1));
            // Nor is one of them leased, because that would not be known before its request has failed.
            let lease = world.pool.lease(&world.address).await.expect("a connection");
            lease.http(get("/leased")).await.expect("a response");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_one_connection_is_tried_other_requests_go_over_younger_or_fresh_ones() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.path.forget();
            world.times_out(get("/")).await;
            let begun = Instant::now();
            let tries = tokio::spawn(world.fetch(get("/tries")));
            settle().await;
            assert_eq!(world.at_once((0..10).map(|_| get("/other"))).await, 0);
            assert_eq!(begun.elapsed(), Duration::ZERO, "nothing has waited");
            assert!(!tries.is_finished());
            tries.await.expect("no panic").expect("it went on over another");
            assert_eq!(world.at_once((0..30).map(|_| get("/later"))).await, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_cancelled_lets_another_try() {
    bounded(async {
        let world = World::resting(5, 40 * SECOND).await;
        world.path.forget();
        world.times_out(get("/")).await;
        for left in [3, 2] {
            let tries = timeout(SECOND, world.fetch(get("/tries"))).await;
            assert!(tries.is_err(), "no answer, and its caller has given up");
            assert_eq!((world.idle(), world.path.opened()), (left, 5));
        }
        assert_eq!(world.closed(Reason::SiblingFailed), 0, "a caller that gives up proves nothing");
        world.fetch(get("/tries")).await.expect("over a fresh connection at last");
        eventually("the others close", || world.closed(Reason::SiblingFailed) == 1).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_back_unused_does_not_pass_for_one_that_has_just_answered() {
    bounded(async {
        let world = World::resting(3, SECOND).await;
        let lease = world.pool.lease(&world.address).await.expect("an idle connection");
        world.path.forget();
        world.times_out(get("/")).await;
        drop(lease);
        assert_eq!((world.closed(Reason::SiblingFailed), world.idle()), (1, 1));
        world.fetch(post("/", "next")).await.expect("over a fresh connection");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_makes_way_where_a_limit_is_reached() {
    bounded(async {
        for total in [false, true] {
            let world = World::new(Backend::Memory, |settings| {
                let settings = settings.response_timeout(SECOND);
                if total {
                    settings.max_connections(3)
                } else {
                    settings.max_connections_per_address(3)
                }
            })
            .await;
            world.rest(3).await;
            advance(2 * SECOND).await;
            world.path.forget();
            world.times_out(post("/", "once")).await;
            assert_eq!(world.at_once((0..9).map(|_| post("/", "next"))).await, 0);
            assert_eq!((world.path.most_open(), world.idle()), (3, 3));
        }
    })
    .await;
}

/// The total time ends the first request, and no response timeout would have by then.
#[tokio::test(start_paused = true)]
async fn where_the_total_time_ends_a_request_a_dead_path_costs_one_as_well() {
    bounded(async {
        for response_timeout in [None, Some(2 * SECOND)] {
            let world = World::new(Backend::Memory, |settings| {
                settings.total_timeout(SECOND / 2).response_timeout(response_timeout)
            })
            .await;
            world.rest(15).await;
            advance(2 * SECOND).await;
            world.path.forget();
            let error = world.fetch(get("/")).await.expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::TotalTimeout);
            for _ in 0..15 {
                world.fetch(get("/next")).await.expect("not over the old path");
            }
            eventually("the others close", || world.closed(Reason::SiblingFailed) == 13).await;
        }
    })
    .await;
}

/// It would wait for an answer without end.
#[tokio::test(start_paused = true)]
async fn a_request_without_any_timeout_tries_nothing() {
    bounded(async {
        let world = World::new(Backend::Memory, |settings| settings).await;
        world.rest(3).await;
        advance(2 * SECOND).await;
        world.path.forget();
        let mut first = get("/");
        response_timeout(&mut first, SECOND);
        world.times_out(first).await;
        let begun = Instant::now();
        for _ in 0..5 {
            world.fetch(get("/next")).await.expect("over a fresh connection");
        }
        assert_eq!((begun.elapsed(), world.path.opened()), (Duration::ZERO, 4));
    })
    .await;
}
