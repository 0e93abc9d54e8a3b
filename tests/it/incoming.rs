//! What hyper and h2 let through, and a gateway must not pass on, is refused; what is let through all the same is known.

use http::Request;
use http_body_util::BodyExt;
use pool_core::{ErrorKind, Http2, Reason, on_informational};
use pooled_fetch_tests::raw_http2::{END_STREAM, OK, RawHttp2, content_length, field, status};
use pooled_fetch_tests::{
    Backend, Caller, Protocol, answer, bounded, ends_idle, for_each_backend, get, start,
    start_protocol, start_with,
};

for_each_backend! {
    a_switch_of_protocols_that_was_not_asked_for_is_an_error,
    heads_that_are_none_are_errors_over_http1,
    trailers_that_frame_a_message_are_an_error_over_http1,
    a_status_beyond_599_reaches_the_caller_over_http1,
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";

/// RFC 9110 15.2.2: what follows would be no HTTP.
async fn a_switch_of_protocols_that_was_not_asked_for_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let connect = Request::connect("site.test:443").body(String::new()).expect("a request");
    for (request, reused) in [(get("/").map(|_| String::new()), false), (connect, true)] {
        let client = tokio::spawn(caller.send(request));
        let mut connection = server.accept().await;
        connection.read_head().await;
        connection.write(format!("{SWITCH}{}", "x".repeat(100))).await;
        let error = client.await.expect("no panic").expect_err("no upgrade");
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        assert!(error.to_string().contains("101 in answer to a request that asks for no upgrade"));
        // Bytes that were not read may lie in the socket.
        connection.read_to_end().await;
        let stats = caller.pool.stats();
        assert_eq!(stats.closed(Reason::Failed), 1 + u64::from(reused), "{stats:?}");
        assert_eq!(stats.closed(Reason::Upgraded), 0);
    }
    ends_idle(caller).await;
}

async fn heads_that_are_none_are_errors_over_http1(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.quarantine(false)).await;
    for head in [
        "HTTP/1.1 099 Too Small\r\n",
        "HTTP/1.1 000 Nothing\r\n",
        "HTTP/1.1 20 Short\r\n",
        "HTTP/1.1 2000 Long\r\n",
        "HTTP/1.1 +20 Signed\r\n",
        "HTTP/1.2 200 OK\r\n",
        "HTTP/2.0 200 OK\r\n",
        "HTTP/0.9 200 OK\r\n",
        "http/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n:status: 200\r\n",
        "HTTP/1.1 200 OK\r\n: nameless\r\n",
        "HTTP/1.1 200 OK\r\nspace before : colon\r\n",
        "HTTP/1.1 200 OK\r\nname : space\r\n",
        "HTTP/1.1 200 OK\r\nfolded: one\r\n two\r\n",
        "HTTP/1.1 200 OK\r\n first: line\r\n",
        "HTTP/1.1 200 OK\r\nzero: a\0b\r\n",
        "HTTP/1.1 200 OK\r\nreturn: a\rb\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n",
    ] {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write(format!("{head}content-length: 0\r\n\r\n")).await;
        let error = client.await.expect("no panic").expect_err(head);
        assert_eq!(error.kind(), ErrorKind::Response, "{head}: {error}");
        connection.read_to_end().await;
    }
    ends_idle(caller).await;
}

/// What frames or routes a message, or is of one connection, RFC 9110 6.5.1.
const OF_HEADS: [(&str, &str); 10] = [
    ("content-length", "4"),
    ("transfer-encoding", "chunked"),
    ("host", "other.test"),
    ("connection", "close"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "close"),
    ("upgrade", "echo"),
    ("te", "trailers"),
    ("trailer", "x"),
    ("Content-Length", "0"),
];

async fn trailers_that_frame_a_message_are_an_error_over_http1(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n";
    let others = OF_HEADS.map(|(name, value)| format!("x: 1\r\n{name}: {value}\r\n"));
    for trailers in others.iter().map(String::as_str).chain([":status: 200\r\n", ": x\r\n"]) {
        // All at once, in two pieces, and with the end of the connection.
        for (apart, last) in [(false, false), (true, false), (false, true)] {
            let head = if last {
                chunked.replacen("\r\n", "\r\nconnection: close\r\n", 1)
            } else {
                chunked.into()
            };
            let end = format!("0\r\n{trailers}\r\n");
            let first = if apart { head.clone() } else { format!("{head}{end}") };
            let (mut connection, _, response) = server.open(caller.send(get("/")), first).await;
            let mut body = response.into_body();
            let data = body.frame().await.expect("content").expect("content");
            assert_eq!(data.into_data().expect("content"), "body");
            if apart {
                connection.write(end).await;
            }
            let error = body.frame().await.expect("an error").expect_err(trailers);
            assert_eq!(error.kind(), ErrorKind::ResponseBody, "{trailers}: {error}");
            assert!(body.frame().await.is_none() || trailers.starts_with(':'));
            drop(body);
            connection.ends().await;
        }
    }
    // Others go on.
    let fine = format!("{chunked}0\r\nx-checksum: 1\r\n\r\n");
    let (_, _, whole) = server.open(caller.fetch(get("/")), fine).await;
    assert_eq!(whole.trailers.expect("trailers")["x-checksum"], "1");
    ends_idle(caller).await;
}

async fn a_status_beyond_599_reaches_the_caller_over_http1(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for status in ["600", "999"] {
        let head = format!("HTTP/1.1 {status} Odd\r\ncontent-length: 4\r\n\r\nbody");
        let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), head).await;
        assert_eq!((whole.head.status.as_str(), &*whole.body), (status, b"body".as_slice()));
    }
    ends_idle(caller).await;
}

/// Over each backend by which HTTP/2 is spoken, and over connections that carry so many requests.
async fn for_each_http2(uses: Option<u64>, test: impl AsyncFn(Caller, RawHttp2)) {
    for protocol in [Protocol::MemoryHttp2, Protocol::H2c, Protocol::TlsHttp2] {
        let (caller, server) = start_protocol(protocol, |settings| settings.max_uses(uses)).await;
        test(caller, RawHttp2::new(server.into_acceptor())).await;
    }
}

/// RFC 9113 8.6.
#[tokio::test]
async fn a_switch_of_protocols_is_an_error_over_http2() {
    bounded(for_each_http2(None, async |caller, mut server| {
        let mut request = get("/");
        on_informational(&mut request, |status, _| assert_eq!(status, 103));
        let client = tokio::spawn(caller.fetch(request));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.head(stream, 0, &status("103")).await;
        connection.head(stream, 0, &status("101")).await;
        let error = client.await.expect("no panic").expect_err("no such thing");
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        assert!(error.to_string().contains("101 over HTTP/2"), "{error}");
        assert_eq!(error.evidence().attempts(), 1);
        // It costs its stream alone.
        let client = tokio::spawn(caller.fetch(get("/")));
        let stream = connection.request().await;
        connection.answer(stream, b"next").await;
        assert_eq!(client.await.expect("no panic").expect("a response").body, "next");
        ends_idle(caller).await;
    }))
    .await;
}

/// RFC 9113 8.2, 8.3: h2 resets their streams.
#[tokio::test]
async fn malformed_heads_are_errors_over_http2() {
    bounded(for_each_http2(Some(1), async |caller, mut server| {
        for fields in [
            field("x", "1"),
            [OK, OK].concat(),
            [OK, &status("404")].concat(),
            [field("x", "1"), OK.to_vec()].concat(),
            status("99"),
            status("099"),
            status("1000"),
            status("2x0"),
            [OK, &field("connection", "close")].concat(),
            [OK, &field("keep-alive", "timeout=5")].concat(),
            [OK, &field("proxy-connection", "close")].concat(),
            [OK, &field("transfer-encoding", "chunked")].concat(),
            [OK, &field("upgrade", "echo")].concat(),
            [OK, &field("te", "gzip")].concat(),
            [OK, &field("Upper", "case")].concat(),
            [OK, &field("", "nameless")].concat(),
            [OK, &field("a name", "1")].concat(),
            [OK, &field("zero", b"a\0b")].concat(),
            [OK, &field("line", b"a\r\nb: c")].concat(),
            [OK, &field(":unknown", "1")].concat(),
            [OK, &content_length("4"), &content_length("5")].concat(),
            [OK, &content_length("+4")].concat(),
        ] {
            let client = tokio::spawn(caller.fetch(get("/")));
            let mut connection = server.greet(10).await;
            let stream = connection.request().await;
            connection.head(stream, 0, &fields).await;
            let error = client.await.expect("no panic").expect_err("it is malformed");
            assert_eq!(error.kind(), ErrorKind::Response, "{fields:?}: {error}");
            assert_eq!(error.evidence().attempts(), 1, "{error}");
        }
        ends_idle(caller).await;
    }))
    .await;
}

#[tokio::test]
async fn trailers_that_frame_a_message_are_an_error_over_http2() {
    bounded(for_each_http2(Some(1), async |caller, mut server| {
        for (name, value) in OF_HEADS {
            let client = tokio::spawn(caller.fetch(get("/")));
            let mut connection = server.greet(10).await;
            let stream = connection.request().await;
            connection.head(stream, 0, OK).await;
            connection.data(stream, 0, b"body").await;
            connection.head(stream, END_STREAM, &field(name, value)).await;
            let error = client.await.expect("no panic").expect_err(name);
            assert_eq!(error.kind(), ErrorKind::ResponseBody, "{name}: {error}");
        }
        ends_idle(caller).await;
    }))
    .await;
}

/// They name no field that a caller could see: h2 drops them. A status beyond 599 it has in common with HTTP/1.
#[tokio::test]
async fn pseudo_fields_of_others_never_reach_the_caller_over_http2() {
    bounded(for_each_http2(None, async |caller, mut server| {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        let head = [status("999"), field(":path", "/other"), field(":method", "PUT")].concat();
        connection.head(stream, 0, &head).await;
        connection.data(stream, 0, b"body").await;
        let trailers = [status("404"), field(":path", "/other"), field("x", "1")].concat();
        connection.head(stream, END_STREAM, &trailers).await;
        let whole = client.await.expect("no panic").expect("a response");
        assert_eq!((whole.head.status.as_u16(), &*whole.body), (999, b"body".as_slice()));
        assert!(whole.head.headers.is_empty(), "{:?}", whole.head.headers);
        let trailers = whole.trailers.expect("trailers");
        assert_eq!((trailers.len(), &trailers["x"]), (1, &"1".parse().expect("a value")));
        ends_idle(caller).await;
    }))
    .await;
}

#[tokio::test]
async fn a_second_head_that_ends_nothing_is_an_error_over_http2() {
    bounded(async {
        let (caller, server) =
            start_with(Backend::Memory, |settings| settings.http2(Http2::Assumed)).await;
        let mut server = RawHttp2::new(server.into_acceptor());
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(10).await;
        let stream = connection.request().await;
        connection.head(stream, 0, OK).await;
        connection.head(stream, 0, &status("404")).await;
        let error = client.await.expect("no panic").expect_err("trailers end a message");
        assert_eq!(error.kind(), ErrorKind::ResponseBody, "{error}");
        ends_idle(caller).await;
    })
    .await;
}
