//! A request waits for a connection as long as it was told to, and no longer.

use std::time::Duration;

use pool_core::ErrorKind;
use pooled_fetch_tests::{Backend, Lent, answer, bounded, ends_idle, eventually, get, start_with};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_too_long_gets_an_error_and_leaves_the_queue() {
    const PATIENCE: Duration = Duration::from_secs(3);
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.max_connections_per_address(1).checkout_timeout(PATIENCE)
        })
        .await;
        let lent = Lent::open(&caller, &mut server).await;
        let start = Instant::now();
        let error = caller.fetch(get("/late")).await.expect_err("nothing comes home");
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::CheckoutTimeout, PATIENCE));
        assert_eq!(
            error.to_string(),
            "checking out a connection to \"memory.test\": no connection within 3s"
        );
        assert_eq!(caller.pool.stats().waiting, 0);
        let mut connection = lent.come_home().await;
        assert_eq!(caller.pool.stats().idle, 1, "it is not kept for a request that has left");
        server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_dial_of_a_request_that_waited_too_long_serves_the_next() {
    // Shorter than a dial takes to hang, which later requests would not rely on.
    const PATIENCE: Duration = Duration::from_millis(900);
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.checkout_timeout(PATIENCE)).await;
        caller.watch.close_gate();
        let error = caller.fetch(get("/late")).await.expect_err("the gate is closed");
        assert_eq!(error.kind(), ErrorKind::CheckoutTimeout);
        assert_eq!(caller.pool.stats().opening, 1);
        let next = tokio::spawn(caller.fetch(get("/next")));
        eventually("it waits", || caller.pool.stats().waiting == 1).await;
        caller.watch.open_gate();
        let next = async { next.await.expect("no panic") };
        let (_, request, _) = server.open(next, answer("next")).await;
        assert_eq!((request.target(), caller.watch.opened()), ("/next", 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_patience_only_an_idle_connection_serves() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.checkout_timeout(Duration::ZERO)).await;
        let error = caller.fetch(get("/early")).await.expect_err("nothing is idle");
        assert_eq!(error.kind(), ErrorKind::CheckoutTimeout);
        eventually("its dial ends at rest", || caller.pool.stats().idle == 1).await;
        server.open(caller.fetch(get("/next")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_patience_without_end_is_no_nonsense() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.checkout_timeout(Duration::MAX)).await;
        server.open(caller.fetch(get("/")), answer("served")).await;
        ends_idle(caller).await;
    })
    .await;
}
