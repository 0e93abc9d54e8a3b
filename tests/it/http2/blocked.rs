//! A stream that takes nothing more: what h2 keeps may still go out, and reading goes on.

use bytes::Bytes;
use h2::Reason as Code;
use pool_core::ErrorKind;
use pooled_fetch_tests::raw_http2::{RawConnection, RawHttp2, STREAMS, WINDOW, kind};
use pooled_fetch_tests::{bounded, ends_idle, eventually, get, let_pass, poll_once, post, settle};
use tokio::time::timeout;

use super::signs::SECOND;
use super::*;

super::over_tls_too! {
    a_request_that_times_out_while_it_may_still_go_out_is_not_told_to_be_unsent,
    a_post_that_is_held_up_when_its_connection_fails_is_not_sent_twice,
    a_post_that_is_held_up_when_its_server_leaves_is_not_sent_twice,
    a_sign_of_life_that_cannot_be_asked_for_stops_no_reading,
    a_connection_that_takes_nothing_any_more_is_replaced,
}

/// A connection that has served, whose streams may carry so much, and the connection as a whole.
async fn served_with_windows(
    caller: &Caller,
    server: &mut RawHttp2,
    (of_stream, of_connection): (u32, u32),
) -> RawConnection {
    let first = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.settings(&[(STREAMS, 100), (WINDOW, of_stream)]).await;
    if of_connection > 0 {
        connection.frame(kind::WINDOW_UPDATE, 0, 0, &of_connection.to_be_bytes()).await;
    }
    let stream = connection.request().await;
    connection.answer(stream, b"first").await;
    first.await.expect("no panic").expect("a response");
    connection
}

/// An upload that fills the stream, whose server does not read.
async fn blocked(caller: &Caller) -> tokio::task::JoinHandle<Result<Whole, pool_core::Error>> {
    let upload = tokio::spawn(caller.fetch(post("/upload", Bytes::from(vec![0; 4 << 20]))));
    settle().await;
    upload
}

#[tokio::test(start_paused = true)]
async fn a_request_that_times_out_while_it_may_still_go_out_is_not_told_to_be_unsent() {
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.response_timeout(SECOND * 2)).await;
        let mut connection = served_with_windows(&caller, &mut server, (1 << 24, 1 << 24)).await;
        let upload = blocked(&caller).await;
        let error = caller.fetch(post("/pay", "")).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        assert!(!error.evidence().is_unsent() && !error.evidence().is_unprocessed(), "{error}");
        error.into_request().expect_err("the server may come to have it");
        // The server reads again, and gets it.
        let heads = [connection.request().await, connection.request().await];
        assert_eq!(heads, [3, 5]);
        drop((connection, upload));
        ends_idle(caller).await;
    })
    .await;
}

/// The POST is in what h2 has to write when the server ends the connection, and the stream takes nothing.
async fn is_not_sent_twice(goodbye: bool) {
    // So that the stream is full at every byte around the head of the POST.
    for window in (65_200..65_510).step_by(5) {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut connection = served_with_windows(&caller, &mut server, (window, 0)).await;
        settle().await;
        while let Ok(Some(_)) = timeout(SECOND / 100, connection.read()).await {}
        let upload = blocked(&caller).await;
        let pay = tokio::spawn(caller.fetch(post("/pay", "")));
        settle().await;
        if goodbye {
            connection.goaway(5, Code::NO_ERROR).await;
            connection.finish().await;
        } else {
            // A connection has no data of its own.
            connection.data(0, 0, b"x").await;
        }
        settle().await;
        let again = timeout(SECOND, async {
            let mut next = server.greet(100).await;
            let stream = next.request().await;
            next.answer(stream, b"executed").await;
        })
        .await
        .is_ok();
        let mut came = false;
        while let Ok(Some(frame)) = timeout(SECOND / 10, connection.read()).await {
            came |= (frame.kind, frame.stream) == (kind::HEADERS, 5);
        }
        assert!(!(again && came), "it came over both connections, at a window of {window}");
        pay.abort();
        upload.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_held_up_when_its_connection_fails_is_not_sent_twice() {
    bounded(is_not_sent_twice(false)).await;
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_held_up_when_its_server_leaves_is_not_sent_twice() {
    bounded(is_not_sent_twice(true)).await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_that_cannot_be_asked_for_stops_no_reading() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut connection = served_with_windows(&caller, &mut server, (1 << 24, 1 << 24)).await;
        let mut given_up = caller.fetch(get("/given-up"));
        assert!(poll_once(given_up.as_mut()).is_pending());
        settle().await;
        let upload = blocked(&caller).await;
        drop(given_up);
        let_pass(SECOND).await;
        // The server answers, and does not read on.
        connection.answer(5, b"enough").await;
        let whole = upload.await.expect("no panic").expect("a response");
        assert_eq!(whole.body, "enough");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_any_more_is_replaced() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.response_timeout(SECOND)).await;
        let mut connection = served_with_windows(&caller, &mut server, (1 << 26, 1 << 26)).await;
        let upload = tokio::spawn(caller.fetch(post("/upload", Bytes::from(vec![0; 64 << 20]))));
        connection.request().await;
        for _ in 0..10 {
            connection.next(kind::DATA).await;
        }
        // The upload has heard something, and then its path dies.
        connection.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).await;
        settle().await;
        upload.await.expect("no panic").expect_err("no answer");
        caller.fetch(get("/lost")).await.expect_err("no answer");
        let next = tokio::spawn(caller.fetch(get("/next")));
        let mut second = server.greet(100).await;
        let stream = second.request().await;
        second.answer(stream, b"next").await;
        assert_eq!(next.await.expect("no panic").expect("a response").body, "next");
        let_pass(SECOND * 10).await;
        eventually("the old one is closed", || caller.watch.open() == 1).await;
        ends_idle(caller).await;
    })
    .await;
}
