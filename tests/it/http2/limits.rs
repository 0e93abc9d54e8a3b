//! The first word of the server, its limit as it moves, and what is refused.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason as Code;
use pool_core::{ErrorKind, Reason as Closed, Written};
use pooled_fetch_tests::raw_http2::{END_STREAM, RawConnection, STREAMS, content_length, kind};
use pooled_fetch_tests::{
    Address, Caller, bounded, ends_idle, eventually, get, let_pass, poll_once, post, settle,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

super::over_tls_too! {
    a_server_that_allows_no_stream_keeps_requests_waiting_as_long_as_their_checkout_may_last,
    nothing_is_sent_before_the_first_word_of_the_server,
    the_limit_is_followed_as_it_moves_and_no_post_is_executed_twice,
    a_connection_that_is_left_without_a_stream_closes_as_an_idle_one_does,
    a_limit_that_falls_in_the_moment_of_a_request_sends_it_elsewhere,
    a_goaway_as_the_first_word_sends_posts_over_the_next_connection,
    a_server_that_greets_every_connection_with_goaway_is_not_dialled_without_end,
    a_goaway_below_an_open_stream_sends_that_one_again_and_finishes_those_before,
    what_was_answered_however_poorly_is_not_repeated,
    a_request_is_refused_five_times_and_served_when_a_place_comes_free,
    the_response_timeout_of_an_upload_that_stalls_runs_from_its_last_piece,
    the_setting_for_streams_lies_below_the_limit_of_the_server,
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_no_stream_keeps_requests_waiting_as_long_as_their_checkout_may_last()
{
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.checkout_timeout(SECOND * 3).connect_timeout(None)).await;
        let mut clients: JoinSet<_> = (0..20).map(|_| caller.fetch(post("/", "once"))).collect();
        let mut connection = server.greet(0).await;
        while let Some(client) = clients.join_next().await {
            let error = client.expect("no panic").expect_err("no stream is allowed");
            assert_eq!(error.kind(), ErrorKind::CheckoutTimeout, "{error}");
            assert!(error.evidence().is_unsent() && error.evidence().written() == Written::Nothing);
            error.into_request().expect("it never left");
        }
        assert_eq!(caller.watch.opened(), 1);
        connection.settings(&[(STREAMS, 1)]).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let stream = connection.request().await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_word_of_the_server() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut clients: JoinSet<_> = (0..5).map(|_| caller.fetch(get("/"))).collect();
        let mut connection = server.accept().await;
        for expected in [kind::SETTINGS, kind::WINDOW_UPDATE] {
            assert_eq!(connection.read().await.map(|frame| frame.kind), Some(expected));
        }
        settle().await;
        assert_eq!((caller.pool.stats().waiting, caller.watch.opened()), (5, 1));
        connection.settings(&[(STREAMS, 5)]).await;
        for _ in 0..5 {
            let stream = connection.request().await;
            connection.answer(stream, b"done").await;
        }
        while let Some(client) = clients.join_next().await {
            client.expect("no panic").expect("a response");
        }
        ends_idle(caller).await;
    })
    .await;
}

/// The dial has opened its connection, and waits for the word.
#[tokio::test(start_paused = true)]
async fn a_server_without_a_first_word_holds_up_no_other_address_and_no_drain() {
    for drains in [false, true] {
        bounded(async {
            let (caller, mut server) = start_raw(|settings| settings.max_connections(1)).await;
            let start = Instant::now();
            let clients: JoinSet<_> = (0..4).map(|_| caller.fetch(get("/"))).collect();
            let mut silent = server.accept().await;
            assert_eq!(silent.read().await.map(|frame| frame.kind), Some(kind::SETTINGS));
            drop(clients);
            if drains {
                caller.pool.drain(&caller.address).await;
            } else {
                let other = Caller { address: Address::new("other.test"), ..caller.clone() };
                let client = tokio::spawn(other.fetch(get("/")));
                let mut living = server.greet(100).await;
                let stream = living.request().await;
                living.answer(stream, b"done").await;
                client.await.expect("no panic").expect("a response");
            }
            assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
            assert_eq!(caller.pool.stats().closed(Closed::Cancelled), 1);
            while silent.read().await.is_some() {}
            ends_idle(caller).await;
        })
        .await;
    }
}

/// Answers the next requests of a connection; gives how many there were until nothing more came.
async fn serve(connection: &mut RawConnection) -> usize {
    let mut served = 0;
    while let Ok(stream) = tokio::time::timeout(SECOND, connection.request()).await {
        connection.answer(stream, b"done").await;
        served += 1;
    }
    served
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_followed_as_it_moves_and_no_post_is_executed_twice() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.max_connections(1)).await;
        let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(post("/", "once"))).collect();
        let mut connection = server.greet(100).await;
        let mut executed = serve(&mut connection).await;
        for limit in [0, 1, 1000, 0, 3, 100] {
            connection.settings(&[(STREAMS, limit)]).await;
            settle().await;
            for _ in 0..10 {
                clients.spawn(caller.fetch(post("/", "once")));
            }
            if limit == 0 {
                settle().await;
                assert_eq!(caller.pool.stats().waiting, 10);
            } else {
                executed += serve(&mut connection).await;
            }
        }
        while let Some(client) = clients.join_next().await {
            assert_eq!(client.expect("no panic").expect("a response").body, "done");
        }
        assert_eq!(executed, 70);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_left_without_a_stream_closes_as_an_idle_one_does() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.idle_timeout(SECOND * 20)).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        connection.settings(&[(STREAMS, 0)]).await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        let_pass(SECOND * 15).await;
        // One that comes to have room again serves, and begins anew.
        connection.settings(&[(STREAMS, 1)]).await;
        settle().await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let stream = connection.request().await;
        connection.settings(&[(STREAMS, 0)]).await;
        connection.answer(stream, b"done").await;
        client.await.expect("no panic").expect("a response");
        let_pass(SECOND * 15).await;
        assert_eq!(caller.watch.open(), 1);
        let_pass(SECOND * 15).await;
        eventually("it closes", || caller.watch.open() == 0).await;
        assert_eq!(caller.pool.stats().closed(Closed::IdleTimeout), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_falls_in_the_moment_of_a_request_sends_it_elsewhere() {
    bounded(async {
        for abandons in [false, true] {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let first = tokio::spawn(caller.fetch(get("/")));
            let mut connection = server.greet(100).await;
            let stream = connection.request().await;
            connection.answer(stream, b"first").await;
            first.await.expect("no panic").expect("a response");
            settle().await;
            if abandons {
                // Given up before it was written.
                assert!(poll_once(caller.fetch(get("/gone")).as_mut()).is_pending());
                settle().await;
            }
            // They lie in the stream, and are read in the poll that would send the request.
            connection.settings(&[(STREAMS, 0)]).await;
            let mut late = caller.fetch(post("/late", "once"));
            assert!(poll_once(late.as_mut()).is_pending());
            let late = tokio::spawn(late);
            let mut next = server.greet(100).await;
            let stream = next.request().await;
            next.answer(stream, b"moved").await;
            assert_eq!(late.await.expect("no panic").expect("a response").body, "moved");
            ends_idle(caller).await;
        }
    })
    .await;
}

/// The connection has served nothing before, so it is fresh for all of them.
#[tokio::test]
async fn a_limit_that_falls_before_the_first_requests_sends_them_elsewhere() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let lease = caller.pool.lease(&caller.address);
        let (lease, mut connection) = tokio::join!(lease, server.greet(100));
        let lease = lease.expect("a connection");
        connection.settings(&[(STREAMS, 0)]).await;
        let mut late = [(); 3].map(|()| caller.fetch(post("/late", "once")));
        assert!(late.iter_mut().all(|late| poll_once(late.as_mut()).is_pending()));
        drop(lease);
        let late: JoinSet<_> = late.into_iter().collect();
        let mut next = server.greet(100).await;
        for _ in 0..3 {
            let stream = next.request().await;
            next.answer(stream, b"moved").await;
        }
        for whole in late.join_all().await {
            assert_eq!(whole.expect("a response").body, "moved");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn no_connection_carries_more_requests_than_it_may_however_many_come_at_once() {
    bounded(async {
        for before in [0, 1] {
            let (caller, server) = start_http2(100, |settings| settings.max_uses(5)).await;
            let _service = echo(server);
            for requests in [before, 17] {
                let crowd: JoinSet<_> = (0..requests).map(|_| caller.fetch(get("/"))).collect();
                let served = crowd.join_all().await;
                served.into_iter().for_each(|whole| drop(whole.expect("a response")));
            }
            let stats = caller.pool.stats();
            assert_eq!(stats.opened, 4, "five at most over each");
            assert_eq!(stats.closed(Closed::MaxUses), 3);
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_goaway_as_the_first_word_sends_posts_over_the_next_connection() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/", "once")));
        let mut first = server.greet(100).await;
        first.goaway(0, Code::NO_ERROR).await;
        let mut second = server.greet(100).await;
        let stream = second.request().await;
        second.answer(stream, b"done").await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "done");
        drop(first);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_greets_every_connection_with_goaway_is_not_dialled_without_end() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/", "once")));
        let greeting = tokio::spawn(async move {
            let mut greeted = 0;
            while let Ok(mut connection) =
                tokio::time::timeout(SECOND * 20, server.greet(100)).await
            {
                connection.goaway(0, Code::NO_ERROR).await;
                greeted += 1;
            }
            greeted
        });
        let error = client.await.expect("no panic").expect_err("no connection serves");
        assert!(error.evidence().is_unprocessed(), "{error}");
        error.into_request().expect("it never left");
        let greeted = greeting.await.expect("no panic");
        assert!((1..=7).contains(&greeted), "{greeted}");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_goaway_below_an_open_stream_sends_that_one_again_and_finishes_those_before() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let kept = tokio::spawn(caller.fetch(post("/kept", "once")));
        let mut first = server.greet(100).await;
        let below = first.request().await;
        let moved = tokio::spawn(caller.fetch(post("/moved", "once")));
        first.request().await;
        first.goaway(below, Code::NO_ERROR).await;
        let mut second = server.greet(100).await;
        let again = second.request().await;
        second.answer(again, b"moved").await;
        assert_eq!(moved.await.expect("no panic").expect("a response").body, "moved");
        first.answer(below, b"kept").await;
        assert_eq!(kept.await.expect("no panic").expect("a response").body, "kept");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_answered_however_poorly_is_not_repeated() {
    bounded(async {
        let malformed = content_length("0");
        for reset in [None, Some(Code::NO_ERROR), Some(Code::CANCEL), Some(Code::ENHANCE_YOUR_CALM)]
        {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let first = tokio::spawn(caller.fetch(get("/")));
            let mut connection = server.greet(100).await;
            let stream = connection.request().await;
            connection.answer(stream, b"done").await;
            first.await.expect("no panic").expect("a response");
            let client = tokio::spawn(caller.fetch(get("/")));
            let stream = connection.request().await;
            match reset {
                None => connection.head(stream, END_STREAM, &malformed).await,
                Some(code) => connection.reset(stream, code).await,
            }
            let error = client.await.expect("no panic").expect_err("no response");
            let evidence = error.evidence();
            assert_eq!((error.kind(), evidence.attempts()), (ErrorKind::Response, 1), "{error}");
            assert!(error.to_string().contains("something read"), "{error}");
            assert_eq!(caller.pool.stats().retried, 0);
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_refused_five_times_and_served_when_a_place_comes_free() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings.max_connections(1)).await;
        let client = tokio::spawn(caller.fetch(post("/", "once")));
        let mut connection = server.greet(100).await;
        for turn in 1..=6 {
            let stream = loop {
                match tokio::time::timeout(SECOND, connection.read()).await {
                    Ok(Some(frame)) if frame.kind == kind::HEADERS => break frame.stream,
                    Ok(Some(_)) => {}
                    // It was given up after two refusals.
                    _ => connection = server.greet(100).await,
                }
            };
            if turn < 6 {
                connection.reset(stream, Code::REFUSED_STREAM).await;
            } else {
                connection.answer(stream, b"done").await;
            }
        }
        assert_eq!(client.await.expect("no panic").expect("a response").body, "done");
        assert_eq!(caller.pool.stats().retried, 5);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_response_timeout_of_an_upload_that_stalls_runs_from_its_last_piece() {
    bounded(async {
        let (caller, mut server) =
            start_raw(|settings| settings.response_timeout(SECOND * 3)).await;
        let since = Instant::now();
        let client = tokio::spawn(caller.fetch(post("/", Bytes::from(vec![0; 1 << 20]))));
        // The server gives no window beyond that of the beginning.
        let mut connection = server.greet(100).await;
        connection.request().await;
        let drain = tokio::spawn(async move { while connection.read().await.is_some() {} });
        let error = client.await.expect("no panic").expect_err("no response");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout, "{error}");
        assert_eq!(error.evidence().written(), Written::Partly);
        let took = since.elapsed();
        assert!((SECOND * 3..SECOND * 4).contains(&took), "{took:?}");
        let_pass(SECOND * 20).await;
        eventually("the silent connection is replaced", || caller.watch.open() == 0).await;
        drain.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn the_setting_for_streams_lies_below_the_limit_of_the_server() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings.http2_max_streams(2)).await;
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(under_way(&caller, &mut server, "/").await);
        }
        assert_eq!(server.most_streams(), 2);
        for (client, stream) in held {
            stream.answer("done");
            client.await.expect("no panic").expect("a response");
        }
        ends_idle(caller).await;
    })
    .await;
}
