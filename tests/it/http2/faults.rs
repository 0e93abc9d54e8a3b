//! What goes wrong: nothing is lost that the server has not processed, and nothing is sent twice.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason as Code;
use http::Request;
use http_body_util::BodyExt;
use pool_core::{ErrorKind, Http2, Reason, Written};
use pooled_fetch_tests::{bounded, ends_idle, feed, get, post, start_with};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

super::over_tls_too! {
    a_refused_stream_is_sent_again_whatever_it_is,
    a_server_that_refuses_all_is_asked_six_times,
    a_post_whose_stream_is_reset_otherwise_is_not_sent_again,
    a_connection_that_is_cut_costs_a_post_and_saves_a_get,
    a_connection_that_does_not_answer_is_replaced,
    a_server_that_speaks_no_http2_fails_all_waiters_at_once,
    a_server_that_says_nothing_fails_all_waiters_after_the_connect_timeout,
    a_connection_whose_server_lives_goes_on_after_a_timeout,
    a_request_body_that_panics_takes_no_other_stream_along,
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_it_is() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        server.next().await.reset(Code::REFUSED_STREAM);
        let mut again = server.next().await;
        assert_eq!((again.path(), again.read().await), ("/once".into(), Bytes::from("content")));
        again.answer("done");
        assert_eq!(client.await.expect("no panic").expect("a response").body, "done");
        assert_eq!(caller.pool.stats().retried, 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_all_is_asked_six_times() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        for _ in 0..6 {
            server.next().await.reset(Code::REFUSED_STREAM);
        }
        let error = client.await.expect("no panic").expect_err("it was refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        let evidence = error.evidence();
        assert_eq!(evidence.attempts(), 6);
        assert!(evidence.is_unprocessed() && !evidence.is_unsent());
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_post_whose_stream_is_reset_otherwise_is_not_sent_again() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        server.next().await.reset(Code::INTERNAL_ERROR);
        let error = client.await.expect("no panic").expect_err("the server may have executed it");
        assert_eq!(error.kind(), ErrorKind::Response);
        let evidence = error.evidence();
        assert_eq!((evidence.attempts(), evidence.written()), (1, Written::Whole));
        assert!(!evidence.is_fresh() && !evidence.is_unprocessed());
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_costs_a_post_and_saves_a_get() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        let (saved, first) = under_way(&caller, &mut server, "/saved").await;
        let lost = tokio::spawn(caller.fetch(post("/lost", "content")));
        let second = server.next().await;
        server.cut();
        drop((first, second));
        let error = lost.await.expect("no panic").expect_err("the server may have executed it");
        assert_eq!(error.kind(), ErrorKind::Response);
        let again = server.next().await;
        assert_eq!((again.path(), again.connection), ("/saved".into(), 2));
        again.answer("saved");
        assert_eq!(saved.await.expect("no panic").expect("a response").body, "saved");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_is_replaced() {
    bounded(async {
        let second = Duration::from_secs(1);
        let (caller, mut server) =
            start_http2(100, |settings| settings.http2_keep_alive(second * 20, second * 5)).await;
        let (client, stream) = under_way(&caller, &mut server, "/").await;
        server.fall_silent();
        let since = Instant::now();
        let error = client.await.expect("no panic").expect_err("no answer on a fresh connection");
        assert!(since.elapsed() <= second * 26, "{:?}", since.elapsed());
        assert_eq!(error.kind(), ErrorKind::Response);
        caller.watch.until_open(0).await;
        assert_eq!(caller.pool.stats().closed(Reason::TimedOut), 1);
        drop(stream);
        server.cut();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_no_http2_fails_all_waiters_at_once() {
    bounded(async {
        let (caller, mut server) =
            start_with(BACKEND.get(), |settings| settings.http2(Http2::Assumed)).await;
        let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(get("/"))).collect();
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
        while let Some(client) = clients.join_next().await {
            client.expect("no panic").expect_err("no request can be served");
        }
        assert_eq!(caller.watch.opened(), 1);
        drop(connection);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_fails_all_waiters_after_the_connect_timeout() {
    bounded(async {
        let (caller, mut server) =
            start_with(BACKEND.get(), |settings| settings.http2(Http2::Assumed)).await;
        let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(get("/"))).collect();
        let _connection = server.accept().await;
        let mut timed_out = 0;
        while let Some(client) = clients.join_next().await {
            let error = client.expect("no panic").expect_err("no request can be served");
            timed_out += u32::from(error.kind() == ErrorKind::ConnectTimeout);
        }
        assert_eq!((timed_out, caller.watch.opened()), (10, 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_server_lives_goes_on_after_a_timeout() {
    bounded(async {
        let second = Duration::from_secs(1);
        let (caller, mut server) =
            start_http2(100, |settings| settings.response_timeout(second)).await;
        let (client, _stream) = under_way(&caller, &mut server, "/late").await;
        let error = client.await.expect("no panic").expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        let (next, stream) = under_way(&caller, &mut server, "/next").await;
        assert_eq!(stream.connection, 1);
        stream.answer("next");
        next.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_body_that_panics_takes_no_other_stream_along() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (kept, other) = under_way(&caller, &mut server, "/kept").await;
        let (input, body) = feed();
        let body =
            body.map_frame(|_| -> http_body::Frame<Bytes> { panic!("a caller's own fault") });
        let client = tokio::spawn(caller.fetch(Request::post("/").body(body).expect("a request")));
        let _stream = server.next().await;
        input.send(Bytes::from("one")).expect("the body is being sent");
        client.await.expect("no panic here").expect_err("its body has failed");
        other.answer("kept");
        assert_eq!(kept.await.expect("no panic").expect("a response").body, "kept");
        ends_idle(caller).await;
    })
    .await;
}
