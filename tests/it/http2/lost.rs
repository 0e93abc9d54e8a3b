//! Many requests that are lost with one connection: which are sent again, over which connection, and what is counted.

use pool_core::{Error, ErrorKind};
use pooled_fetch_tests::{Caller, Http2Server, Whole, bounded, ends_idle, get};
use tokio::task::JoinSet;

use super::*;

super::over_tls_too! {
    requests_that_are_lost_together_go_over_the_one_connection_that_is_opened_next,
    requests_that_are_lost_beyond_the_budget_fail_with_their_evidence,
    a_request_that_was_served_is_under_way_no_longer_though_its_future_is_kept,
    a_request_that_is_lost_with_the_newer_connection_too_is_sent_a_third_time_at_most,
}

type Client = JoinSet<Result<Whole, Error>>;

/// So many GETs that the server has on one connection and has not answered.
async fn crowd(caller: &Caller, server: &mut Http2Server, count: usize) -> (Client, Vec<Stream>) {
    let clients = (0..count).map(|_| caller.fetch(get("/lost"))).collect();
    let mut streams = Vec::new();
    while streams.len() < count {
        streams.push(server.next().await);
    }
    (clients, streams)
}

/// Saves up leave to send a fifth of so many requests again.
async fn save_up(caller: &Caller, server: &mut Http2Server, requests: usize) {
    for _ in 0..requests {
        served(caller, server).await;
    }
}

#[tokio::test]
async fn requests_that_are_lost_together_go_over_the_one_connection_that_is_opened_next() {
    bounded(async {
        let (caller, mut server) = start_http2(200, |settings| settings).await;
        save_up(&caller, &mut server, 500).await;
        let (clients, streams) = crowd(&caller, &mut server, 100).await;
        server.cut();
        drop(streams);
        for _ in 0..100 {
            let again = server.next().await;
            assert_eq!(again.connection, 2);
            // From the first answer on that connection is not fresh any more.
            again.answer("saved");
        }
        let answers = clients.join_all().await;
        assert!(answers.iter().all(|answer| answer.is_ok()), "{answers:?}");
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.stale, stats.retried), (2, 100, 100));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_lost_beyond_the_budget_fail_with_their_evidence() {
    bounded(async {
        let (caller, mut server) = start_http2(200, |settings| settings).await;
        served(&caller, &mut server).await;
        // With the first they are 25 requests, of which a fifth may be sent again, which is more than three.
        let (clients, streams) = crowd(&caller, &mut server, 24).await;
        server.cut();
        drop(streams);
        for _ in 0..5 {
            server.next().await.answer("saved");
        }
        let answers = clients.join_all().await;
        let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert_eq!(failed.len(), 19);
        for error in failed {
            assert_eq!((error.kind(), error.evidence().attempts()), (ErrorKind::Response, 1));
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_served_is_under_way_no_longer_though_its_future_is_kept() {
    bounded(async {
        let (caller, mut server) = start_http2(200, |settings| settings).await;
        let mut kept = Vec::new();
        // Two requests a round earn less than a repetition, and three may be under way whatever was earned.
        for round in 0..12 {
            served(&caller, &mut server).await;
            let mut request = caller.fetch(get("/lost"));
            let answer = async {
                let lost = server.next().await;
                server.cut();
                drop(lost);
                server.next().await.answer("saved");
            };
            let (answer, ()) = tokio::join!(request.as_mut(), answer);
            assert!(answer.is_ok(), "round {round}: {answer:?}");
            kept.push(request);
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_lost_with_the_newer_connection_too_is_sent_a_third_time_at_most() {
    bounded(async {
        let (caller, mut server) = start_http2(200, |settings| settings).await;
        save_up(&caller, &mut server, 50).await;
        let client = tokio::spawn(caller.fetch(get("/lost")));
        for connection in 1..=3 {
            let lost = server.next().await;
            assert_eq!(lost.connection, connection);
            // A newer connection that has served may be lost as any other.
            if connection > 1 {
                served(&caller, &mut server).await;
            }
            server.cut();
            drop(lost);
        }
        let error = client.await.expect("no panic").expect_err("three were lost");
        assert_eq!(error.evidence().attempts(), 3);
        ends_idle(caller).await;
    })
    .await;
}
