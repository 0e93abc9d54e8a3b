//! Requests that want HTTP/1.1 of an address that negotiates, and tunnels over HTTP/2.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason as Code;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use pool_core::{
    ConnectOptions, Connected, Connector, ErrorKind, Http10, Pool, Protocol, Target, async_trait,
    extended_connect, http1_only, upgrade,
};
use pooled_fetch_tests::raw_http2::{EXTENDED_CONNECT, OK, RawConnection, RawHttp2, kind};
use pooled_fetch_tests::{
    Backend, Caller, Server, answer, bounded, ends_idle, get, post, start_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::*;

super::over_tls_too! {
    with_http2_assumed_a_server_that_requires_http1_is_an_error_that_says_so,
    an_extended_connect_opens_a_stream_of_another_protocol_where_the_server_allows_it,
    what_a_tunnel_was_given_arrives_though_it_is_dropped,
    a_tunnel_that_the_server_resets_fails_and_does_not_end,
}

/// A server that speaks both versions, over TLS.
async fn start_both(settings: impl FnOnce(Settings) -> Settings + Send) -> (Caller, RawHttp2) {
    let (caller, server) = start_with(Backend::TlsOfBoth, settings).await;
    (caller, RawHttp2::new(server.into_acceptor()))
}

/// A connection that has served a request over HTTP/2.
async fn served_http2(caller: &Caller, server: &mut RawHttp2) -> RawConnection {
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.greet(100).await;
    let stream = connection.request().await;
    connection.answer(stream, b"first").await;
    let whole = client.await.expect("no panic").expect("a response");
    assert_eq!(whole.head.version, Version::HTTP_2);
    connection
}

#[tokio::test]
async fn a_get_that_is_wanted_over_http1_goes_there_and_a_post_is_not_repeated() {
    bounded(async {
        let (caller, mut server) = start_both(|settings| settings).await;
        let mut connection = served_http2(&caller, &mut server).await;
        let lost = tokio::spawn(caller.fetch(post("/", "once")));
        let stream = connection.request().await;
        connection.reset(stream, Code::HTTP_1_1_REQUIRED).await;
        let error = lost.await.expect("no panic").expect_err("it may have been executed");
        assert_eq!(error.kind(), ErrorKind::Response);
        assert!(error.to_string().contains("HTTP/1.1"), "{error}");
        let saved = tokio::spawn(caller.fetch(get("/saved")));
        let stream = connection.request().await;
        connection.reset(stream, Code::HTTP_1_1_REQUIRED).await;
        let mut server = Server::new(server.into_acceptor());
        let (_http1, received, whole) =
            server.open(async { saved.await.expect("no panic") }, answer("saved")).await;
        assert_eq!((&received.line[..], &whole.body[..]), ("GET /saved HTTP/1.1", &b"saved"[..]));
        assert_eq!(caller.pool.stats().retried, 1);
        // Others go over HTTP/2 as before.
        let other = tokio::spawn(caller.fetch(get("/other")));
        let stream = connection.request().await;
        connection.answer(stream, b"other").await;
        assert_eq!(other.await.expect("no panic").expect("a response").body, "other");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn with_http2_assumed_a_server_that_requires_http1_is_an_error_that_says_so() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        connection.reset(stream, Code::HTTP_1_1_REQUIRED).await;
        let error = client.await.expect("no panic").expect_err("it cannot be spoken here");
        assert!(error.to_string().contains("HTTP/1.1"), "{error}");
        assert_eq!(error.evidence().attempts(), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_to_an_address_that_negotiates_gets_a_connection_of_http1_beside() {
    bounded(async {
        let (caller, mut server) = start_both(|settings| settings).await;
        let _http2 = served_http2(&caller, &mut server).await;
        let request = Request::get("/chat")
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let mut server = Server::new(server.into_acceptor());
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        let (mut connection, received, mut response) =
            server.open(caller.send(request), switch).await;
        assert_eq!(received.line, "GET /chat HTTP/1.1");
        let mut stream = upgrade::on(&mut response).await.expect("a stream");
        stream.write_all(b"hello").await.expect("a server");
        stream.flush().await.expect("a server");
        assert_eq!(connection.read_exactly(5).await, "hello");
        drop((stream, response));
        connection.ends().await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_that_comes_first_of_all_gets_http1_as_well() {
    bounded(async {
        let (caller, server) = start_with(Backend::TlsOfBoth, |settings| settings).await;
        let mut server = server;
        let request = Request::get("/chat")
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let (_connection, received, whole) =
            server.open(caller.fetch(request), answer("no upgrade")).await;
        assert_eq!(
            (&received.line[..], &whole.body[..]),
            ("GET /chat HTTP/1.1", &b"no upgrade"[..])
        );
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_caller_can_ask_http1_of_one_request() {
    bounded(async {
        let (caller, mut server) = start_both(|settings| settings).await;
        let _http2 = served_http2(&caller, &mut server).await;
        let mut request = get("/one");
        http1_only(&mut request);
        let mut server = Server::new(server.into_acceptor());
        let (mut connection, received, whole) =
            server.open(caller.fetch(request), answer("one")).await;
        assert_eq!(
            (&received.line[..], whole.head.version),
            ("GET /one HTTP/1.1", Version::HTTP_11)
        );
        // Its connection is kept for the next of its kind.
        let mut request = get("/two");
        http1_only(&mut request);
        let (received, _) =
            server.reuse(&mut connection, caller.fetch(request), answer("two")).await;
        assert_eq!(received.line, "GET /two HTTP/1.1");
        assert_eq!(caller.pool.stats().opened, 2);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn http_1_0_goes_beside_to_an_address_that_negotiates() {
    bounded(async {
        let (caller, mut server) = start_both(|settings| settings).await;
        let _http2 = served_http2(&caller, &mut server).await;
        let mut request = get("/old");
        *request.version_mut() = Version::HTTP_10;
        request.extensions_mut().insert(Http10);
        let mut server = Server::new(server.into_acceptor());
        let (_connection, received, _) = server.open(caller.fetch(request), answer("old")).await;
        assert_eq!(received.line, "GET /old HTTP/1.0");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn an_extended_connect_opens_a_stream_of_another_protocol_where_the_server_allows_it() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let mut request = get("http://site.test/chat");
        extended_connect(&mut request, "websocket");
        let client = tokio::spawn(caller.send(request));
        let mut connection = server.accept().await;
        connection.settings(&[(EXTENDED_CONNECT, 1)]).await;
        let head = connection.next(kind::HEADERS).await;
        // The name of the pseudo-header is not in the static table, so its text stands in the block.
        let names_protocol = head.payload.windows(9).any(|window| window.len() == 9);
        assert!(names_protocol && head.flags & 1 == 0, "the stream stays open");
        connection.head(head.stream, 0, OK).await;
        let mut response = client.await.expect("no panic").expect("a tunnel");
        let mut stream = upgrade::on(&mut response).await.expect("a stream");
        stream.write_all(b"hello").await.expect("a server");
        assert_eq!(connection.next(kind::DATA).await.payload, b"hello");
        connection.data(head.stream, 1, b"goodbye").await;
        let mut read = String::new();
        stream.read_to_string(&mut read).await.expect("its end");
        assert_eq!(read, "goodbye");
        stream.shutdown().await.expect("an end");
        assert_eq!(connection.next(kind::DATA).await.flags, 1);
        drop((stream, response));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn an_extended_connect_that_the_server_does_not_allow_never_leaves() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let request = || {
            let mut request = get("http://site.test/chat");
            extended_connect(&mut request, "websocket");
            request
        };
        let client = tokio::spawn(caller.send(request()));
        let _connection = server.greet(100).await;
        let error = client.await.expect("no panic").expect_err("it is not allowed");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        let (caller1, mut server) = start_with(Backend::Memory, |settings| settings).await;
        let client = tokio::spawn(caller1.send(request()));
        let _connection = server.accept().await;
        let error = client.await.expect("no panic").expect_err("HTTP/1 knows no such thing");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
        ends_idle(caller).await;
        ends_idle(caller1).await;
    })
    .await;
}

/// Speaks HTTP/2 over its first connection, and HTTP/1 over all others.
struct Mixed(mpsc::UnboundedSender<DuplexStream>, AtomicUsize);

#[async_trait]
impl Connector for Mixed {
    type Address = &'static str;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        _: &&'static str,
        options: &ConnectOptions,
    ) -> std::io::Result<Connected<DuplexStream>> {
        let is_first = self.1.fetch_add(1, Ordering::SeqCst) == 0;
        let (ours, theirs) = tokio::io::duplex(65_536);
        self.0.send(theirs).expect("the test lives");
        let protocol = if is_first && options.http2 { Protocol::Http2 } else { Protocol::Http1 };
        Ok(Connected::new(ours).with_protocol(protocol))
    }

    fn target(&self, _: &&'static str) -> Target {
        Target::http("mixed.test".parse().expect("an authority")).with_http2(true)
    }
}

#[tokio::test]
async fn a_request_that_wants_http1_finds_it_at_an_address_that_has_spoken_both() {
    bounded(async {
        let (opens, mut opened) = mpsc::unbounded_channel();
        let pool = Pool::new(Mixed(opens, AtomicUsize::new(0)));
        let fetch = |request| {
            let pool = pool.clone();
            tokio::spawn(async move { Whole::read(pool.http(&"mixed", request).await?).await })
        };
        let one = fetch(get("/1"));
        let mut http2 = h2::server::Builder::new();
        let stream = opened.recv().await.expect("a dial");
        let http2 = http2.max_concurrent_streams(1).handshake::<_, Bytes>(stream).await;
        let mut http2 = http2.expect("a client in HTTP/2");
        let (_, mut respond) = http2.accept().await.expect("a request").expect("a whole one");
        let driven = tokio::spawn(async move { while http2.accept().await.is_some() {} });
        // Beyond the limit of the first connection.
        let two = fetch(get("/2"));
        let mut stream = opened.recv().await.expect("a dial");
        assert_ne!(stream.read(&mut [0; 1024]).await.expect("a request"), 0);
        stream.write_all(&answer("two")).await.expect("a client");
        assert_eq!(two.await.expect("no panic").expect("a response").body, "two");
        respond.send_response(http::Response::new(()), true).expect("a client");
        one.await.expect("no panic").expect("a response");
        drop(stream);
        let mut request = get("/3");
        http1_only(&mut request);
        let three = fetch(request);
        let mut stream = opened.recv().await.expect("a dial");
        assert_ne!(stream.read(&mut [0; 1024]).await.expect("a request"), 0);
        stream.write_all(&answer("three")).await.expect("a client");
        assert_eq!(three.await.expect("no panic").expect("a response").body, "three");
        driven.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_a_tunnel_was_given_arrives_though_it_is_dropped() {
    bounded(async {
        for shuts_down in [true, false] {
            let (caller, mut server) = start_raw(|settings| settings).await;
            let request = Request::connect("site.test:443").body(Full::<Bytes>::default());
            let client = tokio::spawn(caller.send(request.expect("a request")));
            let mut connection = server.greet(100).await;
            let stream = connection.request().await;
            connection.head(stream, 0, OK).await;
            let mut response = client.await.expect("no panic").expect("a tunnel");
            let mut tunnel = upgrade::on(&mut response).await.expect("a stream");
            tunnel.write_all(b"last words").await.expect("a server");
            if shuts_down {
                tunnel.shutdown().await.expect("a server");
            }
            drop((tunnel, response));
            assert_eq!(connection.next(kind::DATA).await.payload, b"last words");
            assert_eq!(connection.next(kind::DATA).await.flags, 1);
            // The rest of what comes is not waited for.
            assert_eq!(connection.next(kind::RST_STREAM).await.stream, stream);
            ends_idle(caller).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_that_the_server_resets_fails_and_does_not_end() {
    bounded(async {
        let (caller, mut server) = start_raw(|settings| settings).await;
        let request = Request::connect("site.test:443").body(Full::<Bytes>::default());
        let client = tokio::spawn(caller.send(request.expect("a request")));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        connection.head(stream, 0, OK).await;
        let mut response = client.await.expect("no panic").expect("a tunnel");
        let mut tunnel = upgrade::on(&mut response).await.expect("a stream");
        connection.data(stream, 0, b"half").await;
        connection.reset(stream, Code::NO_ERROR).await;
        let mut read = Vec::new();
        tunnel.read_to_end(&mut read).await.expect_err("it was cut");
        assert_eq!(read, b"half");
        assert!(response.body_mut().frame().await.is_none());
        drop((tunnel, response));
        ends_idle(caller).await;
    })
    .await;
}
