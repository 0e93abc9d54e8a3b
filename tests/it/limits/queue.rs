//! A request that finds no connection waits its turn, and takes the connection that comes first.

use std::io;
use std::pin::pin;
use std::task::Poll;

use pool_core::{Error, ErrorKind};
use pooled_fetch_tests::{
    Backend, EchoServer, Lent, answer, ends_idle, eventually, for_each_backend, get, poll_once,
    settle, start, start_with,
};
use tokio::task::JoinSet;

for_each_backend! {
    waiters_are_served_first_in_first_out,
    a_waiter_takes_a_connection_that_comes_home_before_its_own_is_open,
    a_waiter_takes_a_new_connection_before_another_comes_home,
    the_dial_of_a_cancelled_request_serves_the_next,
    a_dial_without_a_waiter_ends_as_an_idle_connection,
    no_more_is_dialled_than_there_are_waiters,
    a_connection_that_came_home_saves_a_dial,
    one_more_than_may_wait_fails_at_once,
    where_no_request_may_wait_a_request_still_dials,
    a_failed_dial_fails_one_waiter_and_no_other,
    after_a_failed_dial_the_next_waiter_gets_one,
    sixty_four_at_once_ten_times_open_sixty_four_in_all,
}

async fn waiters_are_served_first_in_first_out(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut clients = JoinSet::new();
    for number in 0..20 {
        clients.spawn(caller.fetch(get(&format!("/{number}"))));
        eventually("it waits", || caller.pool.stats().waiting == number + 1).await;
    }
    let mut connection = lent.come_home().await;
    for number in 0..20 {
        assert_eq!(connection.read_request().await.target(), format!("/{number}"));
        connection.write(answer("served")).await;
    }
    while let Some(whole) = clients.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    ends_idle(caller).await;
}

async fn a_waiter_takes_a_connection_that_comes_home_before_its_own_is_open(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.close_gate();
    let client = tokio::spawn(caller.fetch(get("/waits")));
    caller.watch.until_waiting(1).await;
    let mut connection = lent.come_home().await;
    assert_eq!(connection.read_request().await.target(), "/waits");
    connection.write(answer("served")).await;
    let whole = client.await.expect("no panic").expect("a response");
    assert_eq!((whole.body.as_ref(), caller.watch.opened()), (b"served".as_slice(), 1));

    // The dial belongs to the pool, and ends there.
    caller.watch.open_gate();
    eventually("the dial ends", || caller.pool.stats().idle == 2).await;
    ends_idle(caller).await;
}

async fn a_waiter_takes_a_new_connection_before_another_comes_home(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(2)).await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.close_gate();
    let mut clients = JoinSet::new();
    clients.spawn(caller.fetch(get("/first")));
    caller.watch.until_waiting(1).await;
    clients.spawn(caller.fetch(get("/second")));
    eventually("both wait", || caller.pool.stats().waiting == 2).await;
    caller.watch.open_gate();
    let mut new = server.accept().await;
    assert_eq!(new.read_request().await.target(), "/first");
    let mut returned = lent.come_home().await;
    assert_eq!(returned.read_request().await.target(), "/second");
    new.write(answer("first")).await;
    returned.write(answer("second")).await;
    while let Some(whole) = clients.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    ends_idle(caller).await;
}

async fn the_dial_of_a_cancelled_request_serves_the_next(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.watch.close_gate();
    let cancelled = tokio::spawn(caller.fetch(get("/cancelled")));
    caller.watch.until_waiting(1).await;
    cancelled.abort();
    assert!(cancelled.await.expect_err("cancelled").is_cancelled());
    let next = tokio::spawn(caller.fetch(get("/next")));
    eventually("the next waits", || caller.pool.stats().waiting == 1).await;
    caller.watch.open_gate();
    let client = async { next.await.expect("no panic") };
    let (_, request, _) = server.open(client, answer("next")).await;
    assert_eq!((request.target(), caller.watch.opened()), ("/next", 1));
    ends_idle(caller).await;
}

async fn a_dial_without_a_waiter_ends_as_an_idle_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.watch.close_gate();
    let cancelled = tokio::spawn(caller.fetch(get("/cancelled")));
    caller.watch.until_waiting(1).await;
    cancelled.abort();
    caller.watch.open_gate();
    eventually("the dial ends", || caller.pool.stats().idle == 1).await;
    let (_, request, _) = server.open(caller.fetch(get("/next")), answer("next")).await;
    assert_eq!((request.target(), caller.watch.opened()), ("/next", 1));
    ends_idle(caller).await;
}

async fn no_more_is_dialled_than_there_are_waiters(backend: Backend) {
    let (caller, server) = start(backend).await;
    caller.watch.close_gate();
    let mut clients: Vec<_> = (0..10).map(|_| tokio::spawn(caller.fetch(get("/")))).collect();
    caller.watch.until_waiting(10).await;
    for client in clients.drain(..4) {
        client.abort();
    }
    eventually("six wait", || caller.pool.stats().waiting == 6).await;
    for waiting in 7..=10 {
        clients.push(tokio::spawn(caller.fetch(get("/"))));
        eventually("one more waits", || caller.pool.stats().waiting == waiting).await;
    }
    settle().await;
    assert_eq!((caller.watch.held(), caller.pool.stats().opening), (10, 10));
    clients.push(tokio::spawn(caller.fetch(get("/"))));
    caller.watch.until_waiting(11).await;
    caller.watch.open_gate();
    let _service = EchoServer::start(server, |_| answer("served"));
    for client in clients {
        client.await.expect("no panic").expect("a response");
    }
    eventually("all dials end", || caller.watch.opened() == 11).await;
    ends_idle(caller).await;
}

async fn a_connection_that_came_home_saves_a_dial(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.close_gate();
    let mut clients: JoinSet<_> = (0..3).map(|_| caller.fetch(get("/"))).collect();
    caller.watch.until_waiting(3).await;
    let mut connection = lent.come_home().await;
    connection.read_request().await;
    // Two wait and three are under way, so there is one for it already.
    clients.spawn(caller.fetch(get("/")));
    eventually("three wait", || caller.pool.stats().waiting == 3).await;
    settle().await;
    assert_eq!(caller.pool.stats().opening, 3);
    connection.write(answer("served")).await;
    caller.watch.open_gate();
    let _service = EchoServer::start(server, |_| answer("served"));
    // The one in hand may serve again, so it has to be answered for as well.
    let again = tokio::spawn(async move {
        while connection.next_request().await.is_some() {
            connection.write(answer("served")).await;
        }
    });
    while let Some(whole) = clients.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    eventually("all dials end", || caller.watch.opened() == 4).await;
    ends_idle(caller).await;
    again.await.expect("no panic");
}

async fn one_more_than_may_wait_fails_at_once(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_connections_per_address(1).max_waiters_per_address(2)
    })
    .await;
    let lent = Lent::open(&caller, &mut server).await;
    let (mut first, mut second) = (caller.fetch(get("/1")), caller.fetch(get("/2")));
    assert!(poll_once(first.as_mut()).is_pending() && poll_once(second.as_mut()).is_pending());
    fails_at_once(caller.fetch(get("/3")), ErrorKind::QueueFull);
    assert_eq!(caller.pool.stats().waiting, 2);

    // A request that gives up leaves a place.
    drop(first);
    let mut third = pin!(caller.fetch(get("/3")));
    assert!(poll_once(third.as_mut()).is_pending());
    fails_at_once(caller.fetch(get("/4")), ErrorKind::QueueFull);

    let mut connection = lent.come_home().await;
    server.reuse(&mut connection, second, answer("2")).await;
    server.reuse(&mut connection, third, answer("3")).await;
    ends_idle(caller).await;
}

pub(super) fn fails_at_once<T>(client: impl Future<Output = Result<T, Error>>, kind: ErrorKind) {
    match poll_once(pin!(client)) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), kind),
        Poll::Ready(Ok(_)) => panic!("it was served"),
        Poll::Pending => panic!("it waits"),
    }
}

async fn where_no_request_may_wait_a_request_still_dials(backend: Backend) {
    let (caller, server) = start_with(backend, |settings| {
        settings.max_connections_per_address(2).max_waiters_per_address(0)
    })
    .await;
    caller.watch.close_gate();
    let mut clients: JoinSet<_> = (0..2).map(|_| caller.fetch(get("/"))).collect();
    caller.watch.until_waiting(2).await;
    fails_at_once(caller.fetch(get("/")), ErrorKind::QueueFull);
    caller.watch.open_gate();
    let _service = EchoServer::start(server, |_| answer("served"));
    while let Some(whole) = clients.join_next().await {
        whole.expect("no panic").expect("a response");
    }
    caller.fetch(get("/")).await.expect("an idle connection needs no wait");
    ends_idle(caller).await;
}

async fn a_failed_dial_fails_one_waiter_and_no_other(backend: Backend) {
    let (caller, server) = start(backend).await;
    caller.watch.close_gate();
    let mut clients: JoinSet<_> = (0..5).map(|_| caller.fetch(get("/"))).collect();
    caller.watch.until_waiting(5).await;
    caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
    let _service = EchoServer::start(server, |_| answer("served"));
    caller.watch.open_gate();
    let mut failed = Vec::new();
    while let Some(whole) = clients.join_next().await {
        failed.extend(whole.expect("no panic").err().map(|error| error.kind()));
    }
    assert_eq!(failed, [ErrorKind::Connect]);
    ends_idle(caller).await;
}

async fn after_a_failed_dial_the_next_waiter_gets_one(backend: Backend) {
    let (caller, server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    caller.watch.close_gate();
    let mut clients: Vec<_> = Vec::new();
    for waiting in 1..=3 {
        clients.push(tokio::spawn(caller.fetch(get("/"))));
        eventually("it waits", || caller.pool.stats().waiting == waiting).await;
    }
    caller.watch.until_waiting(1).await;
    caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
    let _service = EchoServer::start(server, |_| answer("served"));
    caller.watch.open_gate();
    let mut failed = Vec::new();
    for client in clients {
        failed.push(client.await.expect("no panic").is_err());
    }
    assert_eq!(failed, [true, false, false], "the request that has waited longest fails");
    assert_eq!(caller.watch.peak(), 1);
    ends_idle(caller).await;
}

async fn sixty_four_at_once_ten_times_open_sixty_four_in_all(backend: Backend) {
    let (caller, server) = start(backend).await;
    let _service = EchoServer::start(server, |request| answer(request.target()));
    caller.watch.close_gate();
    for round in 0..10 {
        let mut clients = JoinSet::new();
        for number in 0..64 {
            let path = format!("/{round}/{number}");
            let client = caller.fetch(get(&path));
            clients.spawn(async move { assert_eq!(client.await.expect("a response").body, path) });
        }
        if round == 0 {
            caller.watch.until_waiting(64).await;
            caller.watch.open_gate();
        }
        clients.join_all().await;
        eventually("all are home", || caller.pool.stats().idle == 64).await;
    }
    assert_eq!(caller.watch.opened(), 64);
    ends_idle(caller).await;
}
