//! TLS: nothing leaves before the server has proved its name, and a failure says what was wrong.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::thread;

use http::Request;
use http_body_util::Full;
use pool_core::{Error, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, Backend, Caller, Duplex, Endpoint, Failing, Probe, SERVER_NAME, Server, Upload,
    Whole, answer, bounded, eventually, get, poll_once, settle, start, tcp_endpoint, tls_endpoint,
};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type TlsPool = Pool<TlsConnector<TcpConnector>>;

fn trusting(roots: RootCertStore) -> TlsPool {
    Pool::new(TlsConnector::with_roots(TcpConnector::new(), roots))
}

fn named(address: SocketAddr, name: &'static str) -> TlsAddress<SocketAddr> {
    TlsAddress::new(address, ServerName::try_from(name).expect("a valid name"))
}

async fn fetch(pool: &TlsPool, address: &TlsAddress<SocketAddr>) -> Result<Whole, Error> {
    Whole::read(pool.http(address, get("/")).await?).await
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_fetched_from() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Server::new(acceptor);
        let pool = trusting(authority.roots());
        let peer = named(address, "site.test");
        let (mut connection, received, whole) =
            server.open(fetch(&pool, &peer), answer("secret")).await;
        assert_eq!(whole.body, "secret");
        assert_eq!(received.header("host"), Some(&*format!("site.test:{}", address.port())));
        server.reuse(&mut connection, fetch(&pool, &peer), answer("again")).await;
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

#[tokio::test]
async fn a_server_that_knows_no_tls_is_an_error_of_the_handshake() {
    bounded(async {
        let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
        let mut server = Server::new(acceptor);
        let pool = trusting(RootCertStore::empty());
        let peer = named(address, "site.test");
        let plain = async {
            let mut connection = server.accept().await;
            connection.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
            connection.read_to_end().await;
        };
        let (result, ()) = tokio::join!(fetch(&pool, &peer), plain);
        let error = result.expect_err("no TLS");
        assert!(error.to_string().contains("TLS handshake with site.test: "), "{error}");
        let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::InvalidData));
    })
    .await;
}

#[tokio::test]
async fn a_body_cut_without_a_farewell_is_an_error() {
    bounded(async {
        let (caller, mut server) = start(Backend::Tls).await;
        let request = Request::get("/").body(String::new()).expect("a request");
        let (connection, _, response) =
            server.open(caller.send(request), "HTTP/1.1 200 OK\r\n\r\nuntil the e").await;
        drop(connection);
        let error = Whole::read(response).await.expect_err("it may be truncated");
        assert_eq!(error.kind(), ErrorKind::ResponseBody);
        assert!(format!("{:?}", caller.address).starts_with(SERVER_NAME));
    })
    .await;
}

/// Reads to the end of a connection; an end without a farewell is an error.
async fn end(connection: &mut Box<dyn Duplex>) -> io::Result<usize> {
    connection.read_to_end(&mut Vec::new()).await
}

/// One connection that rests, as the server sees it.
async fn at_rest() -> (Caller, Box<dyn Duplex>) {
    let Endpoint { connector, address, mut acceptor } = Backend::Tls.start().await;
    let (connector, watch) = Probe::new(connector);
    let caller = Caller { pool: Pool::new(connector), address, watch };
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = acceptor.accept().await.expect("a client");
    connection.read_u8().await.expect("a request");
    connection.write_all(&answer("once")).await.expect("a client that listens");
    client.await.expect("no panic").expect("a response");
    (caller, connection)
}

#[tokio::test]
async fn a_connection_says_farewell_before_it_closes() {
    bounded(async {
        let (caller, mut connection) = at_rest().await;
        drop(caller);
        end(&mut connection).await.expect("a farewell");

        // Where there is no runtime, and nothing could be waited for.
        let (caller, mut connection) = at_rest().await;
        let dropped = thread::spawn(move || drop(caller));
        end(&mut connection).await.expect("a farewell");
        dropped.join().expect("no panic");
    })
    .await;
}

#[tokio::test]
async fn what_a_cancelled_request_had_not_sent_yet_is_not_sent_with_the_farewell() {
    bounded(async {
        let (caller, mut connection) = at_rest().await;
        // More than the socket takes, so that a part of it waits in the session.
        let (upload, _) = Upload::new(64 * 1024 * 1024);
        let request = Request::post("/").body(upload).expect("a request");
        let mut client = Box::pin(caller.send(request));
        let mut written = 0;
        eventually("the socket is full", || {
            assert!(poll_once(client.as_mut()).is_pending());
            let before = std::mem::replace(&mut written, caller.watch.written());
            before > 1024 * 1024 && before == written
        })
        .await;
        // There is room again, but nobody drives the client.
        let mut buffer = vec![0; 1024 * 1024];
        for _ in 0..3 {
            while poll_once(pin!(connection.read(&mut buffer))).is_ready() {}
            settle().await;
        }
        drop(client);
        let error = end(&mut connection).await.expect_err("the message was cut");
        assert!(
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset].contains(&error.kind())
        );
    })
    .await;
}

/// More than two records of TLS, so that a write can fail between them.
const SEVERAL_RECORDS: usize = 40_000;

#[tokio::test]
async fn a_write_that_fails_after_some_records_went_out_is_no_proof_that_nothing_was_sent() {
    bounded(async {
        for (left, sent) in [(0, false), (100, true), (20_000, true)] {
            let authority = Authority::new();
            let (address, acceptor) = tls_endpoint(authority.server(&["site.test"], &[])).await;
            let (failing, accepts) = Failing::new(TcpConnector::new());
            let connector = TlsConnector::builder(failing).roots(authority.roots()).http2(false);
            let pool = Pool::new(connector.build().expect("a provider that can be used"));
            let peer = named(address, "site.test");
            let mut server = Server::new(acceptor);
            let first = async { Whole::read(pool.http(&peer, get("/")).await?).await };
            let (_connection, ..) = server.open(first, answer("first")).await;
            accepts.store(left, Ordering::SeqCst);
            let request = Request::post("/").body(Full::from(vec![b'x'; SEVERAL_RECORDS]));
            let client = pool.http(&peer, request.expect("a request"));
            if sent {
                let error = client.await.expect_err("some of it may have arrived");
                assert!(!error.evidence().is_unsent(), "{left}: {error}");
                assert!(error.into_request().is_err());
            } else {
                // Nothing has gone out, so another connection is to serve it, and cannot be opened.
                let error = client.await.expect_err("nothing can be sent");
                assert!(error.evidence().is_unsent(), "{error}");
                assert!(error.into_request().is_ok());
            }
        }
    })
    .await;
}
