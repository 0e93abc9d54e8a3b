//! In whose name a request is sent: client certificates, and addresses with an identity of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use pool_core::{ErrorKind, Http2, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{Identity, TlsConnector};
use pooled_fetch_tests::{
    Acceptor, Authority, Http2Server, Issued, Server, Valid, answer, bounded, tls_endpoint,
};
use rustls::ServerConfig;
use tokio::task::JoinSet;

use super::{TlsPool, fetch, named, site, trusting};

/// A server that lets in no client without a certificate of `authority`.
async fn closed_site(authority: &Authority, protocols: &[&str]) -> (SocketAddr, Acceptor) {
    let config: ServerConfig =
        authority.issue(&["site.test"], Valid::Now).server(protocols, Some(authority));
    tls_endpoint(Arc::new(config)).await
}

fn pool(authority: &Authority, shown: Option<&Issued>) -> TlsPool {
    let builder = TlsConnector::builder(TcpConnector::new()).roots(authority.roots());
    let builder = match shown {
        None => builder,
        Some(shown) => builder.client_certificate(shown.chain(), shown.key()),
    };
    Pool::new(builder.build().expect("a key that fits its certificate"))
}

#[tokio::test]
async fn a_server_that_asks_for_a_client_certificate_is_shown_it() {
    bounded(async {
        let authority = Authority::new();
        let client = authority.issue(&["client.test"], Valid::Now);
        for protocols in [&["http/1.1"][..], &["h2"]] {
            let (address, acceptor) = closed_site(&authority, protocols).await;
            let request = fetch(&pool(&authority, Some(&client)), &site(address));
            let whole = if protocols == ["h2"] {
                let mut server = Http2Server::start(acceptor, 100);
                let request = tokio::spawn(request);
                server.next().await.answer("come in");
                request.await.expect("no panic").expect("a response")
            } else {
                Server::new(acceptor).open(request, answer("come in")).await.2
            };
            assert_eq!(whole.body, "come in");
        }
    })
    .await;
}

/// In TLS 1.3 the client is done with its handshake before the server has looked at its certificate, so it learns
/// of the refusal with its first read, and its first request may be on its way.
#[tokio::test]
async fn without_its_client_certificate_a_request_fails_and_says_that_one_is_required() {
    bounded(async {
        let authority = Authority::new();
        for protocols in [&["http/1.1"][..], &["h2"]] {
            let (address, _acceptor) = closed_site(&authority, protocols).await;
            let pool = pool(&authority, None);
            let mut clients: JoinSet<_> = (0..4).map(|_| fetch(&pool, &site(address))).collect();
            while let Some(client) = clients.join_next().await {
                let error = client.expect("no panic").expect_err("no client is let in");
                let told = error.to_string();
                assert!(told.contains(&format!("site.test ({address})")), "{told}");
                assert!(told.contains("received fatal alert: CertificateRequired"), "{told}");
                assert!([ErrorKind::Response, ErrorKind::Connect].contains(&error.kind()));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn two_identities_never_share_a_connection_and_clones_of_one_do() {
    bounded(async {
        let authority = Authority::new();
        let identity = |name| {
            let shown = authority.issue(&[name], Valid::Now);
            Identity::new(authority.client(&["http/1.1"], Some(&shown)))
        };
        let (alice, bob) = (identity("alice.test"), identity("bob.test"));
        let (address, acceptor) = closed_site(&authority, &["http/1.1"]).await;
        let mut server = Server::new(acceptor);
        let pool = pool(&authority, None);
        let asks = |who: &Identity| fetch(&pool, &site(address).with_identity(who.clone()));
        let (mut hers, ..) = server.open(asks(&alice), answer("alice")).await;
        let (mut his, ..) = server.open(asks(&bob), answer("bob")).await;
        server.reuse(&mut hers, asks(&alice.clone()), answer("alice again")).await;
        server.reuse(&mut his, asks(&bob), answer("bob again")).await;
        // Nor does the same certificate in another configuration.
        server.open(asks(&identity("alice.test")), answer("another alice")).await;
        assert_eq!(pool.stats().opened, 3);
    })
    .await;
}

#[tokio::test]
async fn an_identity_that_offers_http2_speaks_http1_for_a_pool_that_never_speaks_it() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2", "http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let connector = TlsConnector::with_roots(TcpConnector::new(), authority.roots());
        let pool = Pool::builder(connector).http2(Http2::Off).build();
        let pool = pool.expect("settings that make sense");
        let identity = Identity::new(authority.client(&["h2", "http/1.1"], None));
        let peer = site(address).with_identity(identity);
        let mut server = Server::new(acceptor);
        let (_connection, received, _) = server.open(fetch(&pool, &peer), answer("one")).await;
        assert_eq!(received.line, "GET / HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn two_names_at_one_address_never_share_a_connection() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["one.test", "two.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Server::new(acceptor);
        let pool = trusting(authority.roots());
        let (one, two) = (named(address, "one.test"), named(address, "two.test"));
        let (mut to_one, ..) = server.open(fetch(&pool, &one), answer("one")).await;
        server.open(fetch(&pool, &two), answer("two")).await;
        server.reuse(&mut to_one, fetch(&pool, &one), answer("one")).await;
    })
    .await;
}
