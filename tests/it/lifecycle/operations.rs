//! Addresses are warmed, retired, drained and taken back, and a pool is closed.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;
use std::{io, thread};

use pool_core::{ErrorKind, Reason, Reuse, reuse};
use pooled_fetch_tests::{
    Address, Backend, Caller, Whole, answer, bounded, ends_idle, eventually, for_each_backend, get,
    start, start_many_addresses, start_with,
};
use tokio::runtime::Builder;

for_each_backend! {
    warming_opens_what_is_missing_and_no_more,
    warming_tells_of_the_first_failure_and_keeps_the_rest,
    warming_stays_within_the_limits,
    a_retired_address_serves_no_request_until_it_is_named_again,
    what_is_lent_when_its_address_retires_ends_in_peace,
    draining_ends_when_the_last_connection_has,
    draining_waits_for_a_connection_that_is_being_opened,
    draining_lets_waiters_be_served,
    draining_ends_when_the_last_waiter_has_given_up,
    an_unknown_address_is_drained_at_once,
    a_closed_pool_serves_no_request,
    closing_fails_the_waiters_and_abandons_what_is_being_opened,
    a_connection_whose_address_is_retired_takes_no_other_along,
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// Polls once; no task is woken for it.
fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

async fn warming_opens_what_is_missing_and_no_more(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.pool.warm(&caller.address, 2).await.expect("two connections");
    assert_eq!((caller.watch.opened(), caller.pool.stats().idle), (2, 2));
    caller.pool.warm(&caller.address, 2).await.expect("two connections");
    assert_eq!(caller.watch.opened(), 2);
    caller.pool.warm(&caller.address, 3).await.expect("three connections");
    assert_eq!((caller.watch.opened(), caller.pool.stats().idle), (3, 3));
    caller.pool.warm(&caller.address, 0).await.expect("nothing to do");

    let mut connections = [server.accept().await, server.accept().await, server.accept().await];
    let client = tokio::spawn(caller.send(get("/")));
    let serving = async {
        let [one, two, three] = &mut connections;
        let connection = tokio::select! {
            _ = one.read_request() => one,
            _ = two.read_request() => two,
            _ = three.read_request() => three,
        };
        connection.write(answer("warm")).await;
    };
    let (response, ()) = tokio::join!(client, serving);
    let response = response.expect("no panic").expect("a response");
    let info = response.body().connection().clone();
    assert_eq!((info.use_number(), info.is_reused()), (1, false));
    Whole::read(response).await.expect("a body");
    assert_eq!((caller.watch.opened(), caller.pool.stats().reused), (3, 0));
    ends_idle(caller).await;
}

async fn warming_tells_of_the_first_failure_and_keeps_the_rest(backend: Backend) {
    let (caller, _server) = start(backend).await;
    caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
    let error = caller.pool.warm(&caller.address, 3).await.expect_err("one was refused");
    assert_eq!(error.kind(), ErrorKind::Connect);
    eventually("the others rest", || caller.pool.stats().idle == 2).await;
    ends_idle(caller).await;
}

async fn warming_stays_within_the_limits(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_connections_per_address(2).checkout_timeout(Duration::from_secs(1))
    })
    .await;
    let error = caller.pool.warm(&caller.address, 3).await.expect_err("one too many");
    assert_eq!(error.kind(), ErrorKind::CheckoutTimeout);
    assert_eq!(caller.watch.opened(), 2);
    let connections = [server.accept().await, server.accept().await];
    eventually("both rest", || caller.pool.stats().idle == 2).await;
    drop(connections);
    ends_idle(caller).await;
}

async fn a_retired_address_serves_no_request_until_it_is_named_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let address = caller.address.clone();
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    assert!(caller.pool.sync([address.clone()]).is_empty(), "it is named");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;

    assert!(caller.pool.sync([]) == [address.clone()]);
    assert_eq!(caller.watch.open(), 0, "closed by the call itself");
    connection.ends().await;
    assert_eq!(caller.pool.stats().closed(Reason::Retired), 1);
    assert!(caller.pool.sync([]).is_empty(), "it is retired already");
    let error = caller.fetch(get("/")).await.expect_err("retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
    let told = format!("checking out a connection to {address:?}: the address is retired");
    assert_eq!(error.to_string(), told);
    let error = caller.pool.warm(&address, 1).await.expect_err("retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
    assert_eq!(caller.watch.opened(), 1, "nothing was opened for them");

    assert!(caller.pool.retain(|_| true).is_empty());
    server.open(caller.fetch(get("/")), answer("back")).await;
    caller.pool.drain(&address).await;
    assert!(caller.pool.sync([address]).is_empty());
    server.open(caller.fetch(get("/")), answer("back again")).await;
    ends_idle(caller).await;
}

async fn what_is_lent_when_its_address_retires_ends_in_peace(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    assert_eq!(caller.pool.retain(|_| false).len(), 1);
    connection.write("half").await;
    assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
    connection.ends().await;
    assert_eq!(caller.pool.stats().closed(Reason::Retired), 1);
    ends_idle(caller).await;
}

async fn a_connection_whose_address_is_retired_takes_no_other_along(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 2, |settings| settings.max_idle(1)).await;
    let (mut kept, ..) = servers[0].open(callers[0].fetch(get("/")), answer("rests")).await;
    let (mut lent, _, response) = servers[1].open(callers[1].send(get("/")), HALF).await;
    // A request waits that would not take the connection that comes home.
    callers[1].watch.close_gate();
    let mut fresh = get("/");
    reuse(&mut fresh, Reuse::Never);
    let fresh = tokio::spawn(callers[1].fetch(fresh));
    callers[1].watch.until_waiting(1).await;
    callers[0].pool.retain(|address| *address == callers[0].address);
    lent.write("half").await;
    Whole::read(response).await.expect("the other half");
    lent.ends().await;
    assert_eq!(callers[0].pool.stats().closed(Reason::Retired), 1);
    servers[0].reuse(&mut kept, callers[0].fetch(get("/")), answer("rested")).await;

    callers[1].watch.open_gate();
    let mut connection = servers[1].accept().await;
    connection.read_request().await;
    connection.write(answer("served")).await;
    fresh.await.expect("no panic").expect("it had come before");
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

async fn draining_ends_when_the_last_connection_has(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut lent, _, response) = server.open(caller.send(get("/")), HALF).await;
    let (mut idle, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
    {
        let mut drain = pin!(caller.pool.drain(&caller.address));
        assert!(is_pending(drain.as_mut()), "one is lent");
        idle.ends().await;
        assert_eq!(caller.watch.open(), 1);
        assert!(is_pending(drain.as_mut()), "one is still lent");
        lent.write("half").await;
        let end = async { Whole::read(response).await.expect("a body") };
        let (whole, ()) = tokio::join!(end, drain);
        assert_eq!(whole.body, "halfhalf");
    }
    assert_eq!(caller.watch.open(), 0);
    lent.ends().await;
    // Once more has nothing to wait for.
    caller.pool.drain(&caller.address).await;
    ends_idle(caller).await;
}

async fn draining_waits_for_a_connection_that_is_being_opened(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.watch.close_gate();
    let client = tokio::spawn(caller.fetch(get("/")));
    caller.watch.until_waiting(1).await;
    {
        let mut drain = pin!(caller.pool.drain(&caller.address));
        assert!(is_pending(drain.as_mut()), "one is being opened");
        caller.watch.open_gate();
        let mut connection = server.accept().await;
        connection.read_request().await;
        assert!(is_pending(drain.as_mut()), "it serves the requests that had come before");
        connection.write(answer("last")).await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "last");
        drain.await;
        connection.ends().await;
    }
    let stats = caller.pool.stats();
    assert_eq!((stats.opening, caller.watch.open()), (0, 0));
    ends_idle(caller).await;
}

async fn draining_lets_waiters_be_served(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    let waiting = tokio::spawn(caller.fetch(get("/waits")));
    eventually("one waits", || caller.pool.stats().waiting == 1).await;
    {
        let mut drain = pin!(caller.pool.drain(&caller.address));
        assert!(is_pending(drain.as_mut()));
        let error = caller.fetch(get("/")).await.expect_err("retired");
        assert_eq!(error.kind(), ErrorKind::Retired);
        connection.write("half").await;
        Whole::read(response).await.expect("the other half");
        assert_eq!(connection.read_request().await.target(), "/waits");
        assert!(is_pending(drain.as_mut()), "one was sent before");
        connection.write(answer("served")).await;
        assert_eq!(waiting.await.expect("no panic").expect("a response").body, "served");
        drain.await;
    }
    connection.ends().await;
    ends_idle(caller).await;
}

async fn draining_ends_when_the_last_waiter_has_given_up(backend: Backend) {
    let (caller, _server) = start_with(backend, |settings| settings).await;
    caller.watch.close_gate();
    let waiting = tokio::spawn(caller.fetch(get("/")));
    eventually("one waits", || caller.pool.stats().waiting == 1).await;
    {
        let mut drain = pin!(caller.pool.drain(&caller.address));
        assert!(is_pending(drain.as_mut()));
        caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
        caller.watch.open_gate();
        waiting.await.expect("no panic").expect_err("its dial has failed");
        drain.await;
    }
    ends_idle(caller).await;
}

async fn an_unknown_address_is_drained_at_once(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.pool.drain(&caller.address).await;
    let error = caller.fetch(get("/")).await.expect_err("retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
    caller.pool.sync([caller.address.clone()]);
    server.open(caller.fetch(get("/")), answer("back")).await;
    ends_idle(caller).await;
}

async fn a_closed_pool_serves_no_request(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut lent, _, response) = server.open(caller.send(get("/")), HALF).await;
    let (mut idle, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
    caller.pool.close();
    assert_eq!(caller.watch.open(), 1, "closed by the call itself");
    idle.ends().await;
    let error = caller.fetch(get("/")).await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let address = &caller.address;
    let told = format!("checking out a connection to {address:?}: the pool is closed");
    assert_eq!(error.to_string(), told);
    lent.write("half").await;
    assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
    lent.ends().await;
    caller.pool.close();
    caller.pool.drain(&caller.address).await;
    assert_eq!(caller.pool.stats().closed(Reason::PoolClosed), 2);
    ends_idle(caller).await;
}

async fn closing_fails_the_waiters_and_abandons_what_is_being_opened(backend: Backend) {
    let (caller, _server) = start(backend).await;
    caller.watch.close_gate();
    let client = tokio::spawn(caller.fetch(get("/")));
    caller.watch.until_waiting(1).await;
    caller.pool.close();
    let error = client.await.expect("no panic").expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    caller.watch.until_waiting(0).await;
    assert_eq!(caller.watch.opened(), 0);
    ends_idle(caller).await;
}

#[tokio::test]
async fn only_the_addresses_that_are_not_kept_retire() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let at = |name| Caller { address: Address::new(name), ..caller.clone() };
        let mut connections = HashMap::new();
        for name in ["one.test", "two.test", "three.test"] {
            let client = at(name).fetch(get("/"));
            let (connection, ..) = server.open(client, answer("first")).await;
            connections.insert(Address::new(name), connection);
        }
        let mut retired = caller.pool.sync(["two.test", "four.test"].map(Address::new));
        retired.sort_unstable_by_key(|address| format!("{address:?}"));
        assert_eq!(retired, ["one.test", "three.test"].map(Address::new));
        for address in retired {
            connections.get_mut(&address).expect("an open connection").ends().await;
            let stats = caller.pool.stats_of(&address).expect("a retired address is remembered");
            assert_eq!((stats.opened, stats.idle, stats.closed(Reason::Retired)), (1, 0, 1));
        }
        let kept = connections.get_mut(&Address::new("two.test")).expect("an open connection");
        server.reuse(kept, at("two.test").fetch(get("/")), answer("kept")).await;
        // No caller had named it before, so nothing keeps it from serving.
        server.open(at("four.test").fetch(get("/")), answer("new")).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.reused, stats.closed_total()), (4, 1, 2));
        ends_idle(caller).await;
    })
    .await;
}

/// On a thread of its own, which a lock that it holds twice would stop.
#[test]
fn which_addresses_are_kept_may_be_found_out_from_the_pool() {
    let (done, ends) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let retired = runtime.block_on(async {
            let (caller, mut server) = start(Backend::Memory).await;
            let (_connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
            caller.pool.retain(|address| {
                // Enough of them for every part of the map.
                for other in 0..256 {
                    let other: &'static str = Box::leak(format!("{other}.test").into_boxed_str());
                    assert!(is_pending(pin!(caller.pool.lease(&Address::new(other)))));
                }
                caller.pool.stats_of(address).is_some_and(|stats| stats.idle == 0)
            })
        });
        done.send(retired.len()).ok();
    });
    assert_eq!(ends.recv_timeout(Duration::from_secs(20)), Ok(1));
}
