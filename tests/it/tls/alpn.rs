//! What is spoken over TLS is what the server chooses of what the pool offers.

use std::sync::Arc;

use http::Version;
use pool_core::{Builder, Http2, Pool};
use pool_tcp::TcpConnector;
use pool_tls::TlsConnector;
use pooled_fetch_tests::{Authority, Http2Server, Server, answer, bounded, tls_endpoint};
use tokio::task::JoinSet;

use super::{TlsPool, fetch, site};

type Settings = Builder<TlsConnector<TcpConnector>>;

/// A pool that trusts `authority`, with settings of its own.
fn trusting(authority: &Authority, settings: impl FnOnce(Settings) -> Settings) -> TlsPool {
    let connector = TlsConnector::with_roots(TcpConnector::new(), authority.roots());
    settings(Pool::builder(connector)).build().expect("settings that make sense")
}

#[tokio::test]
async fn a_server_that_chooses_http2_is_spoken_to_over_one_connection() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2", "http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Http2Server::start(acceptor, 100);
        let (pool, peer) = (trusting(&authority, |settings| settings), site(address));
        let mut clients: JoinSet<_> = (0..64).map(|_| fetch(&pool, &peer)).collect();
        for _ in 0..64 {
            let stream = server.next().await;
            let expected = format!("https://site.test:{}/", address.port());
            assert_eq!(stream.request.uri(), &expected[..]);
            stream.answer("secret");
        }
        while let Some(whole) = clients.join_next().await {
            let whole = whole.expect("no panic").expect("a response");
            assert_eq!((whole.head.version, &whole.body[..]), (Version::HTTP_2, &b"secret"[..]));
        }
        assert_eq!((server.accepted(), pool.stats().opened), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_is_set_not_to_speak_http2_speaks_http1_with_the_same_server() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2", "http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let (off, peer) = (trusting(&authority, |pool| pool.http2(Http2::Off)), site(address));
        let mut server = Server::new(acceptor);
        let (_connection, received, whole) =
            server.open(fetch(&off, &peer), answer("one at a time")).await;
        assert_eq!(received.line, "GET / HTTP/1.1");
        assert_eq!(whole.head.version, Version::HTTP_11);

        let mut server = Http2Server::start(server.into_acceptor(), 100);
        let client = tokio::spawn(fetch(&trusting(&authority, |pool| pool), &peer));
        server.next().await.answer("many at a time");
        let whole = client.await.expect("no panic").expect("a response");
        assert_eq!(whole.head.version, Version::HTTP_2);
    })
    .await;
}

#[tokio::test]
async fn a_server_without_alpn_or_without_h2_is_spoken_to_in_http1_by_as_many_connections_as_needed()
 {
    bounded(async {
        for protocols in [&[][..], &["http/1.1"]] {
            let authority = Authority::new();
            let config = authority.server(&["site.test"], protocols);
            let (address, acceptor) = tls_endpoint(config).await;
            let mut server = Server::new(acceptor);
            let (pool, peer) = (trusting(&authority, |settings| settings), site(address));
            let mut clients: JoinSet<_> = (0..8).map(|_| fetch(&pool, &peer)).collect();
            let mut connections = Vec::new();
            for _ in 0..8 {
                let mut connection = server.accept().await;
                assert_eq!(connection.read_request().await.line, "GET / HTTP/1.1");
                connections.push(connection);
            }
            for connection in &mut connections {
                connection.write(answer("plain")).await;
            }
            while let Some(whole) = clients.join_next().await {
                let whole = whole.expect("no panic").expect("a response");
                assert_eq!(whole.head.version, Version::HTTP_11);
            }
            assert_eq!(pool.stats().opened, 8);
        }
    })
    .await;
}

#[tokio::test]
async fn http2_may_be_assumed_over_tls_where_nothing_was_negotiated() {
    bounded(async {
        let authority = Authority::new();
        let (address, acceptor) = tls_endpoint(authority.server(&["site.test"], &[])).await;
        let mut server = Http2Server::start(acceptor, 100);
        let pool = trusting(&authority, |settings| settings.http2(Http2::Assumed));
        let client = tokio::spawn(fetch(&pool, &site(address)));
        server.next().await.answer("assumed");
        let whole = client.await.expect("no panic").expect("a response");
        assert_eq!(whole.head.version, Version::HTTP_2);
    })
    .await;
}

#[tokio::test]
async fn a_protocol_that_the_pool_does_not_speak_is_refused() {
    bounded(async {
        let authority = Authority::new();
        let (address, _acceptor) = tls_endpoint(authority.server(&["site.test"], &["acme"])).await;
        let pool = trusting(&authority, |settings| settings);
        let error = fetch(&pool, &site(address)).await.expect_err("no protocol in common");
        assert_eq!(
            error.to_string(),
            format!(
                "connecting to site.test ({address}): TLS handshake with site.test: \
                 received fatal alert: NoApplicationProtocol"
            )
        );

        // A configuration of the caller's own may offer what the pool cannot speak.
        let config = Arc::new(authority.client(&["acme"], None));
        let connector = TlsConnector::with_config(TcpConnector::new(), config);
        let error =
            fetch(&Pool::new(connector), &site(address)).await.expect_err("acme was chosen");
        assert_eq!(
            error.to_string(),
            format!(
                "connecting to site.test ({address}): TLS handshake with site.test: \
                 the server chose acme, which is not spoken here"
            )
        );
    })
    .await;
}
