//! Of the dials for which no request waits any more one goes on for each address, until a limit wants its place.

use std::time::Duration;

use pool_core::{Builder, ErrorKind};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Fate, Lent, Server, Settings, answer, bounded, ends_idle,
    eventually, for_each_backend, get, let_pass, settle, start, start_many_addresses, start_with,
};
use tokio::runtime;
use tokio::task::JoinSet;

for_each_backend! {
    of_the_dials_of_cancelled_requests_one_goes_on_and_serves_a_later_caller,
    a_dial_that_a_request_still_needs_goes_on,
    dials_left_behind_give_way_to_an_address_that_the_limit_keeps_waiting,
    a_request_that_waits_already_takes_the_place_of_a_dial_that_is_left_behind,
    a_dial_left_behind_gives_way_to_another_runtime,
    a_dial_whose_request_was_served_otherwise_gives_way_to_another_runtime,
    a_drain_does_not_wait_for_a_dial_that_is_left_behind,
}

async fn a_dial_whose_request_was_served_otherwise_gives_way_to_another_runtime(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_connections_per_address(2).connect_timeout(None)
    })
    .await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.set_next_fate(Fate::Lost);
    let here = tokio::spawn(caller.fetch(get("/here")));
    eventually("it dials", || caller.watch.held() == 2).await;
    let other = caller.clone();
    let there = std::thread::spawn(move || {
        let there = runtime::Builder::new_current_thread().enable_all().build();
        there.expect("a runtime").block_on(other.fetch(get("/there"))).map(drop)
    });
    eventually("both wait", || caller.pool.stats().waiting == 2).await;
    let mut connection = lent.come_home().await;
    assert_eq!(connection.read_request().await.target(), "/here");
    let mut second = server.accept().await;
    assert_eq!(second.read_request().await.target(), "/there");
    second.write(answer("there")).await;
    connection.write(answer("here")).await;
    here.await.expect("no panic").expect("a response");
    eventually("the other thread ends", || there.is_finished()).await;
    there.join().expect("no panic").expect("a response");
}

async fn a_drain_does_not_wait_for_a_dial_that_is_left_behind(backend: Backend) {
    for drained_first in [false, true] {
        let (caller, _server) =
            start_with(backend, |settings| settings.connect_timeout(None)).await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        let client = tokio::spawn(caller.fetch(get("/")));
        eventually("it dials", || caller.watch.held() == 1).await;
        let (pool, address) = (caller.pool.clone(), caller.address.clone());
        let drain = tokio::spawn(async move { pool.drain(&address).await });
        if drained_first {
            settle().await;
        }
        client.abort();
        drain.await.expect("no panic");
        assert_eq!(caller.watch.held(), 0);
    }
}

/// Has requests dial, and cancels them once they do.
async fn cancelled(caller: &Caller, requests: usize) {
    let before = caller.watch.held();
    let mut clients: JoinSet<_> = (0..requests).map(|_| caller.fetch(get("/"))).collect();
    eventually("all dial", || caller.watch.held() == before + requests).await;
    clients.shutdown().await;
}

async fn of_the_dials_of_cancelled_requests_one_goes_on_and_serves_a_later_caller(
    backend: Backend,
) {
    for requests in [1, 2, 20] {
        let (caller, server) = start(backend).await;
        caller.watch.close_gate();
        cancelled(&caller, requests).await;
        caller.watch.until_waiting(1).await;
        settle().await;
        assert_eq!((caller.watch.held(), caller.pool.stats().opening), (1, 1));
        caller.watch.open_gate();
        eventually("the dial ends", || caller.pool.stats().idle == 1).await;
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.fetch(get("/")).await.expect("a response");
        assert_eq!((caller.watch.opened(), caller.pool.stats().failed_to_open), (1, 0));
        ends_idle(caller).await;
    }
}

async fn a_dial_that_a_request_still_needs_goes_on(backend: Backend) {
    let (caller, server) = start(backend).await;
    caller.watch.close_gate();
    let mut needed: JoinSet<_> = (0..3).map(|_| caller.fetch(get("/"))).collect();
    caller.watch.until_waiting(3).await;
    cancelled(&caller, 6).await;
    caller.watch.until_waiting(4).await;
    settle().await;
    assert_eq!(caller.pool.stats().opening, 4, "one for each, and one that was left behind");
    caller.watch.open_gate();
    let _service = EchoServer::start(server, |_| answer("served"));
    while let Some(whole) = needed.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    eventually("all dials end", || caller.watch.opened() == 4).await;
    ends_idle(caller).await;
}

/// Four addresses that are lost, and one that lives.
async fn holes_and_a_living(
    backend: Backend,
    settings: impl FnOnce(Settings) -> Settings,
) -> (Vec<Caller>, Caller, Server) {
    let (mut callers, mut servers) = start_many_addresses(backend, 5, settings).await;
    let (living, server) = (callers.remove(4), servers.remove(4));
    for hole in &callers {
        hole.watch.set_fate(&hole.address, Fate::Lost);
    }
    (callers, living, server)
}

async fn dials_left_behind_give_way_to_an_address_that_the_limit_keeps_waiting(backend: Backend) {
    let (holes, living, server) =
        holes_and_a_living(backend, |settings| settings.max_connections(4)).await;
    for hole in &holes {
        cancelled(hole, 1).await;
    }
    assert_eq!(living.watch.held(), 4, "one for each address goes on");
    let _service = EchoServer::start(server, |_| answer("served"));
    living.fetch(get("/")).await.expect("its turn comes at once");
    assert_eq!((living.watch.held(), living.watch.peak()), (4, 4), "one gave way");
    living.pool.close();
    living.watch.until_waiting(0).await;
}

async fn a_request_that_waits_already_takes_the_place_of_a_dial_that_is_left_behind(
    backend: Backend,
) {
    let (holes, living, server) =
        holes_and_a_living(backend, |settings| settings.max_connections(4)).await;
    let mut clients: JoinSet<_> = holes.iter().map(|hole| hole.fetch(get("/"))).collect();
    eventually("all dial", || living.watch.held() == 4).await;
    let _service = EchoServer::start(server, |_| answer("served"));
    let waiting = tokio::spawn(living.fetch(get("/")));
    eventually("it waits", || living.pool.stats().waiting == 5).await;
    settle().await;
    assert_eq!(living.watch.held(), 4, "a request waits for each of them");
    clients.shutdown().await;
    waiting.await.expect("no panic").expect("its turn comes at once");
    assert_eq!(living.watch.peak(), 4);
    living.pool.close();
    living.watch.until_waiting(0).await;
}

async fn a_dial_left_behind_gives_way_to_another_runtime(backend: Backend) {
    let limits: [fn(Builder<_>) -> Builder<_>; 2] = [
        |settings| settings.max_connections(1),
        |settings| settings.max_connections_per_address(1),
    ];
    for limit in limits {
        let (caller, server) = start_with(backend, limit).await;
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.watch.set_next_fate(Fate::Lost);
        cancelled(&caller, 1).await;
        assert_eq!(caller.watch.held(), 1);
        let other = caller.clone();
        let served = std::thread::spawn(move || {
            let there = runtime::Builder::new_current_thread().enable_all().build();
            there.expect("a runtime").block_on(async { other.fetch(get("/")).await.map(drop) })
        });
        eventually("it ends", || served.is_finished()).await;
        served.join().expect("no panic").expect("a response");
        assert_eq!(caller.watch.peak(), 1);
        caller.pool.close();
        caller.watch.until_waiting(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_is_left_behind_goes_on_to_its_connect_timeout() {
    bounded(async {
        let (caller, _server) = start_with(Backend::Memory, |settings| {
            settings.connect_timeout(Duration::from_secs(7))
        })
        .await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        cancelled(&caller, 5).await;
        let_pass(Duration::from_millis(6_990)).await;
        assert_eq!((caller.watch.held(), caller.pool.stats().opening), (1, 1));
        let_pass(Duration::from_millis(20)).await;
        assert_eq!((caller.watch.held(), caller.pool.stats().failed_to_open), (0, 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn of_the_dials_whose_requests_were_served_otherwise_one_goes_on_beyond_a_second() {
    for served_after in [0, 1_500] {
        bounded(async {
            let (caller, mut server) = start(Backend::Memory).await;
            let lent = Lent::open(&caller, &mut server).await;
            caller.watch.set_fate(&caller.address, Fate::Lost);
            let mut clients: JoinSet<_> = (0..20).map(|_| caller.fetch(get("/"))).collect();
            eventually("all dial", || caller.watch.held() == 21).await;
            let_pass(Duration::from_millis(served_after)).await;
            let mut connection = lent.come_home().await;
            for _ in 0..20 {
                connection.read_request().await;
                connection.write(answer("served")).await;
            }
            while let Some(whole) = clients.join_next().await {
                whole.expect("no panic").expect("a response");
            }
            assert_eq!(caller.pool.stats().opening, 20, "each is about to open its connection");
            let_pass(Duration::from_millis(1_010)).await;
            assert_eq!((caller.watch.held(), caller.pool.stats().opening), (2, 1));
            let_pass(Duration::from_secs(10)).await;
            ends_idle(caller).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_short_patience_reach_a_far_address_in_the_end() {
    bounded(async {
        let (caller, server) = start_with(Backend::Memory, |settings| {
            settings.checkout_timeout(Duration::from_millis(100))
        })
        .await;
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.watch.close_gate();
        for _ in 0..5 {
            let error = caller.fetch(get("/")).await.expect_err("it is far");
            assert_eq!(error.kind(), ErrorKind::CheckoutTimeout);
        }
        assert_eq!(caller.watch.held(), 1, "each relies on the dial of the first");
        caller.watch.open_gate();
        caller.fetch(get("/")).await.expect("a response");
        assert_eq!(caller.watch.opened(), 1);
        ends_idle(caller).await;
    })
    .await;
}
