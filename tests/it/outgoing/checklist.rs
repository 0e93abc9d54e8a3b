//! The rules for the head of a request as a checklist: a row for each, with the section that it comes from.

use http::request::Builder;
use http::{HeaderValue, Method, Request, Version};
use pool_core::ErrorKind;
use pooled_fetch_tests::{Protocol, for_each_protocol};

use super::{Arrived, Sent, Site};

for_each_protocol! { every_rule_of_the_checklist_holds }

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Comes {
    /// It arrives with these fields and no others of their names. `:line` stands for the method and the path,
    /// `:authority` for the server that is named, and `address` there for that of the pool.
    With(&'static [(&'static str, &'static [&'static str])]),
    /// It never leaves, and the error says this.
    Never(&'static str),
    /// It wants HTTP/1 of its own, and never leaves where HTTP/2 is assumed.
    Over1,
}

use Comes::{Never, Over1, With};

struct Row {
    section: &'static str,
    rule: &'static str,
    request: fn() -> (Builder, &'static str),
    over_http1: Comes,
    over_http2: Comes,
}

/// A rule that is the same over both versions.
fn same(
    section: &'static str,
    rule: &'static str,
    request: fn() -> (Builder, &'static str),
    comes: Comes,
) -> Row {
    Row { section, rule, request, over_http1: comes, over_http2: comes }
}

/// A rule that is not.
fn each(
    section: &'static str,
    rule: &'static str,
    request: fn() -> (Builder, &'static str),
    [over_http1, over_http2]: [Comes; 2],
) -> Row {
    Row { section, rule, request, over_http1, over_http2 }
}

fn get() -> Builder {
    Request::get("/")
}

fn post() -> Builder {
    Request::post("/")
}

fn raw(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).expect("a value")
}

fn names() -> Vec<Row> {
    vec![
        same(
            "RFC 9110 5.1",
            "a name of any token is sent, in small letters",
            || (get().header("X-!#$%&'*+.^_`|~09", "v"), ""),
            With(&[("x-!#$%&'*+.^_`|~09", &["v"])]),
        ),
        same(
            "RFC 9110 5.3",
            "fields of one name keep their order",
            || (get().header("accept", "a").header("x", "1").header("accept", "b"), ""),
            With(&[("accept", &["a", "b"])]),
        ),
        same(
            "RFC 9110 5.5",
            "an empty value is a value",
            || (get().header("x-empty", ""), ""),
            With(&[("x-empty", &[""])]),
        ),
        same(
            "RFC 9110 5.5",
            "a tab within a value stays",
            || (get().header("x", raw(b"a\tb")), ""),
            With(&[("x", &["a\tb"])]),
        ),
        same(
            "RFC 9113 8.2.1",
            "blanks around a value are not part of it",
            || (get().header("x", raw(b" \tv ")).header("y", raw(b" ")), ""),
            With(&[("x", &["v"]), ("y", &[""])]),
        ),
        same(
            "RFC 9110 5.6.1",
            "a list with empty members is passed on as it is",
            || (get().header("accept", ", a,,b,"), ""),
            With(&[("accept", &[", a,,b,"])]),
        ),
    ]
}

fn servers() -> Vec<Row> {
    vec![
        same(
            "RFC 9110 7.2",
            "a request that names no server names that of its address",
            || (get(), ""),
            With(&[(":authority", &["address"])]),
        ),
        same(
            "RFC 9112 3.2",
            "an empty Host names no server",
            || (get().header("host", ""), ""),
            With(&[(":authority", &["address"])]),
        ),
        same(
            "RFC 9112 3.2",
            "an empty Host beside an authority names that of the URI",
            || (Request::get("http://site.test:81/").header("host", ""), ""),
            With(&[(":authority", &["site.test:81"])]),
        ),
        same(
            "RFC 9110 7.2",
            "a Host of the caller's own names the server, whatever the URI says",
            || (Request::get("http://site.test/").header("host", "other.test:1"), ""),
            With(&[(":authority", &["other.test:1"])]),
        ),
        same(
            "RFC 9112 3.2",
            "more than one Host is refused, also where one is empty",
            || (get().header("host", "a").header("host", ""), ""),
            Never("more than one Host"),
        ),
        same(
            "RFC 9112 3.2",
            "a Host of several words is refused",
            || (get().header("host", "site.test other.test"), ""),
            Never("the Host is no host"),
        ),
        same(
            "RFC 9112 3.2",
            "a Host with a path is refused",
            || (get().header("host", "site.test/path"), ""),
            Never("the Host is no host"),
        ),
        same(
            "RFC 9110 4.2.4",
            "a Host with a user is refused",
            || (get().header("host", "user@site.test"), ""),
            Never("the Host is no host"),
        ),
        same(
            "RFC 9110 7.2",
            "a Host beyond ASCII is refused",
            || (get().header("host", raw("sité.test".as_bytes())), ""),
            Never("the Host is no host"),
        ),
        each(
            "RFC 9113 8.3.1",
            "a Host that can be no authority is refused where it would be one",
            || (get().header("host", "[::1"), ""),
            [With(&[(":authority", &["[::1"])]), Never("the Host is no host")],
        ),
        same(
            "RFC 9110 4.2.4",
            "the user in a URI stays here",
            || (Request::get("http://user:word@site.test/"), ""),
            With(&[(":authority", &["site.test"])]),
        ),
        each(
            "RFC 9113 8.3.1",
            "HTTP/2 names the server once",
            || (get().header("host", "site.test"), ""),
            [With(&[("host", &["site.test"])]), With(&[("host", &[])])],
        ),
    ]
}

fn targets() -> Vec<Row> {
    vec![
        same(
            "RFC 9112 3.2.1",
            "an absolute URI goes out as its path",
            || (Request::get("http://site.test/a?b"), ""),
            With(&[(":line", &["GET /a?b"])]),
        ),
        same(
            "RFC 9112 3.2.1",
            "an empty path is a slash",
            || (Request::get("http://site.test"), ""),
            With(&[(":line", &["GET /"])]),
        ),
        same(
            "RFC 9112 3.2.1",
            "a query without a path has a slash before it",
            || (Request::get("http://site.test?b"), ""),
            With(&[(":line", &["GET /?b"])]),
        ),
        same(
            "RFC 9110 7.1",
            "a fragment stays here",
            || (Request::get("http://site.test/a#b"), ""),
            With(&[(":line", &["GET /a"])]),
        ),
        same(
            "RFC 9112 3.2.4",
            "OPTIONS may ask for the server as a whole",
            || (Request::options("*"), ""),
            With(&[(":line", &["OPTIONS *"])]),
        ),
        same(
            "RFC 9112 3.2.4",
            "nothing else may",
            || (Request::get("*"), ""),
            Never("only OPTIONS may ask for *"),
        ),
        same(
            "RFC 9112 3.2.3",
            "a host alone is the target of CONNECT",
            || (Request::get("site.test:80"), ""),
            Never("a path begins with a slash"),
        ),
        same(
            "RFC 9110 9.3.6",
            "CONNECT has a host and a port, and no path",
            || (Request::connect("/"), ""),
            Never("CONNECT needs host:port"),
        ),
        same(
            "RFC 9110 9.3.6",
            "CONNECT has no content",
            || (Request::connect("site.test:80"), "content"),
            Never("CONNECT carries no body"),
        ),
        same(
            "RFC 9110 9.3.8",
            "TRACE has no content",
            || (Request::builder().method(Method::TRACE), "content"),
            Never("TRACE carries no body"),
        ),
        same(
            "RFC 9110 9.1",
            "a method is sent in the letters that it came in",
            || (Request::builder().method("patch-IT"), ""),
            With(&[(":line", &["patch-IT /"])]),
        ),
    ]
}

fn lengths() -> Vec<Row> {
    vec![
        same(
            "RFC 9110 8.6",
            "content has a length",
            || (post(), "content"),
            With(&[("content-length", &["7"]), ("transfer-encoding", &[])]),
        ),
        same(
            "RFC 9110 8.6",
            "a length that is no number is refused",
            || (post().header("content-length", "seven"), "content"),
            Never("content-length is not a number"),
        ),
        same(
            "RFC 9110 8.6",
            "a list of lengths is refused",
            || (post().header("content-length", "7, 7"), "content"),
            Never("content-length is not a number"),
        ),
        same(
            "RFC 9112 6.2",
            "a length beside a transfer coding is refused",
            || {
                let head = post().header("content-length", "7");
                (head.header("transfer-encoding", "chunked"), "content")
            },
            Never("contradict each other"),
        ),
        each(
            "RFC 9113 8.2.2",
            "HTTP/2 has no chunks, and needs none",
            || (post().header("transfer-encoding", "chunked"), "content"),
            [
                With(&[("transfer-encoding", &["chunked"]), ("content-length", &[])]),
                With(&[("transfer-encoding", &[])]),
            ],
        ),
        each(
            "RFC 9113 8.2.2",
            "HTTP/2 knows no coding of the content for one connection",
            || (post().header("transfer-encoding", "gzip, chunked"), "content"),
            [With(&[("transfer-encoding", &["gzip, chunked"])]), Never("no transfer coding")],
        ),
        same(
            "RFC 9112 6.1",
            "a transfer coding in a head of HTTP/1.0 is refused",
            || {
                let head = post().version(Version::HTTP_10);
                (head.header("transfer-encoding", "chunked"), "content")
            },
            Never("only HTTP/1.1 knows transfer-encoding"),
        ),
        same(
            "RFC 9113 8.2.2",
            "a transfer coding in a head of HTTP/2 is refused",
            || {
                let head = post().version(Version::HTTP_2);
                (head.header("transfer-encoding", "chunked"), "content")
            },
            Never("only HTTP/1.1 knows transfer-encoding"),
        ),
    ]
}

fn connections() -> Vec<Row> {
    vec![
        each(
            "RFC 9113 8.2.2",
            "HTTP/2 says nothing of its connection",
            || {
                let head = get().header("connection", "close, x-hop").header("x-hop", "1");
                (head.header("keep-alive", "timeout=5"), "")
            },
            [
                With(&[("connection", &["close, x-hop"]), ("x-hop", &["1"])]),
                With(&[("connection", &[]), ("x-hop", &[]), ("keep-alive", &[])]),
            ],
        ),
        each(
            "RFC 9110 10.1.4",
            "TE is named in Connection",
            || (get().header("te", "trailers"), ""),
            [
                With(&[("te", &["trailers"]), ("connection", &["te"])]),
                With(&[("te", &["trailers"]), ("connection", &[])]),
            ],
        ),
        each(
            "RFC 9110 10.1.4",
            "TE is named in Connection once",
            || (get().header("connection", "x, TE").header("te", "Trailers"), ""),
            [
                With(&[("te", &["trailers"]), ("connection", &["x, TE"])]),
                With(&[("connection", &[])]),
            ],
        ),
        each(
            "RFC 9113 8.2.2",
            "TE asks for trailers, and for no coding that nobody takes off",
            || (get().header("te", "gzip;q=0.5").header("te", "deflate, trailers"), ""),
            [
                With(&[("te", &["trailers"]), ("connection", &["te"])]),
                With(&[("te", &["trailers"])]),
            ],
        ),
        same(
            "RFC 9113 8.2.2",
            "TE without trailers stays here",
            || (get().header("te", "gzip"), ""),
            With(&[("te", &[]), ("connection", &[])]),
        ),
        same(
            "RFC 9110 7.6.1",
            "TE of HTTP/1.0 was of another connection",
            || (get().version(Version::HTTP_10).header("te", "trailers"), ""),
            With(&[("te", &[]), ("connection", &[])]),
        ),
        each(
            "RFC 9113 8.2.2",
            "TE of HTTP/2 goes on, in the words of the version that is spoken",
            || (get().version(Version::HTTP_2).header("te", "trailers"), ""),
            [
                With(&[("te", &["trailers"]), ("connection", &["te"])]),
                With(&[("te", &["trailers"]), ("connection", &[])]),
            ],
        ),
        each(
            "RFC 9110 7.8",
            "Upgrade is named in Connection, and goes over HTTP/1 alone",
            || (get().header("upgrade", "websocket"), ""),
            [With(&[("upgrade", &["websocket"]), ("connection", &["upgrade"])]), Over1],
        ),
        same(
            "RFC 9110 7.8",
            "Upgrade in a head of HTTP/1.0 means nothing",
            || (get().version(Version::HTTP_10).header("upgrade", "websocket"), ""),
            With(&[("upgrade", &[]), ("connection", &[])]),
        ),
    ]
}

fn expectations() -> Vec<Row> {
    vec![
        same(
            "RFC 9110 10.1.1",
            "a request without content waits for nothing",
            || (get().header("expect", "100-continue"), ""),
            With(&[("expect", &[])]),
        ),
        same(
            "RFC 9110 10.1.1",
            "100-continue in a head of HTTP/1.0 means nothing",
            || {
                let head = post().version(Version::HTTP_10);
                (head.header("expect", "100-continue"), "content")
            },
            With(&[("expect", &[])]),
        ),
        same(
            "RFC 9110 10.1.1",
            "an expectation that nobody knows is for the server to refuse",
            || (post().header("expect", "200-ok"), "content"),
            With(&[("expect", &["200-ok"])]),
        ),
        same(
            "RFC 9110 10.1.3",
            "what describes the client goes on as it is",
            || (get().header("referer", "/a").header("user-agent", "x/1 (y)"), ""),
            With(&[("referer", &["/a"]), ("user-agent", &["x/1 (y)"])]),
        ),
    ]
}

async fn every_rule_of_the_checklist_holds(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    let plain = get().body(Default::default()).expect("a request");
    let address = site.send(plain).await.expect("an answer").authority().to_owned();
    let all = [names(), servers(), targets(), lengths(), connections(), expectations()];
    for row in all.into_iter().flatten() {
        let told = format!("{}: {}", row.section, row.rule);
        let mut comes = if site.version() == "HTTP/2" { row.over_http2 } else { row.over_http1 };
        if matches!(comes, Over1) {
            if protocol == Protocol::TlsHttp2 {
                // This server speaks HTTP/2 alone; `http2/versions.rs` has one that speaks both.
                continue;
            }
            comes = Never("it can only go over HTTP/1");
        }
        let (head, content) = (row.request)();
        let request: Sent = head.body(content.into()).expect(&told);
        let sent = site.send(request).await;
        match comes {
            Never(why) => {
                let error = sent.expect_err(&told);
                assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{told}: {error}");
                assert!(error.to_string().contains(why), "{told}: {error}");
            }
            Over1 => unreachable!("it was replaced"),
            With(fields) => assert_has(&sent.expect(&told), fields, &address, &told),
        }
    }
    site.end().await;
}

fn assert_has(arrived: &Arrived, fields: &[(&str, &[&str])], address: &str, told: &str) {
    for (name, expected) in fields {
        let line = arrived.method_and_path();
        let found = match *name {
            ":line" => vec![&line[..]],
            ":authority" if arrived.authority() == address => vec!["address"],
            ":authority" => vec![arrived.authority()],
            name => arrived.values(name),
        };
        assert_eq!(found, *expected, "{told}: {name} in {arrived:?}");
    }
}
