//! A connection over TLS says farewell before it closes, and what was cut off is not taken for the whole.

use std::io;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::thread;

use http::Request;
use http_body_util::Full;
use pool_core::{ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::TlsConnector;
use pooled_fetch_tests::{
    Authority, Backend, Caller, Duplex, Endpoint, Failing, Probe, SERVER_NAME, Server, Upload,
    Whole, answer, bounded, eventually, get, poll_once, settle, start, tls_endpoint,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::site;

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
async fn idle() -> (Caller, Box<dyn Duplex>) {
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
        let (caller, mut connection) = idle().await;
        drop(caller);
        end(&mut connection).await.expect("a farewell");

        // Where there is no runtime, and nothing could be waited for.
        let (caller, mut connection) = idle().await;
        let dropped = thread::spawn(move || drop(caller));
        end(&mut connection).await.expect("a farewell");
        dropped.join().expect("no panic");
    })
    .await;
}

#[tokio::test]
async fn what_a_cancelled_request_had_not_sent_yet_is_not_sent_with_the_farewell() {
    bounded(async {
        let (caller, mut connection) = idle().await;
        // More than the socket takes, so that a part of it waits in the session.
        let (upload, _) = Upload::new(64 * 1024 * 1024);
        let request = Request::post("/").body(upload).expect("a request");
        let mut client = caller.send(request);
        let mut written = 0;
        eventually("the socket is full", || {
            assert!(poll_once(client.as_mut()).is_pending());
            let before = std::mem::replace(&mut written, caller.watch.written());
            before > 1024 * 1024 && before == written
        })
        .await;
        // There is room again, but no task drives the client.
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
            let peer = site(address);
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
