//! A connection that has not been needed for a while is parked: it stays open and watched, and serves again.
//!
//! The clock is paused, over sockets too: every setting that could end a wait for a socket is off there, so
//! that only the time of parking passes by itself.

use std::collections::VecDeque;
use std::time::Duration;

use pool_core::{Builder, Connector, ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, Connection, Server, Settings, Whole, answer, ends_idle, eventually,
    for_each_backend, get, start_with,
};
use tokio::task::JoinSet;

for_each_backend! {
    paused:
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

pub(super) async fn parking(backend: Backend) -> (Caller, Server) {
    parking_with(backend, |settings| settings).await
}

async fn parking_with(
    backend: Backend,
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, Server) {
    start_with(backend, |before| settings(at_once(before))).await
}

pub(super) async fn until_parked(caller: &Caller, count: usize) {
    eventually("they are parked", || {
        let stats = caller.pool.stats();
        (stats.parked, stats.idle) == (count, 0)
    })
    .await;
}

/// Opens a connection, which is parked then.
pub(super) async fn parked(caller: &Caller, server: &mut Server) -> Connection {
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
    ends_idle(caller).await;
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
    ends_idle(caller).await;
}

async fn a_parked_connection_closes_as_soon_as_the_server_closes_it(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    drop(parked(&caller, &mut server).await);
    caller.watch.until_open(0).await;
    assert_eq!(caller.pool.stats().closed(Reason::ClosedByPeer), 1);
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_parked_connection_closes_as_soon_as_the_server_writes_unasked(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    connection.write("H").await;
    connection.read_to_end().await;
    assert_eq!(caller.pool.stats().closed(Reason::Unsolicited), 1);
    ends_idle(caller).await;
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
    ends_idle(caller).await;
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
    ends_idle(caller).await;
}

async fn a_parked_connection_is_as_large_a_reader_as_any(backend: Backend) {
    let (caller, mut server) = parking(backend).await;
    let mut connection = parked(&caller, &mut server).await;
    let large = vec![b'x'; 4 * 1024 * 1024];
    let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), answer(&large)).await;
    assert_eq!(whole.body, large);
    ends_idle(caller).await;
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
    ends_idle(caller).await;
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
    ends_idle(caller).await;
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
    ends_idle(caller).await;
}
