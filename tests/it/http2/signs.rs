//! Signs of life: which connection is asked for one, which is replaced, and which is never doubted.

use std::time::Duration;

use h2::Reason as Code;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::raw_http2::{END_STREAM, Frame, OK, RawConnection, STREAMS, kind, status};
use pooled_fetch_tests::{
    Caller, Http2Server, bounded, ends_idle, eventually, get, let_pass, poll_once, post, settle,
};
use tokio::time::Instant;

use super::*;

super::over_tls_too! {
    a_connection_that_falls_silent_costs_one_request_and_is_replaced,
    a_response_timeout_on_a_silent_connection_asks_for_a_sign_of_life,
    a_path_that_has_forgotten_its_connections_costs_one_request,
    a_connection_that_is_tried_carries_no_other_request_meanwhile,
    a_server_that_closes_a_connection_in_order_says_nothing_of_the_others,
    an_answer_clears_the_connections_that_were_set_aside_for_a_slow_one,
    a_doubted_connection_carries_nothing_until_its_server_has_said_something,
    a_server_is_asked_at_most_twice_before_it_has_sent_a_part_of_a_response,
    nothing_is_asked_when_something_was_read_since_the_request_was_sent,
    the_patience_with_a_silent_server_can_be_set,
    the_keep_alive_asks_within_its_jitter_also_where_no_request_waits,
    the_keep_alive_can_be_limited_to_connections_on_which_a_request_waits,
    frames_that_serve_no_request_are_a_flood_which_ends_the_connection,
    answers_before_the_final_one_without_end_are_ended_at_the_limit_for_heads,
    a_reset_of_a_cancelled_request_says_that_it_was_cancelled,
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The frames that have come by now.
async fn by_now(connection: &mut RawConnection) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(SECOND / 100, connection.read()).await {
        frames.push(frame);
    }
    frames
}

fn pings(frames: &[Frame]) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.kind == kind::PING && frame.flags & 1 == 0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_falls_silent_costs_one_request_and_is_replaced() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        let (lost, stream) = under_way(&caller, &mut server, "/lost").await;
        server.fall_silent();
        // Its caller gives up by a timeout of its own.
        lost.abort();
        for _ in 0..30 {
            let (client, stream) = under_way(&caller, &mut server, "/next").await;
            assert_eq!(stream.connection, 2);
            stream.answer("next");
            client.await.expect("no panic").expect("a response");
        }
        let_pass(SECOND * 6).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.closed(Reason::TimedOut)), (2, 1));
        drop(stream);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_timeout_on_a_silent_connection_asks_for_a_sign_of_life() {
    bounded(async {
        let (caller, mut server) =
            start_http2(100, |settings| settings.response_timeout(SECOND)).await;
        served(&caller, &mut server).await;
        let (client, stream) = under_way(&caller, &mut server, "/lost").await;
        server.fall_silent();
        let error = client.await.expect("no panic").expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        let (next, answer) = under_way(&caller, &mut server, "/next").await;
        assert_eq!(answer.connection, 2);
        answer.answer("next");
        next.await.expect("no panic").expect("a response");
        let_pass(SECOND * 6).await;
        assert_eq!(caller.pool.stats().closed(Reason::TimedOut), 1);
        drop(stream);
        ends_idle(caller).await;
    })
    .await;
}

/// So many connections, each of which has served a request, and has rested for two seconds.
async fn resting(count: usize) -> (Caller, Http2Server) {
    let (caller, mut server) =
        start_http2(1, |settings| settings.response_timeout(SECOND).idle_timeout(None)).await;
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(under_way(&caller, &mut server, "/").await);
    }
    for (client, stream) in held {
        stream.answer("done");
        client.await.expect("no panic").expect("a response");
    }
    let_pass(SECOND * 2).await;
    assert_eq!((caller.pool.stats().idle, server.accepted()), (count, count));
    (caller, server)
}

#[tokio::test(start_paused = true)]
async fn a_path_that_has_forgotten_its_connections_costs_one_request() {
    bounded(async {
        for count in [20, 3] {
            let (caller, mut server) = resting(count).await;
            server.fall_silent();
            let error = caller.fetch(get("/lost")).await.expect_err("no answer");
            assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
            for _ in 0..count {
                let begun = Instant::now();
                let client = tokio::spawn(caller.fetch(get("/next")));
                let stream = server.next().await;
                assert!(stream.connection > count, "over the old path");
                assert!(begun.elapsed() < SECOND / 2, "it has waited for {:?}", begun.elapsed());
                stream.answer("next");
                client.await.expect("no panic").expect("a response");
            }
            let_pass(SECOND * 10).await;
            let stats = caller.pool.stats();
            let lost = count as u64 - 2;
            assert_eq!(stats.closed(Reason::SiblingFailed), lost, "{stats:?}");
            assert_eq!((stats.idle, stats.opened), (1, count as u64 + 1));
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_tried_carries_no_other_request_meanwhile() {
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.response_timeout(SECOND * 4)).await;
        let mut connections = Vec::new();
        for path in ["/a", "/b"] {
            let client = tokio::spawn(caller.fetch(get(path)));
            let mut connection = server.greet(1).await;
            let stream = connection.request().await;
            connections.push((client, connection, stream));
        }
        let mut rested = Vec::new();
        for (client, mut connection, stream) in connections {
            connection.answer(stream, b"done").await;
            connection.settings(&[(STREAMS, 10)]).await;
            client.await.expect("no panic").expect("a response");
            rested.push(connection);
        }
        let_pass(SECOND * 3).await;
        // One of them gives no answer, and the other is tried.
        caller.fetch(get("/lost")).await.expect_err("no answer");
        let tries = tokio::spawn(caller.fetch(get("/tries")));
        settle().await;
        let pay = tokio::spawn(caller.fetch(post("/pay", "once")));
        let mut three = server.greet(10).await;
        let stream = three.request().await;
        three.answer(stream, b"paid").await;
        assert_eq!(pay.await.expect("no panic").expect("a response").body, "paid");
        tries.abort();
        drop(rested);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_a_connection_in_order_says_nothing_of_the_others() {
    bounded(async {
        let (caller, mut server) = resting(5).await;
        let (client, stream) = under_way(&caller, &mut server, "/lost").await;
        server.cut_one(stream.connection);
        drop(stream);
        let again = server.next().await;
        assert!(again.connection > 5);
        again.answer("again");
        client.await.expect("no panic").expect("a response");
        settle().await;
        let stats = caller.pool.stats();
        assert_eq!(
            (stats.closed(Reason::SiblingFailed), stats.closed_total()),
            (0, 1),
            "{stats:?}"
        );
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_clears_the_connections_that_were_set_aside_for_a_slow_one() {
    bounded(async {
        let (caller, mut server) = resting(5).await;
        let (slow, stream) = under_way(&caller, &mut server, "/slow").await;
        let error = slow.await.expect("no panic").expect_err("no answer in time");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        drop(stream);
        for _ in 0..10 {
            let (client, stream) = under_way(&caller, &mut server, "/next").await;
            assert!(stream.connection <= 5);
            stream.answer("next");
            client.await.expect("no panic").expect("a response");
        }
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.closed_total()), (5, 0), "{stats:?}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_doubted_connection_carries_nothing_until_its_server_has_said_something() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.max_connections(1)).await;
        let mut client = caller.fetch(get("/"));
        assert!(poll_once(client.as_mut()).is_pending());
        let mut connection = server.greet(10).await;
        settle().await;
        assert!(poll_once(client.as_mut()).is_pending());
        connection.request().await;
        drop(client);
        let ping = connection.next(kind::PING).await;
        let waits = tokio::spawn(caller.fetch(get("/")));
        eventually("it waits", || caller.pool.stats().waiting == 1).await;
        assert!(by_now(&mut connection).await.iter().all(|frame| frame.kind != kind::HEADERS));
        connection.pong(&ping).await;
        let stream = connection.request().await;
        connection.answer(stream, b"done").await;
        waits.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_is_asked_at_most_twice_before_it_has_sent_a_part_of_a_response() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut connection = None;
        let mut asked = 0;
        for turn in 0..100 {
            let mut client = caller.fetch(get("/"));
            assert!(poll_once(client.as_mut()).is_pending());
            if connection.is_none() {
                connection = Some(server.greet(1000).await);
            }
            settle().await;
            let _ = poll_once(client.as_mut());
            let connection = connection.as_mut().expect("it was accepted");
            connection.request().await;
            drop(client);
            let frames = by_now(connection).await;
            for ping in pings(&frames) {
                asked += 1;
                connection.pong(ping).await;
            }
            settle().await;
            assert!(asked <= 2, "{asked} by turn {turn}");
        }
        assert_eq!((asked, caller.watch.opened()), (2, 1));
        // A part of a response, and it may be asked again.
        let client = tokio::spawn(caller.fetch(get("/")));
        let connection = connection.as_mut().expect("it was accepted");
        let stream = connection.request().await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        let cancelled = tokio::spawn(caller.fetch(get("/")));
        connection.request().await;
        cancelled.abort();
        let ping = connection.next(kind::PING).await;
        connection.pong(&ping).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_when_something_was_read_since_the_request_was_sent() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let cancelled = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        // A word about another thing is a sign of life too.
        connection.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).await;
        settle().await;
        cancelled.abort();
        let frames = by_now(&mut connection).await;
        assert!(pings(&frames).is_empty(), "{frames:?}");
        assert!(
            frames.iter().any(|frame| (frame.kind, frame.stream) == (kind::RST_STREAM, stream))
        );
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_patience_with_a_silent_server_can_be_set() {
    bounded(async {
        let (caller, mut server) =
            start_http2(100, |settings| settings.http2_patience(SECOND * 2)).await;
        served(&caller, &mut server).await;
        let (lost, stream) = under_way(&caller, &mut server, "/lost").await;
        server.fall_silent();
        lost.abort();
        let since = Instant::now();
        eventually("it is doubted", || caller.pool.stats().streams == 0).await;
        caller.watch.until_open(0).await;
        assert!((SECOND * 2..SECOND * 3).contains(&since.elapsed()), "{:?}", since.elapsed());
        drop(stream);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_keep_alive_asks_within_its_jitter_also_where_no_request_waits() {
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.idle_timeout(None).http2_keep_alive(SECOND * 20, SECOND))
                .await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        for _ in 0..5 {
            let since = Instant::now();
            let ping = connection.next(kind::PING).await;
            assert!(
                (SECOND * 16..=SECOND * 21).contains(&since.elapsed()),
                "{:?}",
                since.elapsed()
            );
            connection.pong(&ping).await;
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_keep_alive_can_be_limited_to_connections_on_which_a_request_waits() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| {
            let settings = settings.idle_timeout(None).http2_keep_alive(SECOND * 20, SECOND);
            settings.http2_keep_alive_while_idle(false)
        })
        .await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        let_pass(SECOND * 100).await;
        assert!(pings(&by_now(&mut connection).await).is_empty());
        let waits = tokio::spawn(caller.fetch(get("/")));
        let stream = connection.request().await;
        let ping = connection.next(kind::PING).await;
        connection.pong(&ping).await;
        connection.answer(stream, b"done").await;
        waits.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn frames_that_serve_no_request_are_a_flood_which_ends_the_connection() {
    bounded(async {
        let unknown = 0xbb;
        for (kind, payload) in [
            (kind::SETTINGS, &[][..]),
            (kind::PING, &[0; 8][..]),
            (kind::WINDOW_UPDATE, &[0, 0, 0, 1][..]),
            (unknown, &[0; 3][..]),
        ] {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let client = tokio::spawn(caller.fetch(get("/")));
            let mut connection = server.greet(10).await;
            connection.request().await;
            let flood = pooled_fetch_tests::raw_http2::frame(kind, 0, 0, payload).repeat(100);
            for _ in 0..100 {
                connection.write(&flood).await;
                by_now_at_once(&mut connection).await;
            }
            let error = client.await.expect("no panic").expect_err("a flood");
            assert!(error.to_string().contains("serve no request"), "{kind}: {error}");
            assert_eq!(caller.pool.stats().closed(Reason::Flooded), 1, "{kind}");
            ends_idle(caller).await;
        }
    })
    .await;
}

/// Takes what the client writes, so that it is never held up.
async fn by_now_at_once(connection: &mut RawConnection) {
    let ready = |frame: &Option<Frame>| frame.is_some();
    loop {
        let next = {
            let mut read = Box::pin(connection.read());
            poll_once(read.as_mut())
        };
        match next {
            std::task::Poll::Ready(frame) if ready(&frame) => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn answers_before_the_final_one_without_end_are_ended_at_the_limit_for_heads() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.max_response_head(8 * 1024)).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        for _ in 0..400 {
            connection.head(stream, 0, &status("103")).await;
            settle().await;
        }
        let error = client.await.expect("no panic").expect_err("no end");
        assert_eq!(error.kind(), ErrorKind::EndlessInformational, "{error}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_reset_of_a_cancelled_request_says_that_it_was_cancelled() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.send(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.head(stream, 0, OK).await;
        drop(client.await.expect("no panic").expect("a head"));
        let reset = connection.next(kind::RST_STREAM).await;
        assert_eq!(reset.payload, u32::from(Code::CANCEL).to_be_bytes());
        assert_eq!((reset.stream, END_STREAM), (stream, 1));
        ends_idle(caller).await;
    })
    .await;
}
