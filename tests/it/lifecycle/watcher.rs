//! The watcher of a runtime comes when it is needed, does what it does in small steps, and goes.

use std::pin::pin;
use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Lent, answer, bounded, ends_idle, eventually, get, poll_once, start, start_with,
};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::advance;

/// Longer than any test runs, so that only the paused clock can reach it.
const LONG: Duration = Duration::from_secs(3600);

/// What the watcher parks before others get their turn.
const BATCH: usize = 32;

#[tokio::test(start_paused = true)]
async fn the_watcher_goes_when_nothing_is_open_and_another_comes_when_it_is_needed() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let before = tasks();
        for _ in 0..3 {
            let (connection, ..) = server.open(caller.fetch(get("/")), answer("once")).await;
            eventually("only the watcher is left", || tasks() == before + 1).await;
            drop(connection);
            eventually("it goes too", || tasks() == before).await;
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_of_which_nothing_is_left_is_forgotten_but_not_its_counts() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (connection, ..) = server.open(caller.fetch(get("/")), answer("once")).await;
        assert!(caller.pool.stats_of(&caller.address).is_some());
        drop(connection);
        eventually("it is forgotten", || caller.pool.stats_of(&caller.address).is_none()).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.closed(Reason::ClosedByPeer)), (1, 1));
        server.open(caller.fetch(get("/")), answer("again")).await;
        assert_eq!(caller.pool.stats().opened, 2);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_are_parked_at_one_instant_block_no_task() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(None).park_after(LONG))
                .await;
        let mut lent = Vec::new();
        for _ in 0..1000 {
            lent.push(Lent::open(&caller, &mut server).await);
        }
        let mut connections = Vec::new();
        for lent in lent {
            connections.push(lent.come_home().await);
        }
        // No task gets a turn meanwhile, so that all of them are due at once.
        assert!(poll_once(pin!(advance(LONG * 2))).is_pending());
        let mut most = 0;
        loop {
            let before = caller.pool.stats().parked;
            if before == 1000 {
                break;
            }
            yield_now().await;
            most = most.max(caller.pool.stats().parked - before);
        }
        assert!((1..=BATCH).contains(&most), "{most} parked in one turn");
        ends_idle(caller).await;
    })
    .await;
}
