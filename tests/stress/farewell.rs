//! A connection that the pool closes is closed at once, and not when something else happens to come by.
//!
//! The ordered map of idle connections frees its memory late, and in a quiet process perhaps never. So the
//! client lives in a process of its own, evicts, drains, or drops its pool, and then does nothing more; the
//! server here must see the end of the connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, io};

use pool_core::{Pool, Reason};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, answer, get};

use crate::knobs::Watchdog;

/// Tells the process of the client where the server is, and what to do.
const SERVER: &str = "POOL_STRESS_FAREWELL";

/// So many connections rest when all of them must go; one of them in front of the map, the others in it.
const CONNECTIONS: usize = 4;

#[test]
fn the_server_sees_the_end_of_connections_that_are_evicted() {
    ends("evict", 1);
}

#[test]
fn the_server_sees_the_end_of_connections_that_are_drained() {
    ends("drain", CONNECTIONS);
}

#[test]
fn the_server_sees_the_end_of_connections_whose_pool_is_dropped() {
    ends("drop", CONNECTIONS);
}

/// Serves the client of another process, and waits until as many connections have ended as it closes.
fn ends(way: &str, closed: usize) {
    let _watchdog = Watchdog::new(Duration::from_secs(30));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut client = Quiet::start(&format!("{way} {address}"));
    let mut streams: Vec<_> =
        (0..CONNECTIONS).map(|_| listener.accept().expect("a client").0).collect();
    for stream in &mut streams {
        read_request(stream);
    }
    // All of them at once, so that each has a connection of its own.
    for stream in &mut streams {
        stream.write_all(&answer("once")).expect("a client that listens");
    }
    client.until_quiet();
    // Those that have been idle longest go, and the end is all that comes.
    for stream in &mut streams[..closed] {
        assert_eq!(stream.read(&mut [0]).expect("an end in order"), 0);
    }
    for stream in &streams[closed..] {
        stream.set_nonblocking(true).expect("a socket");
        let error = stream.peek(&mut [0]).expect_err("neither bytes nor an end");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

fn read_request(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).expect("a request"), 1, "a request");
        head.push(byte[0]);
    }
}

/// A process that has done what it was told, and now does nothing.
struct Quiet {
    process: Child,
}

impl Quiet {
    fn start(what: &str) -> Self {
        let this = env::current_exe().expect("the path of this program");
        let arguments =
            ["--exact", "farewell::the_client_of_another_process", "--ignored", "--nocapture"];
        let mut command = Command::new(this);
        command.args(arguments).env(SERVER, what).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self { process: command.spawn().expect("another process") }
    }

    fn until_quiet(&mut self) {
        let output = self.process.stdout.as_mut().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let quiet = lines.any(|line| line.expect("text").ends_with("quiet"));
        assert!(quiet, "the client has failed");
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // It waits for the end of its input, unless it has failed already.
        drop(self.process.stdin.take());
        self.process.wait().ok();
    }
}

#[test]
#[ignore = "started by the tests above, in a process of its own"]
fn the_client_of_another_process() {
    let what = env::var(SERVER).expect("what to do");
    let (way, address) = what.split_once(' ').expect("a way and an address");
    let address: SocketAddr = address.parse().expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let limit = if way == "evict" { CONNECTIONS - 1 } else { CONNECTIONS };
    let settings = Pool::builder(TcpConnector::new()).max_idle(limit);
    let pool = settings.build().expect("sensible settings");
    runtime.block_on(async {
        let clients = (0..CONNECTIONS).map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { Whole::read(pool.http(&address, get("/")).await?).await })
        });
        let clients: Vec<_> = clients.collect();
        for client in clients {
            client.await.expect("no panic").expect("a response");
        }
        if way == "drain" {
            pool.drain(&address).await;
        }
    });
    let stats = pool.stats();
    match way {
        "evict" => assert_eq!(stats.closed(Reason::Evicted), 1),
        "drain" => assert_eq!(stats.closed(Reason::Retired), CONNECTIONS as u64),
        _ => drop(pool),
    }
    println!("quiet");
    // The runtime is not driven any more, and nothing is dropped before the other side has seen it.
    io::stdin().read_to_end(&mut Vec::new()).expect("the end of the input");
}
