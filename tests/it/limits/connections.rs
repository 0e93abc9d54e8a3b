//! There are never more connections than was allowed, and what must go for others is what was idle longest.

use std::time::Duration;

use super::idle;
use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, EchoServer, Lent, Whole, answer, bounded, ends_idle, eventually, for_each_backend,
    get, settle, start_many_addresses, start_with,
};
use tokio::task::JoinSet;

for_each_backend! {
    an_address_never_has_more_connections_than_its_limit,
    connections_being_opened_count_too,
    a_pool_never_has_more_connections_than_its_limit,
    the_connection_idle_longest_of_all_makes_room_for_another_address,
    a_connection_that_closes_makes_room_for_another_address,
    a_connection_that_comes_home_makes_room_for_another_address,
    addresses_wait_for_room_first_in_first_out,
    a_later_request_does_not_overtake_the_queue,
}

const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";

async fn an_address_never_has_more_connections_than_its_limit(backend: Backend) {
    let (caller, server) =
        start_with(backend, |settings| settings.max_connections_per_address(4)).await;
    let _service = EchoServer::start(server, |request| answer(request.target()));
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let path = format!("/{number}");
        let client = caller.send(get(&path));
        clients.spawn(async move {
            let response = client.await.expect("a response");
            // Some bodies are dropped, so that connections also go home by way of the watcher.
            if number % 5 > 0 {
                assert_eq!(Whole::read(response).await.expect("a body").body, path);
            }
        });
    }
    clients.join_all().await;
    assert_eq!(caller.watch.peak(), 4);
    ends_idle(caller).await;
}

async fn connections_being_opened_count_too(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(3)).await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.close_gate();
    let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(get("/"))).collect();
    eventually("all wait", || caller.pool.stats().waiting == 10).await;
    settle().await;
    assert_eq!((caller.watch.held(), caller.pool.stats().opening), (3, 2));
    caller.watch.open_gate();
    let _service = EchoServer::start(server, |_| answer("done"));
    while let Some(whole) = clients.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    lent.come_home().await;
    assert_eq!(caller.watch.peak(), 3);
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn parked_connections_count_too() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(2)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let mut parked = idle(&caller, &mut server).await;
        // Only time can make it park, and the paused clock moves on when nothing else does.
        eventually("it parks", || caller.pool.stats().parked == 1).await;

        let mut clients: JoinSet<_> = (0..2).map(|_| caller.fetch(get("/"))).collect();
        parked.read_request().await;
        settle().await;
        assert_eq!((caller.watch.held(), caller.pool.stats().waiting), (2, 1));
        parked.write(answer("woken")).await;
        parked.read_request().await;
        parked.write(answer("and passed on")).await;
        while let Some(whole) = clients.join_next().await {
            whole.expect("no panic").expect("a response");
        }
        lent.come_home().await;
        assert_eq!((caller.watch.opened(), caller.watch.peak()), (2, 2));
        ends_idle(caller).await;
    })
    .await;
}

async fn a_pool_never_has_more_connections_than_its_limit(backend: Backend) {
    let (mut callers, servers) =
        start_many_addresses(backend, 5, |settings| settings.max_connections(3)).await;
    let _services: Vec<_> = servers
        .into_iter()
        .map(|server| EchoServer::start(server, |request| answer(request.target())))
        .collect();
    let mut clients = JoinSet::new();
    for number in 0..100 {
        let path = format!("/{number}");
        let client = callers[number % 5].fetch(get(&path));
        clients.spawn(async move { assert_eq!(client.await.expect("a response").body, path) });
    }
    clients.join_all().await;
    let caller = callers.swap_remove(0);
    assert_eq!(caller.watch.peak(), 3);
    drop(callers);
    ends_idle(caller).await;
}

async fn the_connection_idle_longest_of_all_makes_room_for_another_address(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 6, |settings| settings.max_connections(4)).await;
    let mut connections = Vec::new();
    // The first address gets two connections, and they come home first and last.
    let first = Lent::open(&callers[0], &mut servers[0]).await;
    let last = Lent::open(&callers[0], &mut servers[0]).await;
    connections.push(first.come_home().await);
    for number in [1, 2] {
        connections.push(idle(&callers[number], &mut servers[number]).await);
    }
    connections.push(last.come_home().await);
    // The one that came home second is used again, and so becomes the youngest of all.
    let client = callers[1].fetch(get("/again"));
    servers[1].reuse(&mut connections[1], client, answer("again")).await;

    // All from addresses that have none: two new ones, then one whose own was evicted in between.
    for (newcomer, oldest) in [(3, 0), (4, 2), (2, 3), (5, 1)] {
        let opened = callers[newcomer].watch.opened();
        connections.push(idle(&callers[newcomer], &mut servers[newcomer]).await);
        connections[oldest].ends().await;
        assert_eq!((callers[0].watch.opened(), callers[0].watch.open()), (opened + 1, 4));
    }
    let stats = callers[0].pool.stats();
    assert_eq!((stats.idle, stats.closed(Reason::Evicted)), (4, 4));
    assert_eq!(callers[0].watch.peak(), 4);
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

async fn a_connection_that_closes_makes_room_for_another_address(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 2, |settings| settings.max_connections(1)).await;
    let lent = Lent::open(&callers[0], &mut servers[0]).await;
    let client = tokio::spawn(callers[1].fetch(get("/waits")));
    eventually("it waits", || callers[0].pool.stats().waiting == 1).await;
    drop(lent);
    let (_, request, _) = servers[1].open(async { client.await.expect("no panic") }, LAST).await;
    assert_eq!(request.target(), "/waits");
    let caller = callers.swap_remove(0);
    assert_eq!(caller.watch.peak(), 1);
    drop(callers);
    ends_idle(caller).await;
}

async fn a_connection_that_comes_home_makes_room_for_another_address(backend: Backend) {
    let (mut callers, mut servers) =
        start_many_addresses(backend, 2, |settings| settings.max_connections(1)).await;
    let lent = Lent::open(&callers[0], &mut servers[0]).await;
    let client = tokio::spawn(callers[1].fetch(get("/waits")));
    eventually("it waits", || callers[0].pool.stats().waiting == 1).await;
    lent.come_home().await.ends().await;
    let (_, request, _) = servers[1].open(async { client.await.expect("no panic") }, LAST).await;
    assert_eq!(request.target(), "/waits");
    let caller = callers.swap_remove(0);
    assert_eq!(caller.watch.peak(), 1);
    drop(callers);
    ends_idle(caller).await;
}

async fn addresses_wait_for_room_first_in_first_out(backend: Backend) {
    let (mut callers, servers) =
        start_many_addresses(backend, 4, |settings| settings.max_connections(1)).await;
    let (order, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let _services: Vec<_> = servers
        .into_iter()
        .map(|server| {
            let order = order.clone();
            // Each response is the last of its connection, so each request needs room of its own.
            EchoServer::start(server, move |request| {
                order.send(request.target().to_owned()).expect("the test waits");
                LAST.into()
            })
        })
        .collect();
    callers[0].watch.close_gate();
    let mut clients = JoinSet::new();
    // An address that wants another place after its first goes to the end of the line for it.
    for (place, (number, path)) in
        [(0, "/1"), (3, "/2"), (1, "/3"), (2, "/4"), (3, "/5")].into_iter().enumerate()
    {
        clients.spawn(callers[number].fetch(get(path)));
        eventually("it waits", || callers[0].pool.stats().waiting == place + 1).await;
    }
    callers[0].watch.open_gate();
    while let Some(whole) = clients.join_next().await {
        assert_eq!(whole.expect("no panic").expect("a response").body, "last");
    }
    let mut served = Vec::new();
    while let Ok(path) = arrivals.try_recv() {
        served.push(path);
    }
    assert_eq!(served, ["/1", "/2", "/3", "/4", "/5"]);
    let caller = callers.swap_remove(0);
    assert_eq!(caller.watch.peak(), 1);
    drop(callers);
    ends_idle(caller).await;
}

async fn a_later_request_does_not_overtake_the_queue(backend: Backend) {
    let (mut callers, mut servers) = start_many_addresses(backend, 3, |settings| {
        settings.max_connections(1).drain_limit(0, Duration::ZERO)
    })
    .await;
    let lent = Lent::open(&callers[0], &mut servers[0]).await;
    let first = tokio::spawn(callers[1].fetch(get("/first")));
    eventually("it waits", || callers[0].pool.stats().waiting == 1).await;
    // In one breath, so that nothing can happen between the close and the request of the newcomer.
    drop(lent);
    let mut newcomer = std::pin::pin!(callers[2].fetch(get("/newcomer")));
    assert!(pooled_fetch_tests::poll_once(newcomer.as_mut()).is_pending());

    let [_, in_line, of_newcomer] = &mut servers[..] else { panic!("three servers") };
    let served_first = async { first.await.expect("no panic") };
    tokio::select! {
        // The newcomer is called when the first is served, which may be in the same poll.
        biased;
        _ = in_line.open(served_first, LAST) => {}
        _ = of_newcomer.accept() => panic!("the newcomer has overtaken a request that waited"),
    }
    of_newcomer.open(newcomer, LAST).await;
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

/// A thousand requests at once, on several threads, and a third of them give up at some point.
async fn the_limit_holds_for_a_crowd_on_several_threads(backend: Backend) {
    let (caller, server) =
        start_with(backend, |settings| settings.max_connections_per_address(8)).await;
    let _service = EchoServer::start(server, |request| answer(request.target()));
    let mut clients = JoinSet::new();
    for number in 0..1000_u64 {
        let path = format!("/{number}");
        let client = caller.fetch(get(&path));
        clients.spawn(async move {
            let patience = Duration::from_micros(number * 37 % 20_000);
            let limit = if number % 3 == 0 { patience } else { Duration::from_secs(60) };
            match tokio::time::timeout(limit, client).await {
                Ok(whole) => assert_eq!(whole.expect("a response").body, path),
                Err(_) => assert_eq!(number % 3, 0),
            }
        });
    }
    clients.join_all().await;
    // How many it takes is up to the threads.
    assert!((1..=8).contains(&caller.watch.peak()), "{} at once", caller.watch.peak());
    assert_eq!(caller.pool.stats().waiting, 0);
    ends_idle(caller).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_holds_for_a_crowd_over_memory() {
    bounded(the_limit_holds_for_a_crowd_on_several_threads(Backend::Memory)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_limit_holds_for_a_crowd_over_tcp() {
    bounded(the_limit_holds_for_a_crowd_on_several_threads(Backend::Tcp)).await;
}
