//! What a response tells of its connection.

use std::time::Duration;

use pooled_fetch_tests::{
    Backend, Whole, answer, bounded, ends_idle, for_each_backend, get, start, start_with,
};
use tokio::time::advance;

for_each_backend! {
    a_response_tells_which_connection_brought_it,
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
    ends_idle(caller).await;
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
        ends_idle(caller).await;

        let (caller, mut server) = start(Backend::Memory).await;
        let (_one, _, response) = server.open(caller.send(get("/")), answer("")).await;
        let info = response.body().connection();
        assert_eq!((info.peer_address(), info.local_address()), (None, None));
        ends_idle(caller).await;
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
        ends_idle(caller).await;
    })
    .await;
}
