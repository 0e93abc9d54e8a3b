//! A gateway that runs, at ports that the system has chosen.

use std::env;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The variable with the arguments of a gateway, one a line.
pub(crate) const ARGUMENTS: &str = "POOLED_FETCH_GATEWAY";

/// Ends with its drop.
pub(crate) struct Gateway {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    /// Where clients come in.
    pub(crate) address: SocketAddr,
    /// Where its page is.
    pub(crate) admin: SocketAddr,
}

impl Gateway {
    /// Before these upstreams, separated by commas, with these options besides.
    pub(crate) async fn start(to: impl ToString, options: &[&str]) -> Self {
        let to = to.to_string();
        let always = ["gateway", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--to", &to];
        // On one thread, so that all clients share the connections to upstreams.
        let threads: &[&str] =
            if options.contains(&"--threads") { &[] } else { &["--threads", "1"] };
        let arguments = [&always, threads, options].concat().join("\n");
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "the_gateway_itself", "--ignored", "--nocapture"])
            .env(ARGUMENTS, arguments)
            .stdout(Stdio::piped())
            .stderr(if options.contains(&"--access-log") {
                Stdio::piped()
            } else {
                Stdio::inherit()
            })
            .kill_on_drop(true)
            .spawn()
            .expect("this test once more");
        let out = child.stdout.take().expect("a pipe");
        let mut said = BufReader::new(out).lines();
        let address = listening(&mut said, "listening on ").await;
        let admin = listening(&mut said, "page on ").await;
        let gateway = Self { child, said, address, admin };
        // Each upstream is dialled once at the start: now the first request finds that connection idle.
        gateway.until(|upstreams| upstreams.iter().all(|one| one["state"] != "idle")).await;
        gateway
    }

    /// What it answers at this path of its page.
    pub(crate) async fn look(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Empty::<Bytes>::new()).expect("a request");
        let pool = Pool::new(TcpConnector::new());
        let response = pool.http(&self.admin, request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a whole one").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("text"))
    }

    /// What it shows of the upstreams.
    pub(crate) async fn upstreams(&self) -> Vec<Value> {
        let (_, state) = self.look("/state").await;
        let state: Value = serde_json::from_str(&state).expect("JSON");
        state["upstreams"].as_array().expect("a list").clone()
    }

    /// Looks until the upstreams are as they should be.
    pub(crate) async fn until(&self, are: impl Fn(&[Value]) -> bool) {
        while !are(&self.upstreams().await) {
            tokio::task::yield_now().await;
        }
    }

    /// The next line of its access log.
    pub(crate) async fn logged(&mut self) -> String {
        let log = self.child.stderr.as_mut().expect("an access log");
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(log.read_u8().await.expect("a line"));
        }
        String::from_utf8(line).expect("text")
    }

    /// Tells it to stop, and waits until it says that it does.
    pub(crate) async fn stop(&mut self) {
        let id = self.child.id().expect("a child that runs").to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "a child of ours");
        while let Some(line) = self.said.next_line().await.expect("a pipe") {
            if line == "stopping" {
                return;
            }
        }
        panic!("it ended without a word");
    }

    /// How it ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("a child of ours")
    }
}

async fn listening(said: &mut Lines<BufReader<ChildStdout>>, begin: &str) -> SocketAddr {
    while let Some(line) = said.next_line().await.expect("a pipe") {
        // The harness of tests says its own first, without an end of its line.
        if let Some((_, url)) = line.split_once(begin) {
            let address = url.split("://").nth(1).expect("a URL").trim_end_matches('/');
            return address.parse().expect("an address");
        }
    }
    panic!("the gateway did not start");
}
