//! What a connection tells of its handshake, and a check of the caller's that may refuse the server.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pool_core::{Body, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{HandshakeError, TlsAddress, TlsConnector, TlsFacts};
use pooled_fetch_tests::{
    Authority, Backend, Http2Server, Server, Valid, Whole, answer, bounded, get, start,
    tls_endpoint,
};
use rustls::crypto::ring;
use rustls::version::TLS12;
use rustls::{CipherSuite, ClientConfig, ProtocolVersion};

use super::{named, site, trusting};

fn facts(response: &http::Response<Body>) -> &TlsFacts {
    response.body().connection().extension().expect("a connection over TLS")
}

#[tokio::test]
async fn a_connection_tells_what_was_agreed_and_who_its_server_is() {
    bounded(async {
        let authority = Authority::new();
        let issued = authority.issue(&["site.test"], Valid::Now);
        let config = Arc::new(issued.server(&["http/1.1"], None));
        let (address, acceptor) = tls_endpoint(config).await;
        let (pool, peer) = (trusting(authority.roots()), site(address));
        let mut server = Server::new(acceptor);
        let mut held = Vec::new();
        for is_resumed in [false, true] {
            let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
            let (connection, _, response) = server.open(pool.http(&peer, get("/")), half).await;
            let told = facts(&response);
            assert_eq!(told.certificates(), issued.chain());
            assert_eq!(told.protocol_version(), ProtocolVersion::TLSv1_3);
            assert!(format!("{:?}", told.cipher_suite()).starts_with("TLS13_"));
            assert_eq!(told.alpn(), Some(&b"http/1.1"[..]));
            assert_eq!(told.is_resumed(), is_resumed);
            held.push((connection, response));
        }
        let [first, second] = [0, 1].map(|at| facts(&held[at].1).certificates().as_ptr());
        assert_eq!(first, second, "connections to one server share its chain");

        let (lease, _connection) = tokio::join!(pool.lease(&peer), server.accept());
        let lease = lease.expect("a connection");
        let told: &TlsFacts = lease.connection().extension().expect("a connection over TLS");
        assert_eq!(told.certificates(), issued.chain());
    })
    .await;
}

#[tokio::test]
async fn a_connection_over_http2_tells_that_it_was_agreed() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let (pool, peer) = (trusting(authority.roots()), site(address));
        let mut server = Http2Server::start(acceptor, 100);
        let answered = async { server.next().await.answer("") };
        let (response, ()) = tokio::join!(pool.http(&peer, get("/")), answered);
        assert_eq!(facts(&response.expect("a response")).alpn(), Some(&b"h2"[..]));
    })
    .await;
}

#[tokio::test]
async fn a_connection_in_the_clear_tells_nothing_of_tls() {
    bounded(async {
        let (caller, mut server) = start(Backend::Tcp).await;
        let (_connection, _, response) = server.open(caller.send(get("/")), answer("")).await;
        assert!(response.body().connection().extension::<TlsFacts>().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_server_that_the_check_refuses_gets_no_request_and_the_error_says_why() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test", "other.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Server::new(acceptor);
        let connector = TlsConnector::builder(TcpConnector::new())
            .roots(authority.roots())
            .check_server(|address: &TlsAddress<_>, facts| {
                assert_eq!(facts.certificates().len(), 1);
                match address.server_name().to_str().as_ref() {
                    "site.test" => Ok(()),
                    _ => Err("not on the list"),
                }
            })
            .build()
            .expect("a provider that can be used");
        let pool = Pool::new(connector);
        server.open(pool.http(&site(address), get("/")), answer("")).await;

        let other = named(address, "other.test");
        let (error, mut refused) = tokio::join!(pool.http(&other, get("/kept")), server.accept());
        let error = error.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let told = format!(
            "connecting to other.test ({address}): TLS handshake with other.test: refused: not on the list"
        );
        assert_eq!(error.to_string(), told);
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let handshake = cause.and_then(|cause| cause.get_ref()?.downcast_ref::<HandshakeError>());
        assert!(handshake.is_some_and(|handshake| handshake.is_refused()));
        let request: http::Request<_> = error.into_request().expect("nothing was sent");
        assert_eq!(request.uri(), "/kept");
        assert_eq!(refused.read_to_end().await, "", "it is told good-bye, and nothing else");
    })
    .await;
}

/// One that speaks TLS 1.2 alone, of the caller's own.
fn tls12(authority: &Authority) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .expect("a version that ring knows")
        .with_root_certificates(authority.roots())
        .with_no_client_auth()
}

#[tokio::test]
async fn every_handshake_is_checked_also_with_a_configuration_of_the_callers_own() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Server::new(acceptor);
        let seen = Arc::new((AtomicUsize::new(0), Mutex::new(Vec::new())));
        let seeing = Arc::clone(&seen);
        let own = TlsConnector::with_config(TcpConnector::new(), Arc::new(tls12(&authority)));
        let pool = Pool::new(own.with_server_check(move |_, facts| {
            seeing.0.fetch_add(1, Ordering::SeqCst);
            let kind = (facts.protocol_version(), facts.alpn().is_some(), facts.is_resumed());
            seeing.1.lock().expect("no panic").push(kind);
            if facts.cipher_suite() == CipherSuite::Unknown(0) { Err("no suite") } else { Ok(()) }
        }));
        for _ in 0..2 {
            let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let fetch = async { Whole::read(pool.http(&site(address), get("/")).await?).await };
            server.open(fetch, last).await;
        }
        assert_eq!(seen.0.load(Ordering::SeqCst), 2);
        let version = ProtocolVersion::TLSv1_2;
        let kinds = seen.1.lock().expect("no panic").clone();
        assert_eq!(kinds, [(version, false, false), (version, false, true)]);
    })
    .await;
}
