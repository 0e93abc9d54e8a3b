//! A request that cannot be right never leaves, and the error says what is wrong with it.

use bytes::Bytes;
use http::request::Builder;
use http::{Request, Version};
use http_body_util::Full;
use pool_core::ErrorKind;
use pooled_fetch_tests::{Backend, Pieces, answer, ends_idle, for_each_backend, get, start};

for_each_backend! {
    requests_that_contradict_themselves_never_leave,
    a_refused_request_leaves_the_idle_connection_alone,
    a_streaming_body_longer_than_its_content_length_is_an_error,
    a_streaming_body_shorter_than_its_content_length_is_an_error,
    a_streaming_body_as_long_as_its_content_length_is_sent,
}

fn known(head: Builder, content: &'static str) -> Request<Full<Bytes>> {
    head.body(Full::from(content)).expect("a request that only HTTP objects to")
}

async fn requests_that_contradict_themselves_never_leave(backend: Backend) {
    let (caller, _server) = start(backend).await;
    let post = || Request::post("/");
    for (request, words) in [
        (known(Request::get("/").version(Version::HTTP_3), ""), &["HTTP/3"][..]),
        (known(Request::get("/").version(Version::HTTP_09), ""), &["HTTP/0.9"]),
        (known(post().header("content-length", "5"), "four"), &["content-length", "body"]),
        (known(post().header("content-length", "3"), "four"), &["content-length", "body"]),
        (known(post().header("content-length", "4"), ""), &["content-length", "body"]),
        (
            known(post().header("content-length", "4").header("content-length", "5"), "four"),
            &["content-length", "several"],
        ),
        (known(post().header("content-length", "four"), "four"), &["content-length", "number"]),
        (
            known(
                post().header("content-length", "4").header("transfer-encoding", "chunked"),
                "four",
            ),
            &["content-length", "transfer-encoding"],
        ),
        (known(Request::get("/").header("host", "a").header("host", "b"), ""), &["Host"]),
    ] {
        let told = format!("{request:?}");
        let error = caller.fetch(request).await.expect_err(&told);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{told}");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text:?} says {words:?}");
        assert!(text.contains(&format!("{:?}", caller.address)), "{text:?} names the address");
    }
    assert_eq!((caller.watch.opened(), caller.watch.written()), (0, 0), "nothing left");
    ends_idle(caller).await;
}

async fn a_refused_request_leaves_the_idle_connection_alone(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let written = caller.watch.written();
    let refused = known(Request::post("/").header("content-length", "5"), "four");
    caller.fetch(refused).await.expect_err("a contradiction");
    assert_eq!(caller.watch.written(), written);
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

fn streaming(length: &str, pieces: [&'static str; 2]) -> Request<Pieces> {
    let head = Request::post("/").header("content-length", length);
    head.body(Pieces::new(pieces)).expect("a request")
}

async fn a_streaming_body_longer_than_its_content_length_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(streaming("4", ["four", "more"])));
    let sent = server.accept().await.read_to_end().await;
    assert!(!String::from_utf8_lossy(&sent).contains("more"), "{sent:?}");
    let error = client.await.expect("no panic").expect_err("too much");
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert!(error.to_string().contains("beyond its content-length"), "{error}");
    ends_idle(caller).await;
}

async fn a_streaming_body_shorter_than_its_content_length_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(streaming("10", ["four", "more"])));
    // The server is not left waiting for the rest.
    server.accept().await.read_to_end().await;
    let error = client.await.expect("no panic").expect_err("too little");
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    assert!(error.to_string().contains("short of its content-length"), "{error}");
    ends_idle(caller).await;
}

async fn a_streaming_body_as_long_as_its_content_length_is_sent(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = caller.fetch(streaming("8", ["four", "more"]));
    let (_, received, _) = server.open(client, answer("thanks")).await;
    assert_eq!(received.body, "fourmore");
    assert_eq!(received.header("content-length"), Some("8"));
    ends_idle(caller).await;
}
