//! Bytes that no request has asked for: after them an address lends no connection twice for a while, unless its server was
//! only taking its leave.

use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{
    Backend, Whole, answer, bounded, ends_idle, for_each_backend, get, start,
};
use tokio::time::advance;

for_each_backend! {
    a_server_that_gives_an_idle_connection_up_politely_has_closed_it,
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
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_sibling_of_a_stray_connection_is_not_lent_either() {
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

        // A connection that has served no request cannot be out of step.
        caller.pool.warm(&caller.address, 1).await.expect("a connection");
        let mut warm = server.accept().await;
        server.reuse(&mut warm, caller.fetch(get("/")), answer("warm")).await;
        ends_idle(caller).await;
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
    ends_idle(caller).await;
}
