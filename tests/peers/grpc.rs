//! A gRPC server on C core, which ends a client that asks for signs of life more often than it sends.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pool_core::{Http2, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, bounded, eventually};
use tokio::time::timeout;

/// Debian's own, which has the packages of Debian.
const PYTHON: &str = "/usr/bin/python3";

/// Long enough for a call to be on its way, and far too short for its answer.
const SHORT: Duration = Duration::from_millis(10);

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// None if it is not installed.
    fn start() -> Option<Self> {
        let has = Command::new(PYTHON).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
        if !has.is_ok_and(|status| status.success()) {
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/grpc_server.py");
        let mut process = Command::new(PYTHON)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program that was found");
        let mut said = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut said).expect("a port");
        let port = said.trim().parse().expect("a port");
        Some(Self { process, address: (Ipv4Addr::LOCALHOST, port).into() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn call(method: &str) -> Request<Full<Bytes>> {
    Request::post(format!("/test.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        // Not compressed, and of length three.
        .body(Full::from(&b"\0\0\0\0\x03one"[..]))
        .expect("a request")
}

#[tokio::test]
async fn a_hundred_calls_that_are_cancelled_in_a_row_end_no_connection() {
    bounded(async {
        let Some(server) = Server::start() else {
            println!("skipped: the Python package of gRPC is not installed");
            return;
        };
        let pool = Pool::builder(TcpConnector::new()).http2(Http2::Assumed).build();
        let pool = pool.expect("settings that make sense");
        for _ in 0..100 {
            let slow = pool.http(&server.address, call("Slow"));
            timeout(SHORT, slow).await.expect_err("it takes a minute");
            // What doubts there are have been settled.
            eventually("it may be lent", || pool.stats().idle == 1).await;
        }
        let response = pool.http(&server.address, call("Say")).await.expect("a response");
        let whole = Whole::read(response).await.expect("a body");
        assert_eq!(whole.body, &b"\0\0\0\0\x03one"[..]);
        assert_eq!(
            whole.trailers.as_ref().map(|trailers| &trailers["grpc-status"]),
            Some(&"0".parse().expect("a value"))
        );
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.closed_total()), (1, 0), "{stats:?}");
    })
    .await;
}
