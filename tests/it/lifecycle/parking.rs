//! A connection that has not been needed for a while is parked: it stays open and watched, and serves again.
//!
//! The clock is paused, over sockets too: every setting that could end a wait for a socket is off there, so
//! that only the time of parking passes by itself.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::{Builder, Connector, ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, Connection, Server, Settings, Whole, answer, bounded, ends_at_rest,
    eventually, get, start, start_with,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

/// As `for_each_backend`, with a paused clock.
macro_rules! paused_for_each_backend {
    ($($test:ident),+ $(,)?) => {
        paused_for_each_backend! { @mount memory Memory $($test)+ }
        paused_for_each_backend! { @mount tcp Tcp $($test)+ }
        paused_for_each_backend! { @mount tls Tls $($test)+ }
    };
    (@mount $module:ident $backend:ident $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    super::bounded(super::$test(super::Backend::$backend)).await;
                }
            )+
        }
    };
}

paused_for_each_backend! {
    a_parked_connection_is_not_idle,
    a_parked_connection_serves_the_next_request_over_the_same_stream,
    a_parked_connection_closes_as_soon_as_the_server_closes_it,
    a_parked_connection_closes_as_soon_as_the_server_writes_unasked,
    a_parked_connection_that_the_server_gives_up_politely_was_closed_by_it,
    a_parked_connection_counts_as_one_of_its_address,
    a_parked_connection_is_as_large_a_reader_as_any,
    the_connection_that_came_home_last_serves_next_parked_or_not,
    a_parked_connection_that_was_lent_for_nothing_rests_again,
    a_parked_connection_closes_with_its_pool,
    a_parked_connection_closes_with_its_address,
}

/// Parks at the next look, whenever that is, and waits for sockets as long as they need.
fn at_once<C: Connector>(settings: Builder<C>) -> Builder<C> {
    let settings = settings.park_after(Duration::ZERO).idle_timeout(None);
    settings.connect_timeout(None).checkout_timeout(None)
}

async fn parking(backend: Backend) -> (Caller, Server) {
    parking_with(backend, |settings| settings).await
}

async fn parking_with(
    backend: Backend,
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, Server) {
    start_with(backend, |before| settings(at_once(before))).await
}

async fn until_parked(caller: &Caller, count: usize) {
    eventually("they are parked", || {
        let stats = caller.pool.stats();
        (stats.parked, stats.idle) == (count, 0)
    })
    .await;
}

/// Opens a connection, which is parked then.
async fn parked(caller: &Caller, server: &mut Server) -> Connection {
    let (connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    until_parked(caller, 1).await;
    connection
}

async fn a_parked_connection_is_not_idle(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    until_parked(&caller, 1).await;
    let stats = caller.pool.stats_of(&caller.address).expect("a known address");
    assert_eq!((stats.parked, stats.idle, stats.leased, stats.closed_total()), (1, 0, 0, 0));
    assert_eq!(caller.watch.open(), 1);

    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (_, response) = server.reuse(&mut connection, caller.send(get("/")), half).await;
    let stats = caller.pool.stats();
    assert_eq!((stats.parked, stats.idle, stats.leased), (0, 0, 1));
    connection.write("half").await;
    Whole::read(response).await.expect("the other half");
    until_parked(&caller, 1).await;
    ends_at_rest(caller).await;
}

async fn a_parked_connection_serves_the_next_request_over_the_same_stream(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), answer("first")).await;
    let id = response.body().connection().id();
    Whole::read(response).await.expect("a body");
    for round in 2..6 {
        until_parked(&caller, 1).await;
        let number = round.to_string();
        let client = caller.send(get("/"));
        let (_, response) = server.reuse(&mut connection, client, answer(&number)).await;
        let info = response.body().connection().clone();
        assert_eq!((info.id(), info.use_number(), info.is_reused()), (id, round, true));
        assert_eq!(Whole::read(response).await.expect("a body").body, number);
    }
    assert_eq!((caller.watch.opened(), caller.pool.stats().reused), (1, 4));
    ends_at_rest(caller).await;
}

/// Closes at once, that is before the clock has moved to the watcher's next round.
async fn closes_at_once(caller: Caller, reason: Reason) {
    let start = Instant::now();
    caller.watch.until_open(0).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let stats = caller.pool.stats();
    assert_eq!((stats.parked, stats.closed(reason), stats.closed_total()), (0, 1, 1));
    ends_at_rest(caller).await;
}

async fn a_parked_connection_closes_as_soon_as_the_server_closes_it(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    drop(parked(&caller, &mut server).await);
    caller.watch.until_open(0).await;
    assert_eq!(caller.pool.stats().closed(Reason::ClosedByPeer), 1);
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_at_rest(caller).await;
}

async fn a_parked_connection_closes_as_soon_as_the_server_writes_unasked(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    connection.write("H").await;
    connection.read_to_end().await;
    assert_eq!(caller.pool.stats().closed(Reason::Unsolicited), 1);
    ends_at_rest(caller).await;
}

async fn a_parked_connection_that_the_server_gives_up_politely_was_closed_by_it(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    connection.write("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n").await;
    connection.finish().await;
    connection.read_to_end().await;
    caller.watch.until_open(0).await;
    assert_eq!(caller.pool.stats().closed(Reason::ClosedByPeer), 1);

    // No quarantine: what came was no answer to a request.
    let mut connection = parked(&caller, &mut server).await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_at_rest(caller).await;
}

async fn a_parked_connection_counts_as_one_of_its_address(backend: Backend) {
    let (caller, mut server) =
        parking_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let mut connection = parked(&caller, &mut server).await;

    let first = tokio::spawn(caller.fetch(get("/")));
    connection.read_request().await;
    let second = tokio::spawn(caller.fetch(get("/")));
    eventually("the second waits", || caller.pool.stats().waiting == 1).await;
    connection.write(answer("first")).await;
    first.await.expect("no panic").expect("a response");
    connection.read_request().await;
    connection.write(answer("second")).await;
    second.await.expect("no panic").expect("a response");
    assert_eq!(caller.watch.opened(), 1);
    ends_at_rest(caller).await;
}

async fn a_parked_connection_is_as_large_a_reader_as_any(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    let large = vec![b'x'; 4 * 1024 * 1024];
    let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), answer(&large)).await;
    assert_eq!(whole.body, large);
    ends_at_rest(caller).await;
}

/// Opens as many connections; they come home in their order, the last one last.
async fn come_home(caller: &Caller, server: &mut Server, count: usize) -> VecDeque<Connection> {
    let mut connections = VecDeque::new();
    for _ in 0..count {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        connections.push_back((connection, client));
    }
    let mut home = VecDeque::new();
    for (mut connection, client) in connections {
        connection.write(answer("home")).await;
        client.await.expect("no panic").expect("a response");
        home.push_back(connection);
    }
    home
}

async fn the_connection_that_came_home_last_serves_next_parked_or_not(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut home = come_home(&caller, &mut server, 4).await;
    until_parked(&caller, 4).await;

    // The two that came home last serve and come home the other way round, and rest with their HTTP state.
    let mut clients = Vec::new();
    for number in [3, 2] {
        clients.push(tokio::spawn(caller.fetch(get("/"))));
        home[number].read_request().await;
    }
    for (number, client) in [3, 2].into_iter().zip(clients) {
        home[number].write(answer("again")).await;
        client.await.expect("no panic").expect("a response");
    }
    let stats = caller.pool.stats();
    assert_eq!((stats.parked, stats.idle), (2, 2));

    let mut clients = JoinSet::new();
    for number in [2, 3, 1, 0] {
        clients.spawn(caller.fetch(get("/")));
        home[number].read_request().await;
    }
    for connection in &mut home {
        connection.write(answer("last")).await;
    }
    assert!(clients.join_all().await.iter().all(Result::is_ok));
    assert_eq!(caller.watch.opened(), 4);
    ends_at_rest(caller).await;
}

async fn a_parked_connection_that_was_lent_for_nothing_rests_again(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    for _ in 0..3 {
        drop(caller.pool.lease(&caller.address).await.expect("the one that is parked"));
        assert_eq!(caller.pool.stats().closed_total(), 0);
        until_parked(&caller, 1).await;
    }
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_at_rest(caller).await;
}

async fn a_parked_connection_closes_with_its_pool(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    let watch = caller.watch.clone();
    drop(caller);
    assert_eq!(watch.open(), 0, "closed by the drop itself");
    connection.ends().await;
}

async fn a_parked_connection_closes_with_its_address(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    caller.pool.drain(&caller.address).await;
    assert_eq!(caller.watch.open(), 0);
    connection.ends().await;
    let error = caller.fetch(get("/")).await.expect_err("retired");
    assert_eq!(error.kind(), ErrorKind::Retired);
    assert_eq!(caller.pool.stats().closed(Reason::Retired), 1);
    ends_at_rest(caller).await;
}

/// Longer than any test runs.
const AFTER: Duration = Duration::from_secs(3600);

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
            ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_at_rest_park_a_connection_unless_told_otherwise() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        advance(Duration::from_secs(20)).await;
        until_parked(&caller, 1).await;
        let (_, response) = server.reuse(&mut connection, caller.send(get("/")), answer("")).await;
        let rested = response.body().connection().idle_for();
        assert!(rested >= Duration::from_secs(20), "{rested:?}");
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}
