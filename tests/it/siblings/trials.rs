//! A connection that is tried, or handed on, while its siblings are doubted, counts as what it is.

use std::time::Duration;

use pool_core::Reason;
use pooled_fetch_tests::{Backend, Lent, answer, bounded, get, let_pass, post, settle, start_with};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_trial_ends_with_its_answer_even_if_another_has_cleared_all_before() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(4 * SECOND)).await;
        let mut lent = Vec::new();
        for _ in 0..4 {
            lent.push(Lent::open(&caller, &mut server).await);
        }
        let mut idle = Vec::new();
        for connection in lent {
            idle.push(connection.come_home().await);
            let_pass(SECOND / 100).await;
        }
        let_pass(2 * SECOND).await;
        let silent = tokio::spawn(caller.fetch(get("/silent")));
        idle[3].read_request().await;
        let_pass(SECOND).await;
        let slow = tokio::spawn(caller.fetch(get("/slow")));
        idle[2].read_request().await;
        let_pass(3 * SECOND + SECOND / 10).await;
        silent.await.expect("no panic").expect_err("no answer in time");
        let_pass(SECOND / 4).await;
        let tries = tokio::spawn(caller.fetch(get("/tries")));
        idle[1].read_request().await;
        idle[2].write(answer("slow")).await;
        slow.await.expect("no panic").expect("a response");
        settle().await;
        idle[1].write(answer("tries")).await;
        tries.await.expect("no panic").expect("a response");
        settle().await;
        let once = tokio::spawn(caller.fetch(post("/once", "body")));
        idle[1].read_request().await;
        let_pass(2 * SECOND).await;
        idle[1].write(answer("once")).await;
        once.await.expect("no panic").expect("it has four seconds, as all requests");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_handed_on_and_comes_back_unused_does_not_pass_for_young() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.response_timeout(4 * SECOND).max_connections_per_address(2)
        })
        .await;
        let one = Lent::open(&caller, &mut server).await;
        let two = Lent::open(&caller, &mut server).await;
        let (pool, address) = (caller.pool.clone(), caller.address.clone());
        let lease = tokio::spawn(async move { pool.lease(&address).await });
        settle().await;
        let _handed_on = one.come_home().await;
        let lease = lease.await.expect("no panic").expect("a lease");
        let_pass(SECOND / 100).await;
        let mut other = two.come_home().await;
        let_pass(2 * SECOND).await;
        let silent = tokio::spawn(caller.fetch(get("/silent")));
        other.read_request().await;
        silent.await.expect("no panic").expect_err("no answer in time");
        drop(lease);
        settle().await;
        let stats = caller.pool.stats();
        assert_eq!((stats.idle, stats.closed(Reason::SiblingFailed)), (0, 1));
    })
    .await;
}
