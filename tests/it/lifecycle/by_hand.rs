//! What a program does with a pool by hand, and what it has the pool do with idle connections.

use std::collections::HashMap;
use std::time::Duration;

use pool_core::{Backoff, ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Fate, Lent, Server, Whole, answer, bounded, ends_idle,
    for_each_backend, get, let_pass, start, start_many_addresses, start_with,
};
use tokio::time::Instant;

for_each_backend! {
    a_snapshot_has_every_address_with_what_is_there,
    closing_what_is_idle_retires_nothing,
    a_close_ends_with_the_last_connection,
    a_backoff_is_ended_by_hand,
}

const SECOND: Duration = Duration::from_secs(1);

/// Opens so many connections at once, which are idle then.
async fn make_idle(
    caller: &Caller,
    server: &mut Server,
    count: usize,
) -> Vec<pooled_fetch_tests::Connection> {
    let mut lent = Vec::new();
    for _ in 0..count {
        lent.push(Lent::open(caller, server).await);
    }
    let mut idle = Vec::new();
    for lent in lent {
        idle.push(lent.come_home().await);
    }
    idle
}

async fn a_snapshot_has_every_address_with_what_is_there(backend: Backend) {
    let (callers, mut servers) = start_many_addresses(backend, 3, |settings| settings).await;
    let pool = &callers[0].pool;
    assert!(pool.snapshot().is_empty());
    let _idle = make_idle(&callers[0], &mut servers[0], 2).await;
    let _lent = Lent::open(&callers[1], &mut servers[1]).await;
    callers[2].watch.set_fate(&callers[2].address, Fate::Refused);
    callers[2].fetch(get("/")).await.expect_err("it refuses");
    let snapshot: HashMap<_, _> = pool.snapshot().into_iter().collect();
    assert_eq!(snapshot.len(), 3);
    let of = |number: usize| &snapshot[&callers[number].address];
    assert_eq!((of(0).idle, of(0).leased, of(0).opened), (2, 0, 2));
    assert_eq!((of(1).idle, of(1).leased, of(1).requests), (0, 1, 1));
    assert_eq!((of(2).failed_to_open, of(2).opened), (1, 0));
    for (address, stats) in &snapshot {
        assert_eq!(pool.stats_of(address).as_ref(), Some(stats));
    }
}

async fn closing_what_is_idle_retires_nothing(backend: Backend) {
    let (callers, mut servers) = start_many_addresses(backend, 2, |settings| settings).await;
    let pool = &callers[0].pool;
    for all in [false, true] {
        let lent = Lent::open(&callers[0], &mut servers[0]).await;
        let mut first = make_idle(&callers[0], &mut servers[0], 2).await;
        let mut second = make_idle(&callers[1], &mut servers[1], 1).await;
        if all {
            pool.close_idle();
        } else {
            pool.close_idle_at(&callers[0].address);
        }
        for connection in &mut first {
            connection.ends().await;
        }
        let left = pool.stats_of(&callers[1].address).expect("known").idle;
        assert_eq!(left, usize::from(!all));
        // What is lent comes home and serves on.
        let mut home = lent.come_home().await;
        servers[0].reuse(&mut home, callers[0].fetch(get("/")), answer("served")).await;
        pool.close_idle();
        home.ends().await;
        second[0].ends().await;
    }
    assert_eq!(pool.stats().closed(Reason::Unwanted), pool.stats().opened);
}

async fn a_close_ends_with_the_last_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut idle = make_idle(&caller, &mut server, 1).await;
    let left = caller.pool.close().within(Duration::from_millis(10)).await;
    assert_eq!(left, Err(1), "a response is held");
    idle[0].ends().await;
    let error = caller.fetch(get("/")).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let Lent { mut connection, response } = lent;
    let all = tokio::spawn(caller.pool.close().into_future());
    connection.write("half").await;
    Whole::read(response).await.expect("the other half");
    all.await.expect("no panic");
    assert_eq!(caller.pool.close().within(SECOND).await, Ok(()));
    assert_eq!(caller.watch.open(), 0);
}

async fn a_backoff_is_ended_by_hand(backend: Backend) {
    let (caller, server) = start_with(backend, |settings| settings.backoff(Backoff::Fail)).await;
    assert!(!caller.pool.end_backoff(&caller.address), "nothing is known of it");
    caller.watch.set_fate(&caller.address, Fate::Refused);
    loop {
        let error = caller.fetch(get("/")).await.expect_err("it refuses");
        // A pause may be as short as nothing.
        if error.kind() == ErrorKind::BackingOff {
            break;
        }
    }
    caller.watch.set_fate(&caller.address, Fate::Taken);
    let _service = EchoServer::start(server, |_| answer("served"));
    assert!(caller.pool.end_backoff(&caller.address));
    caller.fetch(get("/")).await.expect("the next request dials");
    assert!(!caller.pool.end_backoff(&caller.address));
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_connections_are_kept_idle_and_opened_one_at_a_time() {
    bounded(async {
        let (caller, server) =
            start_with(Backend::Memory, |settings| settings.min_idle(3).idle_timeout(SECOND * 30))
                .await;
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.fetch(get("/")).await.expect("a response");
        let since = Instant::now();
        while caller.pool.stats().idle < 3 {
            assert!(caller.pool.stats().opening <= 1);
            assert!(since.elapsed() < SECOND * 60, "{:?}", caller.pool.stats());
            let_pass(SECOND / 10).await;
        }
        assert!(since.elapsed() >= SECOND / 2, "with manners");
        // They outlive their idle timeout in others.
        for _ in 0..200 {
            let_pass(SECOND).await;
            let stats = caller.pool.stats();
            assert!(stats.idle + stats.parked <= 3, "{stats:?}");
        }
        let stats = caller.pool.stats();
        assert!(
            stats.idle + stats.parked > 0 && stats.closed(Reason::IdleTimeout) > 0,
            "{stats:?}"
        );
        // Not while the address fails.
        caller.watch.set_fate(&caller.address, Fate::Refused);
        caller.pool.close_idle();
        let_pass(SECOND * 30).await;
        let failed = caller.pool.stats().failed_to_open;
        assert!((1..=4).contains(&failed), "{failed} dials to an address that refuses");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_least_number_takes_no_place_that_a_limit_gives_to_others() {
    bounded(async {
        let (callers, mut servers) = start_many_addresses(Backend::Memory, 2, |settings| {
            settings.min_idle(2).max_connections(2)
        })
        .await;
        let _first = make_idle(&callers[0], &mut servers[0], 1).await;
        let _second = make_idle(&callers[1], &mut servers[1], 1).await;
        let_pass(SECOND * 20).await;
        let stats = callers[0].pool.stats();
        assert_eq!((stats.parked, stats.opened, stats.closed(Reason::Evicted)), (2, 2, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_not_needed_for_a_while_closes_little_by_little() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.shrink_idle_after(SECOND * 8).idle_timeout(None).park_after(None)
        })
        .await;
        let mut connections = make_idle(&caller, &mut server, 64).await;
        // Two at once are needed all the time.
        let mut counts = vec![64];
        for _ in 0..120 {
            let [mut one, mut other] = [(); 2].map(|()| connections.pop().expect("two"));
            let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
            let (_, first) = server.reuse(&mut one, caller.send(get("/")), half).await;
            let (_, second) = server.reuse(&mut other, caller.send(get("/")), half).await;
            other.write("half").await;
            Whole::read(second).await.expect("a body");
            one.write("half").await;
            Whole::read(first).await.expect("a body");
            connections.extend([other, one]);
            let_pass(SECOND / 2).await;
            let idle = caller.pool.stats().idle;
            connections.drain(..connections.len() - idle);
            if counts.last() != Some(&idle) {
                counts.push(idle);
            }
        }
        assert_eq!(counts.last(), Some(&2), "{counts:?}");
        assert!(counts.len() > 4, "not all at once: {counts:?}");
        assert!(counts.windows(2).all(|two| two[1] * 2 >= two[0] - 2), "{counts:?}");
        assert_eq!(caller.pool.stats().closed(Reason::Surplus), 62);
    })
    .await;
}
