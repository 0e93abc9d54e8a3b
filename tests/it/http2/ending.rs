//! How streams and connections end.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use pool_core::{Reason as Closed, upgrade};
use pooled_fetch_tests::{bounded, ends_idle, eventually, feed, get, let_pass, poll_once, settle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, advance};

use super::*;

super::over_tls_too! {
    a_server_that_goes_away_finishes_what_it_has_and_gets_nothing_more,
    an_idle_connection_closes_when_its_server_goes_away,
    trailers_come_and_both_sides_may_speak_at_once,
    a_stream_keeps_its_place_until_both_sides_have_ended,
    a_cancelled_request_resets_its_stream_and_no_other,
    a_dropped_body_resets_its_stream,
    a_dropped_body_resets_its_stream_even_while_the_request_goes_out,
    a_tunnel_lasts_when_no_other_stream_is_left,
    more_cancelled_requests_than_a_server_would_bear_are_read_to_their_end,
    an_idle_connection_closes_after_the_idle_timeout_and_not_before,
    a_connection_that_is_old_ends_with_its_last_stream,
    a_drained_address_lets_streams_end_and_then_has_no_connection,
    trailers_go_out_after_a_body_of_known_length_too,
}

#[tokio::test]
async fn a_server_that_goes_away_finishes_what_it_has_and_gets_nothing_more() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (client, stream) = under_way(&caller, &mut server, "/old").await;
        server.leave();
        settle().await;
        let (next, other) = under_way(&caller, &mut server, "/new").await;
        assert_eq!((stream.connection, other.connection), (1, 2));
        stream.answer("old");
        other.answer("new");
        assert_eq!(client.await.expect("no panic").expect("a response").body, "old");
        assert_eq!(next.await.expect("no panic").expect("a response").body, "new");
        eventually("the old one has closed", || caller.watch.open() == 1).await;
        assert_eq!(caller.pool.stats().closed(Closed::ClosedByPeer), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_closes_when_its_server_goes_away() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        assert_eq!(caller.pool.stats().idle, 1);
        server.leave();
        caller.watch.until_open(0).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.idle, stats.closed(Closed::ClosedByPeer)), (0, 1));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn trailers_come_and_both_sides_may_speak_at_once() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (input, body) = feed();
        let request = Request::post("/chat").body(body).expect("a request");
        let client = tokio::spawn(caller.send(request));
        let mut stream = server.next().await;
        let mut output = stream.begin("hello");
        let mut response = client.await.expect("no panic").expect("a head");
        input.send(Bytes::from("one")).expect("the body is being sent");
        let data = stream.request.body_mut().data().await.expect("a frame").expect("a client");
        assert_eq!(data, "one");
        let frame = response.body_mut().frame().await.expect("a frame").expect("a server");
        assert_eq!(frame.into_data().expect("data"), "hello");
        drop(input);
        assert_eq!(stream.read().await, "", "the request has ended");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        output.send_trailers(trailers).expect("a client");
        let rest = response.into_body().collect().await.expect("the end");
        assert_eq!(rest.trailers().expect("trailers")["grpc-status"], "0");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_keeps_its_place_until_both_sides_have_ended() {
    bounded(async {
        let (caller, mut server) = start_http2(1, |settings| settings).await;
        let (input, body) = feed();
        let request = Request::post("/early").body(body).expect("a request");
        let client = tokio::spawn(caller.fetch(request));
        let mut stream = server.next().await;
        stream.begin("early").send_data(Bytes::new(), true).expect("a client");
        assert_eq!(client.await.expect("no panic").expect("a response").body, "early");
        assert_eq!(caller.pool.stats().streams, 1);
        drop((input, stream));
        eventually("the request has ended too", || caller.pool.stats().streams == 0).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_request_resets_its_stream_and_no_other() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (kept, other) = under_way(&caller, &mut server, "/kept").await;
        let (client, mut stream) = under_way(&caller, &mut server, "/cancelled").await;
        client.abort();
        assert_eq!(stream.is_reset().await, Some(Reason::CANCEL));
        other.answer("kept");
        assert_eq!(kept.await.expect("no panic").expect("a response").body, "kept");
        assert_eq!(caller.pool.stats().opened, 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_body_resets_its_stream() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.send(get("/")));
        let mut stream = server.next().await;
        let mut output = stream.begin("some of it");
        drop(client.await.expect("no panic").expect("a head"));
        let reset = std::future::poll_fn(|cx| output.poll_reset(cx)).await;
        assert_eq!(reset.expect("a client"), Reason::CANCEL);
        assert_eq!(caller.pool.stats().streams, 0);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_dropped_body_resets_its_stream_even_while_the_request_goes_out() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (_input, body) = feed();
        let client = tokio::spawn(caller.send(Request::post("/").body(body).expect("a request")));
        let mut stream = server.next().await;
        let mut output = stream.begin("some of it");
        drop(client.await.expect("no panic").expect("a head"));
        let reset = std::future::poll_fn(|cx| output.poll_reset(cx)).await;
        assert_eq!(reset.expect("a client"), Reason::CANCEL);
        eventually("its place is free", || caller.pool.stats().streams == 0).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_lasts_when_no_other_stream_is_left() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let request = Request::connect("site.test:443").body(String::new()).expect("a request");
        let client = tokio::spawn(caller.send(request));
        let mut stream = server.next().await;
        let mut output = stream.begin("hello");
        let response = client.await.expect("no panic").expect("a head");
        let mut response = response;
        let mut tunnel = upgrade::on(&mut response).await.expect("a tunnel");
        let_pass(Duration::from_secs(3600)).await;

        let mut bytes = [0; 5];
        tunnel.read_exact(&mut bytes).await.expect("a server");
        assert_eq!(&bytes, b"hello");
        tunnel.write_all(b"and back").await.expect("a server");
        let data = stream.request.body_mut().data().await.expect("a frame").expect("a client");
        assert_eq!(data, "and back");
        output.send_data(Bytes::new(), true).expect("a client");
        drop((tunnel, stream));
        caller.watch.until_open(0).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_cancelled_requests_than_a_server_would_bear_are_read_to_their_end() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let mut streams = Vec::new();
        for _ in 0..40 {
            let (client, stream) = under_way(&caller, &mut server, "/").await;
            client.abort();
            client.await.expect_err("it was aborted");
            streams.push(stream);
        }
        settle().await;
        let mut reset = 0;
        for stream in &mut streams {
            let mut is_reset = Box::pin(stream.is_reset());
            reset += usize::from(poll_once(is_reset.as_mut()).is_ready());
        }
        assert_eq!(reset, 16);
        assert_eq!(caller.pool.stats().streams, 24);
        streams.into_iter().for_each(|stream| stream.answer("too late"));
        eventually("all have ended", || caller.pool.stats().streams == 0).await;
        assert_eq!(caller.pool.stats().opened, 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_after_the_idle_timeout_and_not_before() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        advance(Duration::from_secs(89)).await;
        served(&caller, &mut server).await;
        assert_eq!(caller.pool.stats().opened, 1);
        let since = Instant::now();
        caller.watch.until_open(0).await;
        assert!(since.elapsed() >= Duration::from_secs(90));
        assert_eq!(caller.pool.stats().closed(Closed::IdleTimeout), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_old_ends_with_its_last_stream() {
    bounded(async {
        let minute = Duration::from_secs(60);
        let (caller, mut server) =
            start_http2(100, |settings| settings.max_lifetime(minute).lifetime_jitter(0.0)).await;
        let (client, stream) = under_way(&caller, &mut server, "/old").await;
        advance(minute).await;
        let (next, other) = under_way(&caller, &mut server, "/new").await;
        assert_eq!((stream.connection, other.connection), (1, 2));
        stream.answer("old");
        client.await.expect("no panic").expect("a response");
        eventually("the old one has closed", || caller.watch.open() == 1).await;
        assert_eq!(caller.pool.stats().closed(Closed::MaxLifetime), 1);
        other.answer("new");
        next.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_drained_address_lets_streams_end_and_then_has_no_connection() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let (client, stream) = under_way(&caller, &mut server, "/").await;
        let mut drained = Box::pin(caller.pool.drain(&caller.address));
        assert!(poll_once(drained.as_mut()).is_pending());
        stream.answer("in peace");
        assert_eq!(client.await.expect("no panic").expect("a response").body, "in peace");
        drained.await;
        assert_eq!(caller.watch.open(), 0);
        assert_eq!(caller.pool.stats().closed(Closed::Retired), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn trailers_go_out_after_a_body_of_known_length_too() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let body = Full::new(Bytes::from("content")).with_trailers(async { Some(Ok(trailers)) });
        let client = tokio::spawn(caller.fetch(Request::post("/").body(body).expect("a request")));
        let mut stream = server.next().await;
        assert_eq!(stream.read().await, "content");
        let received = stream.request.body_mut().trailers().await.expect("a client that goes on");
        assert_eq!(received.expect("trailers")["x-sum"], "7");
        stream.answer("done");
        client.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}
