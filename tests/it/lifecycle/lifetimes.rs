//! A connection serves as long as it may: not idle for too long, not too old, not worn out; and no request is
//! cut for it. All over memory, since only there the clock can be moved.

use std::pin::pin;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Caller, Connection, EchoServer, Lent, Server, Settings, answer, bounded, ends_idle,
    eventually, get, poll_once, start_with,
};
use tokio::task::yield_now;
use tokio::time::advance;

/// Longer than any test runs, so that only the paused clock can reach it.
const LONG: Duration = Duration::from_secs(3600);

const MOMENT: Duration = Duration::from_millis(1);

/// What the watcher closes or looks at before others get their turn.
const BATCH: usize = 32;

/// Settings under which nothing but age and use ends a connection.
fn ageless(settings: Settings) -> Settings {
    settings.idle_timeout(None).park_after(None)
}

/// Moves the clock, and gives no task its turn meanwhile: none has noticed yet.
fn in_a_blink(time: Duration) {
    assert!(poll_once(pin!(advance(time))).is_pending(), "it would give others their turn");
}

async fn lend(caller: &Caller, server: &mut Server, count: usize) -> Vec<Lent> {
    let mut lent = Vec::new();
    for _ in 0..count {
        lent.push(Lent::open(caller, server).await);
    }
    lent
}

async fn come_home(lent: Vec<Lent>) -> Vec<Connection> {
    let mut connections = Vec::new();
    for lent in lent {
        connections.push(lent.come_home().await);
    }
    connections
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_too_long_is_not_lent_though_it_is_not_closed_yet() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(LONG).park_after(None))
                .await;
        let mut connections = come_home(lend(&caller, &mut server, 1).await).await;
        in_a_blink(LONG - MOMENT);
        server.reuse(&mut connections[0], caller.fetch(get("/")), answer("in time")).await;

        in_a_blink(LONG);
        let mut client = pin!(caller.fetch(get("/next")));
        assert!(poll_once(client.as_mut()).is_pending());
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), 1, "closed by the checkout");
        server.open(client, answer("next")).await;
        connections[0].ends().await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_parked_connection_closes_when_its_time_is_over() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.idle_timeout(LONG).park_after(Duration::from_secs(1))
        })
        .await;
        let mut connections = come_home(lend(&caller, &mut server, 3).await).await;
        advance(LONG / 2).await;
        eventually("all park", || caller.pool.stats().parked == 3).await;
        advance(LONG / 2).await;
        for connection in &mut connections {
            connection.ends().await;
        }
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), 3);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_timeout_of_zero_keeps_not_even_a_dial_without_a_waiter() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(Duration::ZERO)).await;
        caller.watch.close_gate();
        let cancelled = tokio::spawn(caller.fetch(get("/cancelled")));
        caller.watch.until_waiting(1).await;
        cancelled.abort();
        caller.watch.open_gate();
        server.accept().await.ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::Evicted), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_grows_too_old_in_use_serves_its_request_to_the_end() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| ageless(settings).max_lifetime(LONG)).await;
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nha";
        let request = Request::post("/").body(pooled_fetch_tests::Pieces::new(["both ways"]));
        let client = caller.send(request.expect("a request"));
        let (mut connection, _, mut response) = server.open(client, half).await;
        response.body_mut().frame().await.expect("a frame").expect("a piece");
        advance(LONG * 10).await;
        connection.write("lf").await;
        response.body_mut().frame().await.expect("a frame").expect("a piece");
        advance(LONG * 10).await;
        assert_eq!((caller.watch.open(), caller.pool.stats().closed_total()), (1, 0));
        connection.write("half").await;
        let rest = response.into_body().collect().await.expect("the rest");
        assert_eq!(rest.to_bytes(), "half");
        assert_eq!(caller.pool.stats().closed(Reason::MaxLifetime), 1);
        connection.ends().await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_grew_too_old_while_idle_serves_no_more() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            ageless(settings).max_lifetime(LONG).lifetime_jitter(0.0)
        })
        .await;
        let mut connections = come_home(lend(&caller, &mut server, 1).await).await;
        in_a_blink(LONG - MOMENT);
        server.reuse(&mut connections[0], caller.fetch(get("/")), answer("in time")).await;
        in_a_blink(MOMENT);
        server.open(caller.fetch(get("/")), answer("another")).await;
        connections[0].ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::MaxLifetime), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn behind_connections_that_grew_too_old_a_younger_one_is_found() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            ageless(settings).max_lifetime(LONG).lifetime_jitter(0.0)
        })
        .await;
        let old = lend(&caller, &mut server, 3).await;
        in_a_blink(LONG / 2);
        let young = lend(&caller, &mut server, 1).await;
        // The young one came home first, so it lies behind all the others.
        let mut young = come_home(young).await;
        let mut old = come_home(old).await;
        in_a_blink(LONG / 2);
        server.reuse(&mut young[0], caller.fetch(get("/")), answer("young")).await;
        for connection in &mut old {
            connection.ends().await;
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_opened_together_end_at_different_ages_within_the_jitter() {
    const COUNT: usize = 100;
    bounded(async {
        let retired = |caller: &Caller| caller.pool.stats().closed(Reason::MaxLifetime);
        for jitter in [0.1, 0.5, 1.0] {
            let retired_at = async |age: Duration| {
                let (caller, mut server) = start_with(Backend::Memory, |settings| {
                    ageless(settings).max_lifetime(LONG).lifetime_jitter(jitter)
                })
                .await;
                let lent = lend(&caller, &mut server, COUNT).await;
                in_a_blink(age);
                let connections = come_home(lent).await;
                let retired = retired(&caller);
                drop(connections);
                ends_idle(caller).await;
                retired
            };
            let earliest = LONG.mul_f64(1.0 - jitter);
            // Half way through, so each of them has an even chance; that fewer than ten of a hundred take
            // one side happens once in the age of the universe.
            let half_way = retired_at((earliest + LONG) / 2).await;
            assert!((10..=90).contains(&half_way), "{half_way} with a jitter of {jitter}");
            assert_eq!(retired_at(earliest.saturating_sub(MOMENT)).await, 0, "none is too early");
            assert_eq!(retired_at(LONG).await, COUNT as u64, "none is too late");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_lets_each_connection_serve_one_request() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| ageless(settings).max_lifetime(Duration::ZERO))
                .await;
        for _ in 0..3 {
            let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("only")).await;
            connection.ends().await;
        }
        assert_eq!(caller.pool.stats().closed(Reason::MaxLifetime), 3);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_or_idle_timeout_without_end_is_no_nonsense() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings
                .max_lifetime(Duration::MAX)
                .lifetime_jitter(0.0)
                .idle_timeout(Duration::MAX)
                .park_after(Duration::MAX)
                .connect_timeout(Duration::MAX)
                .response_timeout(Duration::MAX)
                .body_timeout(Duration::MAX)
        })
        .await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        advance(LONG).await;
        server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_as_many_requests_as_it_may() {
    bounded(async {
        let (caller, server) = start_with(Backend::Memory, |settings| settings.max_uses(3)).await;
        let service = EchoServer::start(server, |_| answer("served"));
        for _ in 0..8 {
            caller.fetch(get("/")).await.expect("a response");
        }
        let by: Vec<_> = service.served().into_iter().map(|(connection, _)| connection).collect();
        assert_eq!(by, [1, 1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(caller.pool.stats().closed(Reason::MaxUses), 2);
        ends_idle(caller).await;
    })
    .await;
}

/// Watches how many connections close between two turns of another task, until `left` are open.
async fn most_closed_in_a_turn(caller: &Caller, left: usize) -> usize {
    let mut most = 0;
    loop {
        let before = caller.watch.open();
        if before <= left {
            return most;
        }
        yield_now().await;
        most = most.max(before - caller.watch.open().min(before));
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_expire_at_one_instant_block_no_task() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.idle_timeout(LONG).park_after(None))
                .await;
        let lent = lend(&caller, &mut server, 1000).await;
        let connections = come_home(lent).await;
        assert_eq!(caller.watch.open(), 1000);
        let _service = EchoServer::start(server, |_| answer("meanwhile"));
        in_a_blink(LONG * 2);
        let meanwhile = async {
            caller.fetch(get("/meanwhile")).await.expect("a response");
            caller.watch.open()
        };
        // The one that served meanwhile is left.
        let (most, still_open) = tokio::join!(most_closed_in_a_turn(&caller, 1), meanwhile);
        // The request itself closes the one that it finds expired.
        assert!((1..=BATCH + 1).contains(&most), "{most} closed in one turn");
        assert!(still_open > 1, "the request waited until the others were closed");
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), 1000);
        drop(connections);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_their_server_closes_at_one_instant_block_no_task() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, ageless).await;
        let lent = lend(&caller, &mut server, 1000).await;
        let mut connections = come_home(lent).await;
        // The one that will serve the request; the newest of all is asked first.
        let mut survivor = connections.pop().expect("a thousand");
        drop(connections);
        let meanwhile = async {
            server.reuse(&mut survivor, caller.fetch(get("/meanwhile")), answer("served")).await;
            caller.watch.open()
        };
        let (most, still_open) = tokio::join!(most_closed_in_a_turn(&caller, 1), meanwhile);
        assert!((1..=BATCH).contains(&most), "{most} closed in one turn");
        assert!(still_open > 1, "the request waited until the others were closed");
        assert_eq!(caller.pool.stats().closed(Reason::ClosedByPeer), 999);
        ends_idle(caller).await;
    })
    .await;
}
