//! A service is ready when a request of it would be served at once, or next, and keeps nothing from others.

use std::io;
use std::time::Duration;

use pool_core::ErrorKind;
use pooled_fetch_tests::{
    Backend, EchoServer, Lent, Settings, answer, bounded, ends_idle, eventually, for_each_backend,
    get, settle, start, start_many_addresses, start_with,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{is_ready, to};
use crate::http2::start_http2;

for_each_backend! {
    without_a_limit_a_service_is_always_ready,
    at_a_limit_a_service_is_ready_when_a_connection_comes_home_and_waits_among_the_waiters,
    the_request_of_the_service_that_has_waited_longest_is_served_first,
    a_service_comes_before_requests_that_came_after_it_however_many_wait,
    a_thousand_requests_of_sixty_four_services_take_turns_over_three_connections,
}

/// How long a turn counts.
const LAPSE: Duration = Duration::from_millis(10);

async fn without_a_limit_a_service_is_always_ready(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut services: Vec<_> = (0..100).map(|_| to(&caller)).collect();
    assert!(services.iter_mut().all(is_ready));
    assert_eq!(caller.watch.opened(), 1, "nothing is opened for a service that is ready");
    lent.come_home().await;
    drop(services);
    ends_idle(caller).await;
}

async fn at_a_limit_a_service_is_ready_when_a_connection_comes_home_and_waits_among_the_waiters(
    backend: Backend,
) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut service = to(&caller);
    assert!(!is_ready(&mut service));
    assert_eq!(caller.pool.stats().waiting, 1);
    settle().await;
    assert!(!is_ready(&mut service));
    let waits = tokio::spawn(async move {
        service.turn().await;
        service
    });
    let mut connection = lent.come_home().await;
    let mut service = waits.await.expect("no panic");
    // No connection is kept for it.
    assert_eq!(caller.pool.stats().idle, 1);
    let client = tokio::spawn(service.http(get("/turn")));
    assert_eq!(connection.read_request().await.target(), "/turn");
    connection.write(answer("served")).await;
    drop(client.await.expect("no panic").expect("a response"));
    assert_eq!(caller.pool.stats().waiting, 0);
    drop(service);
    ends_idle(caller).await;
}

async fn the_request_of_the_service_that_has_waited_longest_is_served_first(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut clients = JoinSet::new();
    for number in 0..20 {
        let mut service = to(&caller);
        assert!(!is_ready(&mut service));
        clients.spawn(async move {
            service.turn().await;
            service.http(get(&format!("/{number}"))).await.map(drop)
        });
    }
    let mut connection = lent.come_home().await;
    for number in 0..20 {
        assert_eq!(connection.read_request().await.target(), format!("/{number}"));
        connection.write(answer("served")).await;
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic").expect("a response");
    }
    ends_idle(caller).await;
}

async fn a_service_comes_before_requests_that_came_after_it_however_many_wait(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_connections_per_address(1).max_waiters_per_address(3)
    })
    .await;
    let lent = Lent::open(&caller, &mut server).await;
    let mut clients = JoinSet::new();
    clients.spawn(caller.fetch(get("/before")));
    eventually("it waits", || caller.pool.stats().waiting == 1).await;
    let mut service = to(&caller);
    assert!(!is_ready(&mut service), "an older request waits");
    for after in 2..=3 {
        clients.spawn(caller.fetch(get("/after")));
        eventually("it waits", || caller.pool.stats().waiting == after + 1).await;
    }
    let mut connection = lent.come_home().await;
    assert_eq!(connection.read_request().await.target(), "/before");
    // It is next, before anything has come home.
    service.turn().await;
    let first = tokio::spawn(service.http(get("/service")));
    let one_more = caller.fetch(get("/full"));
    settle().await;
    assert_eq!(one_more.await.expect_err("three wait").kind(), ErrorKind::QueueFull);
    connection.write(answer("served")).await;
    for target in ["/service", "/after", "/after"] {
        assert_eq!(connection.read_request().await.target(), target);
        connection.write(answer("served")).await;
    }
    drop(first.await.expect("no panic").expect("a response"));
    while let Some(client) = clients.join_next().await {
        client.expect("no panic").expect("a response");
    }
    drop(service);
    ends_idle(caller).await;
}

async fn a_thousand_requests_of_sixty_four_services_take_turns_over_three_connections(
    backend: Backend,
) {
    let (caller, server) =
        start_with(backend, |settings| settings.max_connections_per_address(3)).await;
    let _service = EchoServer::start(server, |_| answer("served"));
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let mut service = to(&caller);
        clients.spawn(async move {
            for _ in 0..16 {
                service.turn().await;
                drop(service.http(get("/")).await.expect("a response"));
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    assert!(caller.watch.opened() <= 3);
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_ready_service_stands_in_line_for_itself() {
    bounded(async {
        let (caller, _server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        let mut service = to(&caller);
        assert!(is_ready(&mut service) && is_ready(&mut service));
        let mut clone = service.clone();
        assert!(!is_ready(&mut clone));
        assert_eq!(caller.pool.stats().waiting, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ready_service_that_is_dropped_gives_its_turn_to_the_next_at_once() {
    bounded(async {
        let (caller, _server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        let (mut first, mut second) = (to(&caller), to(&caller));
        assert!(is_ready(&mut first) && !is_ready(&mut second));
        let start = Instant::now();
        let waits = tokio::spawn(async move {
            second.turn().await;
            second
        });
        // It is woken, and does not look by itself.
        settle().await;
        drop(first);
        let second = waits.await.expect("no panic");
        assert_eq!((start.elapsed(), caller.pool.stats().waiting), (Duration::ZERO, 1));
        drop(second);
        assert_eq!(caller.pool.stats().waiting, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_used_lapses_and_the_service_can_still_be_called() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        let (mut held, mut next) = (to(&caller), to(&caller));
        assert!(is_ready(&mut held) && !is_ready(&mut next));
        let start = Instant::now();
        next.turn().await;
        assert!(start.elapsed() >= LAPSE && start.elapsed() < LAPSE * 2, "{:?}", start.elapsed());
        assert_eq!(caller.pool.stats().waiting, 1, "only the turn of the other counts");
        let (mut connection, _, _) =
            server.open(async { next.http(get("/next")).await }, answer("next")).await;
        let client = tokio::spawn(held.http(get("/held")));
        assert_eq!(connection.read_request().await.target(), "/held");
        connection.write(answer("held")).await;
        drop(client.await.expect("no panic").expect("a response"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn services_that_are_never_polled_again_keep_no_other_from_its_turn() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let mut forgotten: Vec<_> = (0..10).map(|_| to(&caller)).collect();
        assert!(!forgotten.iter_mut().any(is_ready));
        let mut service = to(&caller);
        assert!(!is_ready(&mut service));
        let _connection = lent.come_home().await;
        let start = Instant::now();
        service.turn().await;
        assert!(start.elapsed() <= LAPSE * 12, "{:?}", start.elapsed());
        drop(service);
        // Each was told its turn once, and is ready when it is looked at, however late.
        assert!(is_ready(&mut forgotten[3]));
    })
    .await;
}

#[tokio::test]
async fn a_service_is_ready_for_a_pool_that_is_closed_and_its_request_is_told_so() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let mut service = to(&caller);
        assert!(!is_ready(&mut service));
        let closing = caller.pool.close();
        service.turn().await;
        let error = service.http(get("/")).await.expect_err("the pool is closed");
        assert_eq!(error.kind(), ErrorKind::Closed);
        drop((closing, lent));
    })
    .await;
}

#[tokio::test]
async fn where_other_addresses_fill_the_pool_one_request_waits_for_the_total_limit() {
    bounded(async {
        let settings = |settings: Settings| settings.max_connections(1);
        let (callers, mut servers) = start_many_addresses(Backend::Memory, 2, settings).await;
        let [mut one, mut other] = [servers.remove(0), servers.remove(0)];
        let lent = Lent::open(&callers[0], &mut one).await;
        let mut own = to(&callers[0]);
        assert!(!is_ready(&mut own), "its own connection comes home");
        let (mut first, mut second) = (to(&callers[1]), to(&callers[1]));
        assert!(is_ready(&mut first) && !is_ready(&mut second));
        let client = tokio::spawn(first.http(get("/other")));
        eventually("it waits", || callers[1].pool.stats().waiting == 3).await;
        let connection = lent.come_home().await;
        let mut opened = other.accept().await;
        assert_eq!(opened.read_request().await.target(), "/other");
        opened.write(answer("served")).await;
        drop(client.await.expect("no panic").expect("a response"));
        second.turn().await;
        drop(connection);
    })
    .await;
}

#[tokio::test]
async fn over_http2_a_service_is_ready_when_a_stream_is_free() {
    bounded(async {
        let (caller, mut server) =
            start_http2(2, |settings| settings.max_connections_per_address(1)).await;
        let mut services: Vec<_> = (0..3).map(|_| to(&caller)).collect();
        let mut clients = JoinSet::new();
        // One dial is for all until it has shown how many streams there are.
        assert!(services.iter_mut().all(is_ready));
        for service in &mut services[..2] {
            clients.spawn(service.http(get("/")));
        }
        let streams = [server.next().await, server.next().await];
        let mut third = to(&caller);
        drop(services);
        assert!(!is_ready(&mut third));
        for stream in streams {
            stream.answer("served");
        }
        // A response keeps its stream until it has been read, or is dropped.
        let response = clients.join_next().await.expect("two").expect("no panic");
        settle().await;
        assert!(!is_ready(&mut third));
        drop(response.expect("a response"));
        third.turn().await;
        drop(clients);
        assert_eq!(caller.watch.opened(), 1);
        drop(third);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_an_address_fails_a_service_is_ready_when_the_next_dial_is_due() {
    bounded(async {
        let (caller, _server) = start(Backend::Memory).await;
        let mut service = to(&caller);
        assert!(is_ready(&mut service), "there is no limit");
        for _ in 0..3 {
            caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
            caller.fetch(get("/")).await.expect_err("refused");
        }
        let start = Instant::now();
        let mut others: Vec<_> = (0..10).map(|_| to(&caller)).collect();
        assert!(!is_ready(&mut service) && !others.iter_mut().any(is_ready));
        for waiting in others.iter_mut().chain([&mut service]) {
            waiting.turn().await;
        }
        // One dial is for all.
        assert!(start.elapsed() <= LAPSE, "{:?}", start.elapsed());
    })
    .await;
}

/// The law that must hold however threads meet: no turn is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_on_two_threads_all_have_their_turns() {
    bounded(async {
        let (caller, server) = start_with(Backend::Memory, |settings| {
            settings.max_connections_per_address(2).max_waiters_per_address(4)
        })
        .await;
        let _service = EchoServer::start(server, |_| answer("served"));
        let mut clients = JoinSet::new();
        for number in 0..32 {
            let (mut service, caller) = (to(&caller), caller.clone());
            clients.spawn(async move {
                for turn in 0..100 {
                    service.turn().await;
                    match (number + turn) % 5 {
                        0 => service = service.clone(),
                        // A request that has not come through a service, beside those that have.
                        1 => drop(caller.fetch(get("/")).await),
                        _ => drop(service.http(get("/")).await.expect("a response")),
                    }
                }
            });
        }
        while let Some(client) = clients.join_next().await {
            client.expect("no panic");
        }
        eventually("nobody stands in line", || caller.pool.stats().waiting == 0).await;
        ends_idle(caller).await;
    })
    .await;
}
