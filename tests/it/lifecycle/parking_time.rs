//! When a connection is parked, and how soon what happens to it afterwards is noticed.

use std::time::Duration;

use pool_core::{Builder, Reason};
use pooled_fetch_tests::{Backend, Caller, answer, bounded, ends_idle, get, start, start_with};
use tokio::time::{Instant, advance};

use super::parking::{parked, parking, until_parked};

/// Longer than any test runs.
const AFTER: Duration = Duration::from_secs(3600);

/// Closes at once, that is before the clock has moved to the watcher's next round.
async fn closes_at_once(caller: Caller, reason: Reason) {
    let start = Instant::now();
    caller.watch.until_open(0).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let stats = caller.pool.stats();
    assert_eq!((stats.parked, stats.closed(reason), stats.closed_total()), (0, 1, 1));
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_parked_when_its_time_has_come() {
    bounded(async {
        for after in [AFTER, Duration::from_secs(60), Duration::from_secs(10)] {
            let (caller, mut server) = start_with(Backend::Memory, |settings| {
                settings.park_after(after).idle_timeout(None)
            })
            .await;
            let _open = server.open(caller.fetch(get("/")), answer("first")).await;
            advance(after - Duration::from_millis(1)).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(caller.pool.stats().idle, 1, "not before its time");
            let start = Instant::now();
            until_parked(&caller, 1).await;
            let late = start.elapsed();
            assert!(late <= after / 10 + Duration::from_millis(3), "{late:?} after {after:?}");
            ends_idle(caller).await;
        }
    })
    .await;
}

/// As above, for a time that is shorter than the watcher's own rounds.
#[tokio::test(start_paused = true)]
async fn a_connection_is_parked_in_time_though_the_time_is_short() {
    bounded(async {
        let after = Duration::from_secs(1);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.park_after(after)).await;
        let _open = server.open(caller.fetch(get("/")), answer("first")).await;
        let start = Instant::now();
        until_parked(&caller, 1).await;
        assert!(start.elapsed() <= after * 2, "parked only after {:?}", start.elapsed());
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ten_idle_seconds_park_a_connection_unless_told_otherwise() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        advance(Duration::from_secs(20)).await;
        until_parked(&caller, 1).await;
        let (_, response) = server.reuse(&mut connection, caller.send(get("/")), answer("")).await;
        let rested = response.body().connection().idle_for();
        assert!(rested >= Duration::from_secs(20), "{rested:?}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_never_to_be_parked_is_not() {
    bounded(async {
        let settings = |settings: Builder<_>| settings.park_after(None).idle_timeout(None);
        let (caller, mut server) = start_with(Backend::Memory, settings).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        for _ in 0..100 {
            advance(AFTER).await;
            tokio::task::yield_now().await;
        }
        let stats = caller.pool.stats();
        assert_eq!((stats.idle, stats.parked), (1, 0));
        server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_to_a_parked_connection_later_than_it_should() {
    bounded(async {
        for (bytes, reason) in [
            ("", Reason::ClosedByPeer),
            ("?", Reason::Unsolicited),
            ("HTTP/1.1 408 Request Timeout\r\n\r\n", Reason::ClosedByPeer),
        ] {
            let (caller, mut server) = parking(Backend::Memory).await;
            let mut connection = parked(&caller, &mut server).await;
            connection.write(bytes).await;
            if bytes.is_empty() {
                connection.finish().await;
            }
            closes_at_once(caller, reason).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_closes_when_its_time_is_over() {
    bounded(async {
        let settings = |settings: Builder<_>| settings.park_after(AFTER).idle_timeout(AFTER * 2);
        let (caller, mut server) = start_with(Backend::Memory, settings).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let home = Instant::now();
        advance(AFTER).await;
        until_parked(&caller, 1).await;
        connection.ends().await;
        let rested = home.elapsed();
        assert!((AFTER * 2..AFTER * 2 + Duration::from_secs(2)).contains(&rested), "{rested:?}");
        let stats = caller.pool.stats();
        assert_eq!((stats.parked, stats.closed(Reason::IdleTimeout)), (0, 1));
        ends_idle(caller).await;
    })
    .await;
}
