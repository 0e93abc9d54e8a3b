//! What a resolver answers, and when it is asked again.

use std::io;
use std::time::Duration;

use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{Whole, bounded, eventually, get, let_pass};

use super::scripted::fetch;
use super::{Behaviour, Names};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_name_without_an_answer_is_an_error_that_tells_the_name() {
    bounded(async {
        let names = Names::new([]);
        let pool = names.pool();
        let error = fetch(&pool).await.expect_err("no address").to_string();
        assert!(error.contains("name.test") && error.contains("no address"), "{error}");
        names.fail_with(io::ErrorKind::NotFound);
        let error = fetch(&pool).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains("name.test"), "{error}");
        // It is asked anew for every dial until it answers.
        names.set_answer([1]);
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        assert_eq!(names.resolutions(), 3);
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_descriptors_to_resolve_a_name_the_connection_idle_longest_gives_way() {
    const EMFILE: i32 = 24;
    bounded(async {
        let names = Names::new([1]);
        let pool = names.pool();
        names.fail_once_with(EMFILE);
        let error = fetch(&pool).await.expect_err("nothing is idle");
        assert_eq!(error.kind(), ErrorKind::Connect);
        pool.warm(&"other.test", 2).await.expect("connections");
        names.fail_once_with(EMFILE);
        assert_eq!(fetch(&pool).await.expect("a response"), 1);
        let stats = pool.stats();
        assert_eq!((stats.closed(Reason::Evicted), stats.idle), (1, 2));
        assert_eq!(pool.stats().backing_off, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_good_for_its_time_and_outlives_errors() {
    bounded(async {
        let names = Names::new([1]);
        names.set_good_for(MINUTE);
        let pool = names.pool_with(|settings| settings.idle_timeout(Duration::ZERO));
        for (step, resolutions) in [(0, 1), (59, 1), (2, 2), (59, 2)] {
            let_pass(Duration::from_secs(step)).await;
            fetch(&pool).await.expect("a response");
            assert_eq!(names.resolutions(), resolutions);
        }
        names.fail_with(io::ErrorKind::TimedOut);
        let_pass(MINUTE).await;
        assert_eq!(fetch(&pool).await.expect("over the answer before"), 1);
        assert_eq!(names.resolutions(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_to_an_address_that_is_gone_close_when_their_requests_have_ended() {
    bounded(async {
        let names = Names::new([1]);
        names.set_good_for(MINUTE);
        let pool = names.pool_with(|settings| settings.idle_timeout(None));
        let lent = pool.http(&"name.test", get("/slow")).await.expect("a response");
        let other = pool.http(&"name.test", get("/")).await.expect("a response");
        drop(other);
        eventually("it is idle", || pool.stats().idle == 1).await;
        names.set_answer([2]);
        // No dial is needed; the name is resolved all the same.
        let_pass(MINUTE * 2).await;
        eventually("the idle one closes", || names.open(1) == 1).await;
        assert_eq!(pool.stats().closed(Reason::AddressGone), 1);
        Whole::read(lent).await.expect("the other half");
        eventually("and the other one after its response", || names.open(1) == 0).await;
        assert_eq!(pool.stats().closed(Reason::AddressGone), 2);
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        assert_eq!(names.connects(), [1, 1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_to_addresses_that_stay_are_kept() {
    bounded(async {
        let names = Names::new([1, 2]);
        names.set_good_for(MINUTE);
        names.set(1, Behaviour::Refuses);
        let pool = names.pool_with(|settings| settings.idle_timeout(None));
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        names.set_answer([3, 2]);
        let_pass(MINUTE * 2).await;
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        assert!(names.resolutions() >= 2 && pool.stats().closed_total() == 0);
        // An empty answer, and an error, change nothing.
        names.set_answer([]);
        let_pass(MINUTE * 2).await;
        names.fail_with(io::ErrorKind::TimedOut);
        let_pass(MINUTE * 2).await;
        assert_eq!(fetch(&pool).await.expect("a response"), 2);
        assert_eq!(names.connects(), [1, 2]);
    })
    .await;
}
