//! Every message ends where HTTP says that it ends, and arrives as it was sent.

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use pool_core::{Connector as _, ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, Connection, Pattern, Pieces, Server, Upload, answer, ends_idle, eventually,
    for_each_backend, get, post, start, start_with,
};

for_each_backend! {
    responses_without_a_body_leave_the_connection_reusable,
    trailers_arrive_and_the_connection_is_reused,
    a_body_may_end_with_its_connection,
    a_server_that_says_close_is_not_asked_again,
    the_last_message_of_a_connection_arrives_with_its_trailers,
    of_a_last_message_that_is_cut_off_the_rest_arrives_before_the_error,
    an_http_1_0_server_is_asked_again_only_if_it_says_so,
    a_body_of_unknown_length_never_goes_to_an_http_1_0_server,
    a_request_of_http_2_is_written_as_http_1_1,
    interim_responses_are_not_the_response,
    large_bodies_arrive_byte_for_byte,
    a_large_upload_arrives_byte_for_byte_in_little_memory,
    a_small_body_is_written_with_its_head_and_a_large_one_as_it_lies,
    an_empty_post_says_that_it_is_empty,
    a_request_without_a_host_gets_that_of_its_address,
    an_absolute_uri_is_sent_in_origin_form,
    an_http_1_0_server_takes_a_streaming_body_of_known_length,
    a_body_of_unknown_length_waits_for_a_server_that_knows_chunks,
}

const MIB: usize = 1024 * 1024;

/// Sends a request, answers with `bytes`, and shows that the connection serves another request.
async fn stays_usable(
    caller: &Caller,
    server: &mut Server,
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    bytes: &str,
) {
    let (_, whole) = server.reuse(connection, caller.fetch(request), bytes).await;
    assert_eq!(whole.body, "", "no body follows {bytes:?}");
    let (_, whole) = server.reuse(connection, caller.fetch(get("/")), answer("next")).await;
    assert_eq!(whole.body, "next", "after {bytes:?}");
}

async fn responses_without_a_body_leave_the_connection_reusable(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let head = || Request::head("/").body(Full::default()).expect("a request");
    for (request, bytes) in [
        (head(), "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"),
        (head(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (get("/"), "HTTP/1.1 204 No Content\r\n\r\n"),
        (get("/"), "HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\n\r\n"),
        (get("/"), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ] {
        stays_usable(&caller, &mut server, &mut connection, request, bytes).await;
    }
    assert_eq!(caller.watch.opened(), 1);
    ends_idle(caller).await;
}

async fn trailers_arrive_and_the_connection_is_reused(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: sum\r\n\r\n\
                 5\r\nhello\r\n7;note=1\r\n, world\r\n0\r\nsum: 12\r\n\r\n";
    let (mut connection, _, whole) = server.open(caller.fetch(get("/")), bytes).await;
    assert_eq!(whole.body, "hello, world");
    assert_eq!(whole.trailers.expect("trailers")["sum"], "12");

    let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nsum: 0\r\n\r\n";
    let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), bytes).await;
    assert_eq!(whole.trailers.expect("trailers behind nothing")["sum"], "0");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_body_may_end_with_its_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = caller.fetch(get("/"));
    let ending = async {
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\n\r\nuntil ").await;
        connection.write("the end").await;
        connection.finish().await;
        connection
    };
    let (whole, mut connection) = tokio::join!(client, ending);
    assert_eq!(whole.expect("a body").body, "until the end");
    connection.ends().await;
    server.open(caller.fetch(get("/")), answer("another connection")).await;
    ends_idle(caller).await;
}

async fn a_server_that_says_close_is_not_asked_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let bytes = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";
    let (mut connection, _, whole) = server.open(caller.fetch(get("/")), bytes).await;
    assert_eq!(whole.body, "last");
    // The server waits for the client to go first.
    connection.ends().await;
    server.open(caller.fetch(get("/")), answer("another connection")).await;
    let stats = caller.pool.stats();
    assert_eq!(stats.closed(Reason::Ended), 1);
    assert!(format!("{stats:?}").contains("closed: {ended: 1}"), "{stats:?}");
    ends_idle(caller).await;
}

async fn the_last_message_of_a_connection_arrives_with_its_trailers(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let bytes = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                 4\r\nlast\r\n0\r\nsum: 4\r\n\r\n";
    let (mut connection, _, whole) = server.open(caller.fetch(get("/")), bytes).await;
    assert_eq!(whole.body, "last");
    assert_eq!(whole.trailers.expect("trailers")["sum"], "4");
    connection.ends().await;
    ends_idle(caller).await;
}

async fn of_a_last_message_that_is_cut_off_the_rest_arrives_before_the_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let ending = async {
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        connection.finish().await;
        connection
    };
    let (response, mut connection) = tokio::join!(caller.send(get("/")), ending);
    let mut body = response.expect("a head").into_body();
    let data = body.frame().await.expect("a frame").expect("what came");
    assert_eq!(data.into_data().expect("data"), "half");
    assert!(!body.is_end_stream());
    let error = body.frame().await.expect("a frame").expect_err("four bytes are missing");
    assert_eq!(error.kind(), ErrorKind::ResponseBody);
    connection.ends().await;
    ends_idle(caller).await;
}

async fn an_http_1_0_server_is_asked_again_only_if_it_says_so(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let silent = "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nonce";
    let (mut connection, ..) = server.open(caller.fetch(get("/")), silent).await;
    connection.ends().await;

    let willing = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nmore";
    let (mut connection, ..) = server.open(caller.fetch(get("/")), willing).await;
    let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), willing).await;
    assert_eq!(whole.body, "more");
    ends_idle(caller).await;
}

/// HTTP/1.0 has no chunks, so hyper would send such a body as an empty one.
async fn a_body_of_unknown_length_never_goes_to_an_http_1_0_server(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let willing = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nmore";
    let (mut old, ..) = server.open(caller.fetch(get("/")), willing).await;
    let request = Request::post("/").body(Pieces::new(["bit ", "by bit"])).expect("a request");
    let (_, received, _) = server.open(caller.fetch(request), answer("thanks")).await;
    assert_eq!(received.body, "bit by bit");
    old.ends().await;
    ends_idle(caller).await;
}

const HTTP_1_0: &str = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nmore";

async fn an_http_1_0_server_takes_a_streaming_body_of_known_length(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), HTTP_1_0).await;
    for _ in 0..3 {
        let body = Pieces::new(["bit ", "by ", "bit"]);
        let request = Request::post("/").header("content-length", "10").body(body);
        let client = caller.fetch(request.expect("a request"));
        let (received, _) = server.reuse(&mut connection, client, HTTP_1_0).await;
        assert_eq!(received.body, "bit by bit");
    }
    assert_eq!(caller.watch.opened(), 1);
    ends_idle(caller).await;
}

/// The only connection that there may be comes free, but the request that waits for it cannot use it.
async fn a_body_of_unknown_length_waits_for_a_server_that_knows_chunks(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let first = tokio::spawn(caller.fetch(get("/")));
    let mut old = server.accept().await;
    old.read_request().await;
    let request = Request::post("/").body(Pieces::new(["bit ", "by bit"])).expect("a request");
    let waiting = caller.fetch(request);
    let client = async {
        let (whole, ()) = tokio::join!(waiting, async {
            eventually("one waits", || caller.pool.stats().waiting == 1).await;
            old.write(HTTP_1_0).await;
            first.await.expect("no panic").expect("a response");
            old.ends().await;
        });
        whole
    };
    let (_, received, _) = server.open(client, answer("thanks")).await;
    assert_eq!(received.body, "bit by bit");
    assert_eq!(caller.pool.stats().closed(Reason::Unsuitable), 1);
    ends_idle(caller).await;
}

async fn a_request_of_http_2_is_written_as_http_1_1(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let request = Request::get("http://site.test/path").version(Version::HTTP_2);
    let client = caller.fetch(request.body(String::new()).expect("a request"));
    let (_, received, _) = server.open(client, answer("first")).await;
    assert_eq!(received.line, "GET /path HTTP/1.1");
    assert_eq!(received.header("host"), Some("site.test"));
    ends_idle(caller).await;
}

async fn interim_responses_are_not_the_response(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let bytes = "HTTP/1.1 103 Early Hints\r\nlink: </style>\r\n\r\n\
                 HTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nreal";
    let (mut connection, _, whole) = server.open(caller.fetch(get("/")), bytes).await;
    assert_eq!((whole.head.status.as_u16(), whole.body), (200, Bytes::from("real")));
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn large_bodies_arrive_byte_for_byte(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for length in [MIB, 64 * MIB] {
        let bytes = answer(Pattern::bytes(length));
        let (_, whole) = server.reuse(&mut connection, caller.fetch(get("/")), bytes).await;
        assert_eq!(whole.body.len(), length);
        Pattern::new().check(&whole.body);
    }
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_large_upload_arrives_byte_for_byte_in_little_memory(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (upload, gauge) = Upload::new(64 * MIB);
    let request = Request::put("/").body(upload).expect("a request");
    let (mut connection, received, _) = server.open(caller.fetch(request), answer("thanks")).await;
    assert_eq!(received.body.len(), 64 * MIB);
    Pattern::new().check(&received.body);
    // hyper gathers up to about 400 KiB before it writes.
    assert!(gauge.peak() <= MIB, "{} bytes were alive at one time", gauge.peak());
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_small_body_is_written_with_its_head_and_a_large_one_as_it_lies(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let (small, large) = ("small".repeat(100), "large".repeat(10_000));
    for (body, gathers) in [(&small, false), (&large, true), (&small, true), (&large, true)] {
        let before = caller.watch.gathered();
        let client = caller.fetch(post("/", body.clone()));
        let (request, whole) = server.reuse(&mut connection, client, answer("taken")).await;
        assert!(request.body == body.as_bytes(), "{} bytes arrive as they were sent", body.len());
        assert_eq!(whole.body, "taken");
        // Once it has sent a large one, a connection copies none.
        assert_eq!(caller.watch.gathered() > before, gathers, "with {} bytes", body.len());
    }
    ends_idle(caller).await;
}

async fn an_empty_post_says_that_it_is_empty(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, received, _) =
        server.open(caller.fetch(post("/", "")), answer("first")).await;
    assert_eq!(received.header("content-length"), Some("0"));
    let put = Request::put("/").body(String::new()).expect("a request");
    let (received, _) = server.reuse(&mut connection, caller.fetch(put), answer("put")).await;
    assert_eq!(received.header("content-length"), Some("0"));

    let (received, _) = server.reuse(&mut connection, caller.fetch(get("/")), answer("get")).await;
    assert_eq!(received.header("content-length"), None, "no server expects content in a GET");
    ends_idle(caller).await;
}

async fn a_request_without_a_host_gets_that_of_its_address(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let authority = backend.start().await.connector.target(&caller.address).authority;
    let (mut connection, received, _) = server.open(caller.fetch(get("/")), answer("first")).await;
    assert_eq!(received.header("host"), Some(authority.as_str()));

    let mut request = get("/");
    request.headers_mut().insert("host", "chosen.test".parse().expect("a value"));
    let (received, _) = server.reuse(&mut connection, caller.fetch(request), answer("own")).await;
    assert_eq!(received.header("host"), Some("chosen.test"));
    ends_idle(caller).await;
}

async fn an_absolute_uri_is_sent_in_origin_form(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, received, _) =
        server.open(caller.fetch(get("http://site.test:81/path?query")), answer("first")).await;
    assert_eq!(received.line, "GET /path?query HTTP/1.1");
    assert_eq!(received.header("host"), Some("site.test:81"));

    let client = caller.fetch(get("http://site.test"));
    let (received, _) = server.reuse(&mut connection, client, answer("root")).await;
    assert_eq!(received.line, "GET / HTTP/1.1");

    let asterisk = Request::builder().method(Method::OPTIONS).uri("*").body(String::new());
    let client = caller.fetch(asterisk.expect("a request"));
    let (received, _) = server.reuse(&mut connection, client, answer("options")).await;
    assert_eq!(received.line, "OPTIONS * HTTP/1.1");
    ends_idle(caller).await;
}
