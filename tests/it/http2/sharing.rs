//! Many requests over one connection, and no more streams than its server allows.

use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderValue, Request, Version};
use http_body_util::Full;
use pool_core::{Builder, ErrorKind, Http2, Reuse, reuse};
use pooled_fetch_tests::{
    Backend, Http2Server, Pieces, bounded, ends_idle, eventually, get, poll_once, settle,
    start_many_addresses,
};
use tokio::task::JoinSet;

use super::*;

super::over_tls_too! {
    requests_at_once_share_one_connection_and_one_after_the_other_reuse_it,
    all_waiters_share_one_handshake_and_its_failure,
    a_shared_dial_fails_no_request_that_came_after_it_had_begun,
    a_request_that_is_cancelled_takes_no_other_along,
    a_request_that_is_cancelled_before_the_first_word_takes_no_other_along,
    a_pool_that_closes_does_not_wait_for_the_first_word_of_a_server,
    no_stream_is_opened_beyond_the_limit_of_the_server,
    ten_thousand_requests_at_once_are_served_over_no_more_connections_than_needed,
    the_busiest_connection_is_used_first_so_that_the_others_come_to_rest,
    a_limit_of_one_connection_makes_the_others_wait_for_a_stream,
    what_cannot_be_said_in_http2_is_refused,
    a_request_for_a_fresh_connection_waits_for_it_while_streams_come_and_go,
}

#[tokio::test]
async fn requests_at_once_share_one_connection_and_one_after_the_other_reuse_it() {
    bounded(async {
        let (caller, server) = start_http2(100, |settings| settings).await;
        let server = echo(server);
        let mut clients = JoinSet::new();
        for number in 0..64 {
            let (caller, path) = (caller.clone(), format!("/{number}"));
            clients.spawn(async move {
                let whole = caller.fetch(get(&path)).await.expect("a response");
                assert_eq!((whole.head.version, whole.body), (Version::HTTP_2, Bytes::from(path)));
            });
        }
        clients.join_all().await;
        for _ in 0..10 {
            caller.fetch(get("/again")).await.expect("a response");
        }
        let stats = caller.pool.stats();
        assert_eq!((stats.opened, stats.idle, stats.streams), (1, 1, 0));
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn all_waiters_share_one_handshake_and_its_failure() {
    bounded(async {
        let (caller, server) = start_http2(100, |settings| settings).await;
        let server = echo(server);
        caller.watch.close_gate();
        let mut clients: JoinSet<_> = (0..64).map(|_| caller.fetch(get("/"))).collect();
        eventually("all wait", || caller.pool.stats().waiting == 64).await;
        assert_eq!(caller.pool.stats().opening, 1);
        caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
        caller.watch.open_gate();
        while let Some(client) = clients.join_next().await {
            let error = client.expect("no panic").expect_err("their one dial has failed");
            assert_eq!(error.kind(), ErrorKind::Connect);
            assert!(error.to_string().contains("connection refused"), "{error}");
        }
        caller.watch.close_gate();
        let mut clients: JoinSet<_> = (0..64).map(|_| caller.fetch(get("/"))).collect();
        eventually("all wait", || caller.pool.stats().waiting == 64).await;
        caller.watch.open_gate();
        while let Some(client) = clients.join_next().await {
            client.expect("no panic").expect("a response");
        }
        assert_eq!(caller.watch.opened(), 1);
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_shared_dial_fails_no_request_that_came_after_it_had_begun() {
    bounded(async {
        let (caller, server) = start_http2(100, |settings| settings).await;
        let server = echo(server);
        caller.watch.close_gate();
        let mut before: JoinSet<_> = (0..5).map(|_| caller.fetch(get("/"))).collect();
        caller.watch.until_waiting(1).await;
        let mut after: JoinSet<_> = (0..7).map(|_| caller.fetch(get("/"))).collect();
        eventually("all wait", || caller.pool.stats().waiting == 12).await;
        caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
        caller.watch.open_gate();
        while let Some(client) = before.join_next().await {
            let error = client.expect("no panic").expect_err("their dial has failed");
            assert_eq!(error.kind(), ErrorKind::Connect);
        }
        while let Some(client) = after.join_next().await {
            client.expect("no panic").expect("the next dial is theirs");
        }
        assert_eq!(caller.watch.opened(), 1);
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_is_cancelled_takes_no_other_along() {
    bounded(async {
        let (caller, server) = start_http2(100, |settings| settings).await;
        let server = echo(server);
        caller.watch.close_gate();
        // The first of them has the dial started.
        let mut first = caller.fetch(get("/first"));
        assert!(poll_once(first.as_mut()).is_pending());
        let second = tokio::spawn(caller.fetch(get("/second")));
        eventually("both wait", || caller.pool.stats().waiting == 2).await;
        drop(first);
        caller.watch.open_gate();
        assert_eq!(second.await.expect("no panic").expect("a response").body, "/second");
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

/// The server's first word, for which the others wait, comes when the first request has gone.
#[tokio::test]
async fn a_request_that_is_cancelled_before_the_first_word_takes_no_other_along() {
    bounded(async {
        let keeps_nothing = |settings: Builder<_>| settings.http2(Http2::Assumed).max_idle(0);
        let (caller, server) = start_with(BACKEND.get(), keeps_nothing).await;
        let first = tokio::spawn(caller.fetch(get("/first")));
        eventually("it waits", || caller.pool.stats().waiting == 1).await;
        let second = tokio::spawn(caller.fetch(get("/second")));
        eventually("the other waits too", || caller.pool.stats().waiting == 2).await;
        first.abort();
        eventually("only the other waits", || caller.pool.stats().waiting == 1).await;
        let server = echo(Http2Server::start(server.into_acceptor(), 100));
        assert_eq!(second.await.expect("no panic").expect("a response").body, "/second");
        assert_eq!(caller.watch.opened(), 1);
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_closes_does_not_wait_for_the_first_word_of_a_server() {
    bounded(async {
        let without_end =
            |settings: Builder<_>| settings.http2(Http2::Assumed).connect_timeout(None);
        let (caller, mut server) = start_with(BACKEND.get(), without_end).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let _connection = server.accept().await;
        eventually("its request waits", || caller.pool.stats().waiting == 1).await;
        caller.pool.close();
        client.abort();
        caller.watch.until_open(0).await;
        ends_idle(caller).await;
    })
    .await;
}

/// So many requests at once, each of which the server answers when it has as many as it can have.
async fn crowd(requests: usize, streams: u32) {
    let (caller, mut server) =
        start_http2(streams, |settings| settings.max_waiters_per_address(requests)).await;
    let mut clients: JoinSet<_> = (0..requests).map(|_| caller.fetch(get("/"))).collect();
    let mut held = Vec::new();
    for _ in 0..requests {
        held.push(server.next().await);
        if held.len() == streams as usize {
            held.drain(..).for_each(|stream| stream.answer("done"));
        }
    }
    held.drain(..).for_each(|stream| stream.answer("done"));
    while let Some(client) = clients.join_next().await {
        assert_eq!(client.expect("no panic").expect("a response").body, "done");
    }
    assert!(server.most_streams() <= streams as usize, "{} at once", server.most_streams());
    let needed = requests.div_ceil(streams as usize);
    assert!(server.accepted() <= needed, "{} connections, {needed} needed", server.accepted());
    ends_idle(caller).await;
}

#[tokio::test]
async fn no_stream_is_opened_beyond_the_limit_of_the_server() {
    for streams in [1, 2, 10] {
        bounded(crowd(200, streams)).await;
    }
}

#[tokio::test]
async fn ten_thousand_requests_at_once_are_served_over_no_more_connections_than_needed() {
    bounded(crowd(10_000, 100)).await;
}

#[tokio::test]
async fn the_busiest_connection_is_used_first_so_that_the_others_come_to_rest() {
    bounded(async {
        let (caller, mut server) = start_http2(2, |settings| settings).await;
        let (one, first) = under_way(&caller, &mut server, "/1").await;
        let (two, second) = under_way(&caller, &mut server, "/2").await;
        let (three, third) = under_way(&caller, &mut server, "/3").await;
        assert_eq!((first.connection, second.connection, third.connection), (1, 1, 2));
        second.answer("2");
        two.await.expect("no panic").expect("a response");
        // Both have room for one, and both carry one: give the second another.
        let (four, fourth) = under_way(&caller, &mut server, "/4").await;
        let busiest = fourth.connection;
        for stream in [first, third] {
            if stream.connection != busiest {
                stream.answer("other");
            } else {
                let (five, fifth) = under_way(&caller, &mut server, "/5").await;
                assert_ne!(fifth.connection, busiest, "it is full");
                stream.answer("same");
                let (six, sixth) = under_way(&caller, &mut server, "/6").await;
                fifth.answer("5");
                sixth.answer("6");
                five.await.expect("no panic").expect("a response");
                six.await.expect("no panic").expect("a response");
            }
        }
        fourth.answer("4");
        for client in [one, three, four] {
            client.await.expect("no panic").expect("a response");
        }
        assert_eq!(caller.pool.stats().opened, 2);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_limit_of_one_connection_makes_the_others_wait_for_a_stream() {
    bounded(async {
        let (caller, mut server) =
            start_http2(2, |settings| settings.max_connections_per_address(1)).await;
        let mut clients: JoinSet<_> = (0..6).map(|_| caller.fetch(get("/"))).collect();
        for _ in 0..6 {
            server.next().await.answer("done");
        }
        while let Some(client) = clients.join_next().await {
            client.expect("no panic").expect("a response");
        }
        assert_eq!((caller.watch.peak(), server.accepted()), (1, 1));
        assert!(server.most_streams() <= 2);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_said_in_http2_is_refused() {
    bounded(async {
        let (caller, server) = start_http2(100, |settings| settings).await;
        let server = echo(server);
        let request =
            Request::get("/").header("upgrade", "websocket").body(Full::<Bytes>::default());
        let error = caller.fetch(request.expect("a request")).await.expect_err("no Upgrade");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.into_request().is_ok());
        server.abort();
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_head_in_http2_names_scheme_authority_and_path_and_no_host() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        for (uri, host, expected) in [
            ("/path?query", None, "http://memory.test/path?query"),
            ("/path", Some("example.org"), "http://example.org/path"),
            ("http://user@example.org:81", None, "http://example.org:81/"),
        ] {
            let mut builder =
                Request::put(uri).header("te", "trailers").header("connection", "close");
            if let Some(host) = host {
                builder = builder.header("host", host);
            }
            let body = Pieces::new(["bit ", "by ", "bit"]);
            let client = tokio::spawn(caller.fetch(builder.body(body).expect("a request")));
            let mut stream = server.next().await;
            assert_eq!(stream.request.uri(), expected);
            let headers = stream.request.headers();
            assert_eq!(headers.get("te").map(HeaderValue::as_bytes), Some(&b"trailers"[..]));
            for absent in ["host", "connection", "transfer-encoding"] {
                assert!(headers.get(absent).is_none(), "{absent}");
            }
            assert_eq!(stream.read().await, "bit by bit");
            stream.answer("stored");
            client.await.expect("no panic").expect("a response");
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_for_a_fresh_connection_waits_for_it_while_streams_come_and_go() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(under_way(&caller, &mut server, "/shared").await);
        }
        caller.watch.close_gate();
        let mut request = get("/own");
        reuse(&mut request, Reuse::Never);
        let own = tokio::spawn(caller.fetch(request));
        caller.watch.until_waiting(1).await;
        for (client, stream) in streams {
            stream.answer("shared");
            client.await.expect("no panic").expect("a response");
        }
        caller.watch.open_gate();
        let stream = server.next().await;
        assert_eq!((stream.path(), stream.connection), ("/own".into(), 2));
        stream.answer("own");
        own.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_always_in_use_makes_way_for_another_address() {
    bounded(async {
        let settings = |builder: Builder<_>| builder.http2(Http2::Assumed).max_connections(1);
        let (callers, servers) = start_many_addresses(Backend::Memory, 2, settings).await;
        let mut servers: Vec<_> = servers
            .into_iter()
            .map(|server| Http2Server::start(server.into_acceptor(), 100))
            .collect();
        let mut lent = tokio::spawn(callers[0].fetch(get("/busy")));
        let mut stream = servers[0].next().await;
        let other = tokio::spawn(callers[1].fetch(get("/other")));
        eventually("the other waits", || callers[1].pool.stats().waiting == 1).await;
        // Each begins before the one before it ends, so the connection never rests.
        for turn in 0.. {
            assert!(turn <= 17, "it makes way after a while");
            let next = tokio::spawn(callers[0].fetch(get("/busy")));
            settle().await;
            let came = match poll_once(pin!(servers[0].next())) {
                Poll::Ready(came) => Some(came),
                Poll::Pending => None,
            };
            stream.answer("busy");
            lent.await.expect("no panic").expect("a response");
            lent = next;
            match came {
                Some(came) => stream = came,
                None => break,
            }
        }
        servers[1].next().await.answer("other");
        assert_eq!(other.await.expect("no panic").expect("a response").body, "other");
        servers[0].next().await.answer("busy");
        lent.await.expect("no panic").expect("a response");
        assert_eq!(callers[0].watch.peak(), 1);
    })
    .await;
}
