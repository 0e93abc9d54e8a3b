//! What was meant for TLS does not leave in the clear, unless a gateway that ends TLS says so.

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pool_core::{ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, Backend, Endpoint, Protocol, Server, Whole, answer, bounded, ends_idle,
    for_each_backend, for_each_protocol, get, start, tcp_endpoint, tls_endpoint,
};

use super::Site;

for_each_protocol! {
    an_https_uri_goes_over_tls_or_not_at_all,
    an_http_uri_goes_over_any_connection,
    a_gateway_that_ends_tls_may_send_https_uris_in_the_clear,
}

for_each_backend! {
    a_refused_https_uri_opens_nothing_and_comes_back,
    a_checkout_refuses_an_https_uri_as_the_pool_does,
}

const SECURE: &[&str] =
    &["https://site.test/secret", "HTTPS://site.test/secret", "wss://site.test/"];

/// Whether a protocol is spoken over TLS.
fn is_encrypted(backend: Backend) -> bool {
    matches!(backend, Backend::Tls | Backend::TlsOfBoth | Backend::ServiceTls)
}

async fn an_https_uri_goes_over_tls_or_not_at_all(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    for uri in SECURE {
        let sent = site.send(get(uri)).await;
        if is_encrypted(protocol.backend()) {
            assert_eq!(sent.expect("an answer").authority(), "site.test");
        } else {
            let error = sent.expect_err("in the clear");
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
            assert!(error.to_string().contains("Builder::https_over_cleartext"), "{error}");
        }
    }
    site.end().await;
}

async fn an_http_uri_goes_over_any_connection(protocol: Protocol) {
    let mut site = Site::start(protocol).await;
    for uri in ["http://site.test/open", "/path"] {
        site.send(get(uri)).await.expect("an answer");
    }
    site.end().await;
}

async fn a_gateway_that_ends_tls_may_send_https_uris_in_the_clear(protocol: Protocol) {
    let allowed = |settings: pooled_fetch_tests::Settings| settings.https_over_cleartext(true);
    let mut site = Site::start_with(protocol, allowed).await;
    for uri in SECURE {
        let arrived = site.send(get(uri)).await.expect("an answer");
        assert_eq!(arrived.authority(), "site.test");
    }
    site.end().await;
}

async fn a_refused_https_uri_opens_nothing_and_comes_back(backend: Backend) {
    if is_encrypted(backend) {
        return;
    }
    let (caller, _server) = start(backend).await;
    let error = caller.fetch(get(SECURE[0])).await.expect_err("in the clear");
    assert_eq!((caller.watch.opened(), caller.watch.written()), (0, 0), "nothing left");
    assert_eq!(caller.pool.stats().requests, 0);
    let back = error.into_request().expect("a request that was not sent");
    assert_eq!(back.uri(), SECURE[0]);
    ends_idle(caller).await;
}

async fn a_checkout_refuses_an_https_uri_as_the_pool_does(backend: Backend) {
    if is_encrypted(backend) {
        return;
    }
    let (caller, mut server) = start(backend).await;
    let checkout = caller.pool.lease(&caller.address).await.expect("a connection");
    let mut connection = server.accept().await;
    let error = checkout.http(get(SECURE[0])).await.expect_err("in the clear");
    assert_eq!((error.kind(), caller.watch.written()), (ErrorKind::InvalidRequest, 0));
    server.reuse(&mut connection, caller.fetch(get("/")), answer("unharmed")).await;
    ends_idle(caller).await;
}

/// As the gateway of the examples, but for TLS of its own.
async fn serve_gateway(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    upstream: Pool<TcpConnector>,
    backend: std::net::SocketAddr,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let upstream = upstream.clone();
        async move {
            assert_eq!(request.version(), Version::HTTP_2);
            assert_eq!(request.uri().scheme_str(), Some("https"));
            upstream.http(&backend, request).await
        }
    });
    let server = http2::Builder::new(TokioExecutor::new());
    // A client that goes has been served.
    server.serve_connection(TokioIo::new(stream), service).await.ok();
}

#[tokio::test]
async fn a_request_in_http2_over_tls_reaches_an_upstream_in_the_clear() {
    bounded(async {
        let Endpoint { connector, address: backend, acceptor } = tcp_endpoint().await;
        let upstream = Pool::builder(connector).https_over_cleartext(true);
        let upstream = upstream.build().expect("settings that make sense");
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2"]);
        let (front, mut entrance) = tls_endpoint(config).await;
        tokio::spawn(async move {
            let stream = entrance.accept().await.expect("a client");
            serve_gateway(stream, upstream, backend).await;
        });

        let tls = TlsConnector::builder(TcpConnector::new()).roots(authority.roots());
        let client = Pool::new(tls.build().expect("a provider that can be used"));
        let name = ServerName::try_from("site.test").expect("a valid name");
        let peer = TlsAddress::new(front, name);
        let fetch = async {
            let response = client.http(&peer, get("https://site.test/path")).await?;
            Whole::read(response).await
        };
        let (_, received, whole) = Server::new(acceptor).open(fetch, answer("passed on")).await;
        assert_eq!(received.line, "GET /path HTTP/1.1");
        assert_eq!(received.header("host"), Some("site.test"));
        assert_eq!((whole.head.version, &whole.body[..]), (Version::HTTP_2, &b"passed on"[..]));
    })
    .await;
}
