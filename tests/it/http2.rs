//! HTTP/2: many requests over one connection, no more streams than its server allows, and no request lost that the
//! server has not processed.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body_util::{BodyExt, Full};
use pool_core::{Builder, ErrorKind, Http2, Reason as Closed, Written};
use pooled_fetch_tests::{
    Caller, Http2Server, Memory, MemoryConnector, Pieces, Probe, Stream, Whole, bounded,
    ends_at_rest, eventually, feed, get, poll_once, post, settle, start_with,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

type Settings = Builder<Probe<MemoryConnector>>;

/// A caller that speaks HTTP/2 from the first byte, and a server that allows so many streams.
async fn start_http2(
    streams: u32,
    settings: impl FnOnce(Settings) -> Settings,
) -> (Caller<Memory>, Http2Server) {
    let (caller, server) =
        start_with::<Memory>(|builder| settings(builder.http2(Http2::Assumed))).await;
    (caller, Http2Server::start(server.into_acceptor(), streams))
}

/// Answers every stream with its path.
fn echo(mut server: Http2Server) -> tokio::task::JoinHandle<Http2Server> {
    tokio::spawn(async move {
        loop {
            let stream = server.next().await;
            let path = stream.path();
            if path == "/end" {
                stream.answer("end");
                return server;
            }
            stream.answer(path);
        }
    })
}

/// A request that the server has, and has not answered.
async fn under_way(
    caller: &Caller<Memory>,
    server: &mut Http2Server,
    path: &str,
) -> (tokio::task::JoinHandle<Result<Whole, pool_core::Error>>, Stream) {
    let client = tokio::spawn(caller.fetch(get(path)));
    (client, server.next().await)
}

/// A connection that has served, and rests.
async fn served(caller: &Caller<Memory>, server: &mut Http2Server) {
    let (client, stream) = under_way(caller, server, "/first").await;
    stream.answer("first");
    assert_eq!(client.await.expect("no panic").expect("a response").body, "first");
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn all_who_wait_share_one_handshake_and_its_failure() {
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
        ends_at_rest(caller).await;
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
        let mut first = Box::pin(caller.fetch(get("/first")));
        assert!(poll_once(first.as_mut()).is_pending());
        let second = tokio::spawn(caller.fetch(get("/second")));
        eventually("both wait", || caller.pool.stats().waiting == 2).await;
        drop(first);
        caller.watch.open_gate();
        assert_eq!(second.await.expect("no panic").expect("a response").body, "/second");
        server.abort();
        ends_at_rest(caller).await;
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
    ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_whatever_it_is() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        server.next().await.reset(Reason::REFUSED_STREAM);
        let mut again = server.next().await;
        assert_eq!((again.path(), again.read().await), ("/once".into(), Bytes::from("content")));
        again.answer("done");
        assert_eq!(client.await.expect("no panic").expect("a response").body, "done");
        assert_eq!(caller.pool.stats().retried, 1);
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_refuses_all_is_asked_three_times() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        for _ in 0..3 {
            server.next().await.reset(Reason::REFUSED_STREAM);
        }
        let error = client.await.expect("no panic").expect_err("it was refused");
        assert_eq!(error.kind(), ErrorKind::Refused);
        let evidence = error.evidence();
        assert_eq!(evidence.attempts(), 3);
        assert!(evidence.is_unprocessed() && !evidence.is_unsent());
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_post_whose_stream_is_reset_otherwise_is_not_sent_again() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        let client = tokio::spawn(caller.fetch(post("/once", "content")));
        server.next().await.reset(Reason::INTERNAL_ERROR);
        let error = client.await.expect("no panic").expect_err("nobody knows what it did");
        assert_eq!(error.kind(), ErrorKind::Response);
        let evidence = error.evidence();
        assert_eq!((evidence.attempts(), evidence.written()), (1, Written::Partly));
        assert!(!evidence.is_fresh() && !evidence.is_unprocessed());
        ends_at_rest(caller).await;
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
        let error = lost.await.expect("no panic").expect_err("nobody knows what it did");
        assert_eq!(error.kind(), ErrorKind::Response);
        let again = server.next().await;
        assert_eq!((again.path(), again.connection), ("/saved".into(), 2));
        again.answer("saved");
        assert_eq!(saved.await.expect("no panic").expect("a response").body, "saved");
        ends_at_rest(caller).await;
    })
    .await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_at_rest_closes_when_its_server_goes_away() {
    bounded(async {
        let (caller, mut server) = start_http2(100, |settings| settings).await;
        served(&caller, &mut server).await;
        assert_eq!(caller.pool.stats().idle, 1);
        server.leave();
        caller.watch.until_open(0).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.idle, stats.closed(Closed::ClosedByPeer)), (0, 1));
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_answer_is_replaced() {
    bounded(async {
        let second = Duration::from_secs(1);
        let (caller, server) =
            start_http2(100, |settings| settings.http2_keep_alive(second * 20, second * 5)).await;
        server.go_deaf();
        let mut client = Box::pin(caller.fetch(get("/")));
        let since = Instant::now();
        let error = client.as_mut().await.expect_err("nobody answers on a fresh connection");
        assert!(since.elapsed() <= second * 26, "{:?}", since.elapsed());
        assert!(error.to_string().contains("keep-alive"), "{error}");
        caller.watch.until_open(0).await;
        drop(client);
        server.cut();
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_closes_after_the_idle_timeout_and_not_before() {
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_no_http2_fails_all_who_wait_at_once() {
    bounded(async {
        let (caller, mut server) =
            start_with::<Memory>(|settings| settings.http2(Http2::Assumed)).await;
        let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(get("/"))).collect();
        let mut connection = server.accept().await;
        connection.write("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
        while let Some(client) = clients.join_next().await {
            client.expect("no panic").expect_err("nobody can be served");
        }
        assert_eq!(caller.watch.opened(), 1);
        drop(connection);
        ends_at_rest(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_fails_all_who_wait_after_the_connect_timeout() {
    bounded(async {
        let (caller, mut server) =
            start_with::<Memory>(|settings| settings.http2(Http2::Assumed)).await;
        let mut clients: JoinSet<_> = (0..10).map(|_| caller.fetch(get("/"))).collect();
        let _connection = server.accept().await;
        let mut timed_out = 0;
        while let Some(client) = clients.join_next().await {
            let error = client.expect("no panic").expect_err("nobody can be served");
            timed_out += u32::from(error.kind() == ErrorKind::ConnectTimeout);
        }
        // One was sent without waiting for the server's first word.
        assert_eq!((timed_out, caller.watch.opened()), (9, 1));
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
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
        ends_at_rest(caller).await;
    })
    .await;
}
