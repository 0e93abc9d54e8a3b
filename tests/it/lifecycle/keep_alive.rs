//! A connection is not reused when its server is about to close it: by what the server says, or has shown.

use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Caller, Connection, Server, answer, bounded, ends_idle, get, let_pass, start,
    start_many_addresses,
};
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn with_hint(hint: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nkeep-alive: {hint}\r\ncontent-length: 2\r\n\r\nok")
}

async fn serve_again(connection: &mut Connection, caller: &Caller, response: &str) {
    let server = async {
        connection.read_request().await;
        connection.write(response).await;
    };
    let (whole, ()) = tokio::join!(caller.fetch(get("/")), server);
    whole.expect("a response");
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_reused_up_to_a_second_before_the_server_says_that_it_closes() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let hint = with_hint("timeout=5");
        let (mut connection, ..) = server.open(caller.fetch(get("/")), &hint).await;
        for _ in 0..3 {
            advance(SECOND * 4 - Duration::from_millis(1)).await;
            serve_again(&mut connection, &caller, &hint).await;
        }
        advance(SECOND * 4).await;
        let (_new, ..) = server.open(caller.fetch(get("/")), answer("new")).await;
        connection.ends().await;
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.closed(Reason::IdleTimeout)), (2, 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_watcher_closes_what_the_server_is_about_to_close() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (mut connection, ..) =
            server.open(caller.fetch(get("/")), with_hint("timeout=20")).await;
        let since = Instant::now();
        connection.ends().await;
        assert!(since.elapsed() >= SECOND * 19, "{:?}", since.elapsed());
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_server_keeps_it_for_no_time_never_rests() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        for hint in ["timeout=0", "timeout=1", "max=0"] {
            let (mut connection, ..) = server.open(caller.fetch(get("/")), with_hint(hint)).await;
            connection.ends().await;
            assert_eq!(caller.pool.stats().idle, 0, "{hint}");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_as_often_as_its_server_says() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let hint = |left: u32| with_hint(&format!("timeout=60, max={left}"));
        let (mut connection, ..) = server.open(caller.fetch(get("/")), hint(2)).await;
        serve_again(&mut connection, &caller, &hint(1)).await;
        serve_again(&mut connection, &caller, &hint(0)).await;
        connection.ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::MaxUses), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_server_has_said_once_holds_when_it_says_nothing_later() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let first = with_hint("timeout=2, max=2");
        let (mut short, ..) = server.open(caller.fetch(get("/")), &first).await;
        serve_again(&mut short, &caller, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        advance(SECOND * 3 / 2).await;
        let (mut used_up, ..) = server.open(caller.fetch(get("/")), &first).await;
        short.ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::IdleTimeout), 1);
        for _ in 0..2 {
            serve_again(&mut used_up, &caller, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        used_up.ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::MaxUses), 1);
        ends_idle(caller).await;
    })
    .await;
}

/// How long a FIN takes to arrive.
const LATENCY: Duration = Duration::from_millis(20);

/// Closes connections that have been idle for `limit`, without a word; a request that crosses the close on its
/// way is never answered.
async fn serve_with_idle_limit(mut server: Server, limit: Duration) {
    while let Some(mut connection) = server.next_connection().await {
        tokio::spawn(async move {
            while let Ok(Some(_)) = timeout(limit, connection.next_request()).await {
                if connection.try_write(answer("ok")).await.is_err() {
                    return;
                }
            }
            let_pass(LATENCY).await;
        });
    }
}

/// Requests at random moments to servers with every idle limit there is. The oracle knows the limits; what it
/// would reuse, and does not lose, is what can be had.
#[tokio::test(start_paused = true)]
async fn the_idle_limit_of_a_server_that_says_nothing_is_learnt_from_two_closes() {
    const REQUESTS: u32 = 1_200;
    const LIMITS: [u64; 9] = [1, 2, 3, 5, 10, 15, 30, 60, 75];
    let (callers, servers) =
        start_many_addresses(Backend::Memory, LIMITS.len(), |settings| settings).await;
    let (mut sent, mut stale) = (0, 0);
    for ((caller, server), seconds) in callers.into_iter().zip(servers).zip(LIMITS) {
        let limit = SECOND * u32::try_from(seconds).expect("a minute or so");
        let server = tokio::spawn(serve_with_idle_limit(server, limit));
        let stats = || caller.pool.stats_of(&caller.address).unwrap_or_default();
        let misses = || stats().closed(Reason::ClosedByPeer) + stats().stale;
        let mut random = fastrand::Rng::with_seed(seconds);
        let mut gap = || limit.mul_f64(1.5 * random.f64());
        caller.fetch(get("/")).await.expect("a response");
        while misses() < 2 {
            let_pass(gap()).await;
            caller.fetch(get("/")).await.expect("a response");
        }
        let before = stats();
        let mut oracle = 0;
        for _ in 0..REQUESTS {
            let gap = gap();
            oracle += u64::from(gap < limit);
            let_pass(gap).await;
            caller.fetch(get("/")).await.expect("a response");
        }
        let reused = stats().reused - before.reused;
        assert!(reused * 100 >= oracle * 95, "{seconds} s: {reused} reuses of {oracle}");
        sent += u64::from(REQUESTS);
        stale += stats().stale - before.stale;
        server.abort();
    }
    assert!(stale * 10_000 < sent, "{stale} of {sent} requests were sent over a stale connection");
}

#[tokio::test(start_paused = true)]
async fn an_address_whose_idle_limit_was_learnt_is_forgotten_when_it_is_not_used() {
    const HOUR: Duration = Duration::from_secs(3600);
    bounded(async {
        let (mut callers, mut servers) =
            start_many_addresses(Backend::Memory, 2, |settings| settings.idle_timeout(None)).await;
        for limit in [HOUR * 24, SECOND * 10] {
            tokio::spawn(serve_with_idle_limit(servers.pop().expect("two"), limit));
        }
        // While this one has a connection, the watcher looks after the other.
        callers[1].fetch(get("/")).await.expect("a response");
        for _ in 0..3 {
            callers[0].fetch(get("/")).await.expect("a response");
            let_pass(SECOND * 30).await;
        }
        let caller = callers.swap_remove(0);
        let known = || caller.pool.stats_of(&caller.address);
        assert!(known().is_some(), "what was learnt is worth keeping for a while");
        let_pass(HOUR * 3).await;
        assert!(known().is_none(), "and not for ever");
        drop(callers);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_learnt_where_that_is_turned_off() {
    let (callers, servers) =
        start_many_addresses(Backend::Memory, 1, |settings| settings.learn_idle_limit(false)).await;
    let (caller, server) = (&callers[0], servers.into_iter().next().expect("one server"));
    let server = tokio::spawn(serve_with_idle_limit(server, SECOND * 5));
    for _ in 0..10 {
        caller.fetch(get("/")).await.expect("a response");
        let_pass(SECOND * 5 - Duration::from_millis(1)).await;
        caller.fetch(get("/")).await.expect("a response");
        let_pass(SECOND * 6).await;
    }
    assert_eq!(caller.pool.stats().reused, 10);
    server.abort();
}
