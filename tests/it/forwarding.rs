//! A request over a connection that ends at a forwarding proxy names its whole target; over any other it does not.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{HeaderValue, Method, Request};
use pool_core::{
    ConnectOptions, Connected, Connector, ErrorKind, Http2, Pool, Target, async_trait,
};
use pooled_fetch_tests::{
    AnyStream, MemoryConnector, Server, Whole, answer, bounded, get, memory_endpoint,
};

const SECRET: &str = "Basic dXNlcjp3b3Jk";

/// Streams in memory, of which the first ends at a proxy, and then each second.
struct EachSecond {
    inner: MemoryConnector,
    opened: AtomicUsize,
}

#[async_trait]
impl Connector for EachSecond {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &&'static str,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let connected = self.inner.connect(address, options).await?;
        if self.opened.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            Ok(connected.with_absolute_form(Some(HeaderValue::from_static(SECRET))))
        } else {
            Ok(connected)
        }
    }

    fn target(&self, address: &&'static str) -> Target {
        self.inner.target(address)
    }
}

fn start() -> (EachSecond, &'static str, Server) {
    let endpoint = memory_endpoint();
    let connector = EachSecond { inner: endpoint.connector, opened: AtomicUsize::new(0) };
    (connector, endpoint.address, Server::new(endpoint.acceptor))
}

#[tokio::test]
async fn each_attempt_is_written_in_the_form_that_its_connection_needs() {
    bounded(async {
        let (connector, address, mut server) = start();
        let pool = Pool::new(connector);
        let fetch = |uri: &'static str| {
            let pool = pool.clone();
            async move { Whole::read(pool.http(&address, get(uri)).await?).await }
        };
        let (mut proxied, received, _) = server.open(fetch("/first?a=b"), answer("")).await;
        assert_eq!(received.line, "GET http://memory.test/first?a=b HTTP/1.1");
        assert_eq!(received.header("host"), Some("memory.test"));
        assert_eq!(received.header("proxy-authorization"), Some(SECRET));

        // Taken in, and cut off: the repetition goes over a connection of the other kind.
        let client = tokio::spawn(fetch("http://site.test:81/again"));
        let received = proxied.read_request().await;
        assert_eq!(received.line, "GET http://site.test:81/again HTTP/1.1");
        assert_eq!(received.header("proxy-authorization"), Some(SECRET));
        drop(proxied);
        let (mut direct, received, _) =
            server.open(async { client.await.expect("no panic") }, answer("")).await;
        assert_eq!(received.line, "GET /again HTTP/1.1");
        assert_eq!(received.header("host"), Some("site.test:81"));
        assert_eq!(received.header("proxy-authorization"), None);

        // And back.
        let client = tokio::spawn(fetch("/back"));
        let received = direct.read_request().await;
        assert_eq!(received.line, "GET /back HTTP/1.1");
        drop(direct);
        let (_proxied, received, _) =
            server.open(async { client.await.expect("no panic") }, answer("")).await;
        assert_eq!(received.line, "GET http://memory.test/back HTTP/1.1");
        assert_eq!(pool.stats().retried, 2);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_parked_still_ends_at_its_proxy() {
    bounded(async {
        let (connector, address, mut server) = start();
        let pool = Pool::builder(connector).park_after(std::time::Duration::ZERO).build();
        let pool = pool.expect("settings that make sense");
        let fetch = || async { Whole::read(pool.http(&address, get("/")).await?).await };
        let (mut connection, ..) = server.open(fetch(), answer("")).await;
        while pool.stats().parked == 0 {
            tokio::task::yield_now().await;
        }
        let (received, _) = server.reuse(&mut connection, fetch(), answer("")).await;
        assert_eq!(received.line, "GET http://memory.test/ HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_proxy_is_refused_before_anything_is_sent() {
    bounded(async {
        let (connector, address, _server) = start();
        let pool = Pool::new(connector);
        let request = Request::builder().method(Method::OPTIONS).uri("*").body(String::new());
        let error = pool.http(&address, request.expect("a request")).await.expect_err("no form");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains("OPTIONS * cannot be asked for"), "{error}");

        let (connector, address, _server) = start();
        let pool = Pool::builder(connector).http2(Http2::Assumed).build();
        let pool = pool.expect("settings that make sense");
        let error = pool.http(&address, get("/")).await.expect_err("no HTTP/2");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains("not spoken to over HTTP/2"), "{error}");
    })
    .await;
}

#[test]
fn no_text_shows_what_a_proxy_asks_of_its_clients() {
    let connected = Connected::new(()).with_absolute_form(Some(HeaderValue::from_static(SECRET)));
    let text = format!("{connected:?}");
    assert!(text.contains("authorized: true") && !text.contains("dXNlcjp3b3Jk"), "{text}");
}
