//! No more connections rest than was allowed, and what goes is what was idle longest.

use pool_core::{Builder, Reason};
use pooled_fetch_tests::{
    Backend, Lent, answer, ends_idle, eventually, for_each_backend, get, start_many_addresses,
    start_with,
};

use super::idle;

for_each_backend! {
    the_connection_idle_longest_of_all_goes_when_too_many_are_idle,
    the_connection_idle_longest_goes_when_an_address_has_too_many_idle,
    a_limit_of_no_idle_connections_keeps_none,
    a_connection_that_may_not_be_idle_still_goes_to_a_waiter,
}

async fn the_connection_idle_longest_of_all_goes_when_too_many_are_idle(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 4, |settings| settings.max_idle(2)).await;
    let mut connections = Vec::new();
    for number in [0, 1] {
        connections.push(idle(&callers[number], &mut servers[number]).await);
    }
    let client = callers[0].fetch(get("/again"));
    servers[0].reuse(&mut connections[0], client, answer("again")).await;
    for (number, oldest) in [(2, 1), (3, 0)] {
        connections.push(idle(&callers[number], &mut servers[number]).await);
        assert_eq!(callers[0].pool.stats().idle, 2);
        connections[oldest].ends().await;
    }
    assert_eq!(callers[0].pool.stats().closed(Reason::Evicted), 2);
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

async fn the_connection_idle_longest_goes_when_an_address_has_too_many_idle(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 2, |settings| settings.max_idle_per_address(2)).await;
    let mut others = Vec::new();
    let mut lent = Vec::new();
    for _ in 0..4 {
        lent.push(Lent::open(&callers[0], &mut servers[0]).await);
    }
    others.push(idle(&callers[1], &mut servers[1]).await);
    let mut connections = Vec::new();
    for lent in lent {
        connections.push(lent.come_home().await);
        assert_eq!(callers[0].pool.stats().idle, 1 + connections.len().min(2));
    }
    connections[0].ends().await;
    connections[1].ends().await;
    // What is idle elsewhere is none of this address's concern.
    servers[1].reuse(&mut others[0], callers[1].fetch(get("/")), answer("other")).await;
    servers[0].reuse(&mut connections[3], callers[0].fetch(get("/")), answer("kept")).await;
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

async fn a_limit_of_no_idle_connections_keeps_none(backend: Backend) {
    for set in [Builder::max_idle, Builder::max_idle_per_address] {
        let (caller, mut server) = start_with(backend, |settings| set(settings, 0)).await;
        for _ in 0..3 {
            idle(&caller, &mut server).await.ends().await;
            assert_eq!((caller.pool.stats().idle, caller.watch.open()), (0, 0));
        }
        ends_idle(caller).await;
    }
}

async fn a_connection_that_may_not_be_idle_still_goes_to_a_waiter(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1).max_idle(0)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let client = tokio::spawn(caller.fetch(get("/waits")));
    eventually("it waits", || caller.pool.stats().waiting == 1).await;
    let mut connection = lent.come_home().await;
    let client = async { client.await.expect("no panic") };
    server.reuse(&mut connection, client, answer("passed on")).await;
    connection.ends().await;
    ends_idle(caller).await;
}
