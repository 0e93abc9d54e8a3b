//! A server that is healthy, but for one slow path, keeps its connections.

use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{Backend, Server, answer, bounded, get, let_pass, post, start_with};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, timeout};

use super::{SECOND, World};

#[tokio::test(start_paused = true)]
async fn an_answer_over_one_that_was_set_aside_clears_all() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.times_out(get("/slow")).await;
            assert_eq!(world.idle(), idle - 1);
            world.fetch(get("/tries")).await.expect("its path is alive");
            assert_eq!(world.at_once((1..idle).map(|_| post("/", "all"))).await, 0);
            assert_eq!(world.path.opened(), idle, "none was opened beside");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_served_when_the_others_are_cleared() {
    bounded(async {
        let world = World::resting(3, SECOND).await;
        world.times_out(get("/slow")).await;
        // No dial helps. The first that waits is handed the one that was tried, and keeps it.
        world.watch.close_gate();
        let begun = Instant::now();
        let tries = tokio::spawn(world.fetch(get("/tries")));
        let keeps = tokio::spawn(world.fetch(post("/slow", "keeps")));
        let waits = tokio::spawn(world.fetch(post("/", "waits")));
        tries.await.expect("no panic").expect("an answer");
        waits.await.expect("no panic").expect("an answer");
        assert_eq!((begun.elapsed(), keeps.is_finished()), (Duration::ZERO, false));
        assert_eq!(world.path.opened(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_gives_the_one_that_is_tried_all_of_its_time() {
    bounded(async {
        let world = World::resting(5, SECOND).await;
        world.times_out(get("/slow")).await;
        let begun = Instant::now();
        world.times_out(get("/half")).await;
        let took = begun.elapsed();
        assert!((SECOND..SECOND * 11 / 10).contains(&took), "{took:?}");
        assert_eq!(world.at_once((0..3).map(|_| post("/", "all"))).await, 0);
        assert_eq!(world.path.opened(), 5, "its path was seen to be alive");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_sets_nothing_aside() {
    bounded(async {
        let world = World::resting(5, 40 * SECOND).await;
        for _ in 0..3 {
            let slow = timeout(2 * SECOND, world.fetch(get("/slow"))).await;
            assert!(slow.is_err(), "no answer");
        }
        assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
        assert_eq!(world.path.opened(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_on_a_connection_that_has_hardly_rested_sets_nothing_aside() {
    bounded(async {
        let world = World::resting(5, SECOND).await;
        world.fetch(get("/")).await.expect("an answer");
        advance(SECOND * 9 / 10).await;
        world.times_out(get("/slow")).await;
        assert_eq!(world.at_once((0..4).map(|_| post("/", "all"))).await, 0);
        assert_eq!(world.path.opened(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_timeouts_of_one_slow_path_open_hardly_more_than_is_used_at_once() {
    bounded(async {
        const FEW: usize = 10;
        // How many requests are sent at once after each timeout, and whether they may try.
        for (at_once, may_try) in [(1, true), (8, true), (8, false), (40, true)] {
            let world = World::resting(at_once, SECOND).await;
            let timeouts = 1_000 / at_once;
            for _ in 0..timeouts {
                world.times_out(get("/slow")).await;
                let one = || if may_try { get("/fast") } else { post("/fast", "once") };
                assert_eq!(world.at_once((0..at_once).map(|_| one())).await, 0);
                advance(2 * SECOND).await;
            }
            let most = world.path.most_open();
            assert!(most <= at_once + FEW, "{most} at once, for {at_once} requests");
            // And all requests at once, one of them slow.
            let before = world.path.opened();
            for _ in 0..timeouts {
                let requests = (1..at_once).map(|_| get("/fast")).chain([get("/slow")]);
                assert_eq!(world.at_once(requests).await, 1);
                advance(2 * SECOND).await;
            }
            let opened = world.path.opened() - before;
            assert!(opened <= timeouts + FEW, "{opened} opened, for {timeouts} that timed out");
            assert!(world.path.most_open() <= at_once + FEW);
        }
    })
    .await;
}

/// Answers after `latency`, and to `/slow` never.
async fn serve_slowly(mut server: Server, latency: Duration) {
    while let Some(mut connection) = server.next_connection().await {
        tokio::spawn(async move {
            while let Some(request) = connection.next_request().await {
                if request.target() == "/slow" {
                    std::future::pending::<()>().await;
                }
                let_pass(latency).await;
                if connection.try_write(answer("ok")).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Over a fresh connection it is as slow as over the one that was tried.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_slower_than_a_trial_may_take_loses_no_connection_but_the_one_that_was_tried()
 {
    const IDLE: usize = 30;
    const ROUNDS: usize = 5;
    for latency in [20, 90, 120, 200, 390].map(Duration::from_millis) {
        bounded(async {
            let (caller, server) =
                start_with(Backend::Memory, |settings| settings.response_timeout(SECOND * 2 / 5))
                    .await;
            tokio::spawn(serve_slowly(server, latency));
            for _ in 0..ROUNDS {
                let crowd: JoinSet<_> = (0..IDLE).map(|_| caller.fetch(get("/"))).collect();
                crowd
                    .join_all()
                    .await
                    .into_iter()
                    .for_each(|served| drop(served.expect("a response")));
                let_pass(2 * SECOND).await;
                caller.fetch(get("/slow")).await.expect_err("no answer in time");
                for _ in 0..3 {
                    caller.fetch(get("/")).await.expect("a response");
                }
                let stats = caller.pool.stats();
                assert_eq!(stats.closed(Reason::SiblingFailed), 0, "{latency:?}");
                let_pass(2 * SECOND).await;
            }
            let opened = caller.pool.stats().opened;
            assert!(opened <= (IDLE + 2 * ROUNDS) as u64, "{latency:?}: {opened}");
        })
        .await;
    }
}

/// Its request has gone over another connection, which has not answered yet either.
#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_after_a_trial_condemns_nothing() {
    for (latency, patience) in [(200, 150), (120, 130), (390, 190)] {
        let [latency, patience] = [latency, patience].map(Duration::from_millis);
        bounded(async {
            let (caller, server) =
                start_with(Backend::Memory, |settings| settings.response_timeout(SECOND * 2 / 5))
                    .await;
            tokio::spawn(serve_slowly(server, latency));
            let crowd: JoinSet<_> = (0..8).map(|_| caller.fetch(get("/"))).collect();
            crowd.join_all().await.into_iter().for_each(|served| drop(served.expect("a response")));
            let_pass(2 * SECOND).await;
            caller.fetch(get("/slow")).await.expect_err("no answer in time");
            assert!(timeout(patience, caller.fetch(get("/"))).await.is_err(), "it gives up");
            let_pass(SECOND).await;
            let stats = caller.pool.stats();
            assert_eq!((stats.closed(Reason::SiblingFailed), stats.idle), (0, 6));
        })
        .await;
    }
}
