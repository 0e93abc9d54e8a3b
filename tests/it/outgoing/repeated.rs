//! A field that stands twice in the head of a request goes out once where HTTP wants it once.

use http::{Request, Version};
use pool_core::ErrorKind;
use pooled_fetch_tests::{Protocol, for_each_protocol};

use super::Site;

for_each_protocol! {
    split_cookies_are_one_field_over_http1_and_lose_nothing_over_http2,
    a_cookie_alone_stays_as_it_is,
    lengths_that_agree_are_told_once,
    lengths_that_differ_are_refused,
    fields_that_may_stand_twice_stay_apart,
}

async fn split_cookies_are_one_field_over_http1_and_lose_nothing_over_http2(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let request = Request::get("/")
            .version(version)
            .header("cookie", "a=1")
            .header("x-between", "1")
            .header("cookie", "b=2; c=3")
            .header("cookie", "d=4");
        let request = request.body(Default::default()).expect("a request");
        let arrived = site.send(request).await.expect("an answer");
        let cookies = arrived.values("cookie");
        assert_eq!(cookies.join("; "), "a=1; b=2; c=3; d=4");
        assert!(cookies.len() == 1 || site.version() == "HTTP/2", "{arrived:?} of {version:?}");
    }
    site.end().await;
}

async fn a_cookie_alone_stays_as_it_is(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    let request = Request::get("/").header("cookie", "a=1;b=2").header("x", "1").header("x", "2");
    let request = request.body(Default::default()).expect("a request");
    let arrived = site.send(request).await.expect("an answer");
    assert_eq!(arrived.values("cookie"), ["a=1;b=2"]);
    site.end().await;
}

async fn lengths_that_agree_are_told_once(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    for lengths in [["7", "7"].as_slice(), &["7", "07", "007"]] {
        let add =
            |head: http::request::Builder, length: &&str| head.header("content-length", *length);
        let request = lengths.iter().fold(Request::post("/"), add).body("content".into());
        let arrived = site.send(request.expect("a request")).await.expect("an answer");
        assert_eq!(arrived.values("content-length"), ["7"]);
        assert_eq!(arrived.body, "content");
    }
    site.end().await;
}

async fn lengths_that_differ_are_refused(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    let request = Request::post("/").header("content-length", "7").header("content-length", "8");
    let error = site.send(request.body("content".into()).expect("a request")).await;
    assert_eq!(error.expect_err("a contradiction").kind(), ErrorKind::InvalidRequest);
    site.end().await;
}

async fn fields_that_may_stand_twice_stay_apart(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    let request = Request::get("/").header("accept", "text/html").header("accept", "text/plain");
    let request = request.body(Default::default()).expect("a request");
    let arrived = site.send(request).await.expect("an answer");
    assert_eq!(arrived.values("accept"), ["text/html", "text/plain"]);
    site.end().await;
}
