//! A handshake that takes too long, and one whose secrets are written down.

use std::error::Error as _;
use std::fs;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use http::Request;
use pool_core::{Error, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{HandshakeError, ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, Endpoint, Server, Whole, answer, bounded, get, memory_endpoint, tcp_endpoint,
    tls_endpoint,
};
use rustls::RootCertStore;
use tokio::process::Command;
use tokio::time::Instant;

use super::{fetch, site, trusting};

const NAME: &str = "site.test";

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a valid name")
}

/// Whether an error is that of a handshake that was not done in time.
fn is_late_handshake(error: &Error) -> bool {
    let inner = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let handshake = inner.and_then(|error| error.get_ref());
    let handshake = handshake.and_then(|error| error.downcast_ref::<HandshakeError>());
    handshake.is_some_and(HandshakeError::is_timeout)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_stays_silent_fails_after_the_handshake_timeout() {
    bounded(async {
        let Endpoint { connector, address, mut acceptor } = memory_endpoint();
        let limit = Duration::from_secs(5);
        let connector = TlsConnector::builder(connector).handshake_timeout(limit).build();
        let pool = Pool::new(connector.expect("a provider that can be used"));
        let peer = TlsAddress::new(address, name());
        let since = Instant::now();
        let error = pool.http(&peer, get("/")).await.expect_err("no handshake");
        assert_eq!(since.elapsed(), limit);
        assert_eq!(
            error.to_string(),
            "connecting to site.test (\"memory.test\"): TLS handshake with site.test: not done within 5s"
        );
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(is_late_handshake(&error));
        assert!(error.evidence().is_unsent());
        let request: Request<_> = error.into_request().expect("nothing was sent");
        assert_eq!(request.uri(), "/");
        acceptor.accept().await.expect("it had accepted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_of_its_own_a_handshake_is_bounded_by_the_connect_timeout() {
    bounded(async {
        let Endpoint { connector, address, acceptor: _acceptor } = memory_endpoint();
        let pool = Pool::new(TlsConnector::new(connector));
        let since = Instant::now();
        let error = pool.http(&TlsAddress::new(address, name()), get("/")).await;
        let error = error.expect_err("no handshake");
        assert_eq!(since.elapsed(), Duration::from_secs(10));
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(!is_late_handshake(&error));
    })
    .await;
}

/// Names the process in which the environment is as this test needs it.
const IN_CHILD: &str = "POOLED_FETCH_KEY_LOG";

/// Opens two connections that log their secrets, and one that does not.
async fn open_three() {
    let authority = Authority::new();
    for log in [true, false, true] {
        let config = authority.server(&[NAME], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let connector = TlsConnector::builder(TcpConnector::new())
            .roots(authority.roots())
            .key_log(log)
            .build()
            .expect("a provider that can be used");
        let pool = Pool::new(connector);
        let peer = TlsAddress::new(address, name());
        let fetch = async { Whole::read(pool.http(&peer, get("/")).await?).await };
        Server::new(acceptor).open(fetch, answer("secret")).await;
    }
}

/// The environment of this process is shared with other tests, and cannot be changed without unsafe code; so the
/// test runs itself once more.
#[tokio::test]
async fn the_secrets_of_a_connection_are_logged_where_the_environment_says_and_only_on_request() {
    bounded(async {
        if std::env::var_os(IN_CHILD).is_some() {
            return open_three().await;
        }
        let log = std::env::temp_dir().join(format!("pooled-fetch-keys-{}", std::process::id()));
        fs::remove_file(&log).ok();
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", std::thread::current().name().expect("the name of this test")])
            .env("SSLKEYLOGFILE", &log)
            .env(IN_CHILD, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        assert!(child.await.expect("it can be run").success());
        let text = fs::read_to_string(&log).expect("a log");
        fs::remove_file(&log).expect("a file of ours");
        let secrets = text.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 "));
        assert_eq!(secrets.count(), 2, "two of the three connections asked for it: {text}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_knows_no_tls_is_an_error_of_the_handshake() {
    bounded(async {
        let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
        let mut server = Server::new(acceptor);
        let pool = trusting(RootCertStore::empty());
        let peer = site(address);
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
