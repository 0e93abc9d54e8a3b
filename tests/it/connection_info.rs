//! What a response tells of its connection, and what the pool makes of bytes that nobody had asked for.

use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Whole, answer, bounded, ends_at_rest, for_each_backend, get, start, start_with,
};
use tokio::time::advance;

for_each_backend! {
    a_response_tells_which_connection_brought_it,
    a_server_that_gives_an_idle_connection_up_politely_has_closed_it,
}

async fn a_response_tells_which_connection_brought_it(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), answer("")).await;
    let first = response.body().connection().clone();
    assert_eq!((first.use_number(), first.is_reused()), (1, false));
    assert_eq!(first.idle_for(), Duration::ZERO);

    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (_, held) = server.reuse(&mut connection, caller.send(get("/")), half).await;
    let second = held.body().connection().clone();
    assert_eq!((second.id(), second.use_number(), second.is_reused()), (first.id(), 2, true));
    assert_eq!(second.queue_time(), Duration::ZERO);
    assert_eq!(second.connect_time(), first.connect_time(), "that of the connection");

    let (_other, _, response) = server.open(caller.send(get("/")), answer("")).await;
    let other = response.body().connection().clone();
    assert_ne!(other.id(), first.id());
    assert_eq!((other.use_number(), other.is_reused()), (1, false));
    // A copy stays what it was, whatever becomes of the connection.
    connection.write("half").await;
    Whole::read(held).await.expect("a body");
    assert_eq!(second.use_number(), 2);
    ends_at_rest(caller).await;
}

#[tokio::test]
async fn a_response_over_a_socket_tells_both_of_its_ends() {
    bounded(async {
        let (caller, mut server) = start(Backend::Tcp).await;
        let (_one, _, response) = server.open(caller.send(get("/")), answer("")).await;
        let info = response.body().connection();
        assert_eq!(info.peer_address(), Some(caller.address.socket()));
        let ours = info.local_address().expect("a socket has an address");
        assert_eq!(ours.ip(), caller.address.socket().ip());
        assert_ne!(ours, caller.address.socket());
        ends_at_rest(caller).await;

        let (caller, mut server) = start(Backend::Memory).await;
        let (_one, _, response) = server.open(caller.send(get("/")), answer("")).await;
        let info = response.body().connection();
        assert_eq!((info.peer_address(), info.local_address()), (None, None));
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_tells_for_how_long_it_waited_and_its_connection_rested() {
    bounded(async {
        let second = Duration::from_secs(1);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.max_connections_per_address(1)).await;
        caller.watch.close_gate();
        let client = tokio::spawn(caller.send(get("/")));
        caller.watch.until_waiting(1).await;
        advance(3 * second).await;
        caller.watch.open_gate();
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        let held = client.await.expect("no panic").expect("a response");
        let info = held.body().connection().clone();
        assert_eq!((info.connect_time(), info.queue_time()), (3 * second, 3 * second));
        assert_eq!(info.idle_for(), Duration::ZERO);

        // Passed on from one request to the next, it has not been idle.
        let waiting = tokio::spawn(caller.send(get("/")));
        tokio::task::yield_now().await;
        assert_eq!(caller.pool.stats().waiting, 1);
        advance(2 * second).await;
        connection.write("half").await;
        Whole::read(held).await.expect("a body");
        connection.read_request().await;
        connection.write(answer("")).await;
        let response = waiting.await.expect("no panic").expect("a response");
        let info = response.body().connection().clone();
        assert_eq!((info.queue_time(), info.idle_for()), (2 * second, Duration::ZERO));
        assert_eq!((info.use_number(), info.connect_time()), (2, 3 * second));

        advance(5 * second).await;
        let (_, response) = server.reuse(&mut connection, caller.send(get("/")), answer("")).await;
        let info = response.body().connection().clone();
        assert_eq!((info.idle_for(), info.queue_time()), (5 * second, Duration::ZERO));
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_stray_bytes_an_address_lends_no_connection_twice_for_a_second() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        // Two that are lent at one time, so that there are two of them.
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
        let (mut lent, _, response) = server.open(caller.send(get("/")), half).await;
        let (mut stray, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
        stray.write("stray").await;
        caller.watch.until_open(1).await;
        assert_eq!(caller.pool.stats().closed(Reason::Unsolicited), 1);

        // What is lent serves its request and closes.
        lent.write("half").await;
        assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
        lent.ends().await;
        for served in 1..=3 {
            let (mut once, ..) = server.open(caller.fetch(get("/")), answer("once")).await;
            once.ends().await;
            assert_eq!(caller.pool.stats().closed(Reason::Quarantined), 1 + served);
        }
        advance(Duration::from_millis(999)).await;
        let (mut once, ..) = server.open(caller.fetch(get("/")), answer("once")).await;
        once.ends().await;

        advance(Duration::from_millis(1)).await;
        let (mut again, ..) = server.open(caller.fetch(get("/")), answer("again")).await;
        server.reuse(&mut again, caller.fetch(get("/")), answer("again")).await;
        assert_eq!(caller.pool.stats().closed(Reason::Quarantined), 5);
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sister_of_a_stray_connection_that_rests_is_not_lent_either() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
        let (mut sister, _, response) = server.open(caller.send(get("/")), half).await;
        let (mut stray, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
        sister.write("half").await;
        Whole::read(response).await.expect("a body");
        stray.write("stray").await;
        caller.watch.until_open(1).await;
        let (mut once, ..) = server.open(caller.fetch(get("/")), answer("once")).await;
        sister.ends().await;
        once.ends().await;

        // Those that have served nobody cannot be out of step.
        caller.pool.warm(&caller.address, 1).await.expect("a connection");
        let mut warm = server.accept().await;
        server.reuse(&mut warm, caller.fetch(get("/")), answer("warm")).await;
        ends_at_rest(caller).await;
    })
    .await;
}

async fn a_server_that_gives_an_idle_connection_up_politely_has_closed_it(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    for round in 1..4 {
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        let politely = "HTTP/1.1 408 Request Timeout\r\ncontent-length: 2\r\n\r\nno";
        connection.write(politely).await;
        connection.finish().await;
        connection.ends().await;
        let stats = caller.pool.stats();
        let counts = (stats.closed(Reason::ClosedByPeer), stats.closed(Reason::Unsolicited));
        assert_eq!(counts, (round, 0));
    }
    ends_at_rest(caller).await;
}
