//! Ten thousand idle connections that close or are parked at one instant: how long do requests to others wait?
//!
//! `cargo bench --package pooled-fetch-bench --bench closing`
//!
//! For each kind of runtime and each way to go (closed by their server, expired, or parked) the worst latency of
//! requests to another server, one every millisecond, beside that of a quiet run; medians of ten runs. The row of bare
//! sockets tells what is not the pool's: tasks that each hold a socket, and drop it when its server has closed it.
//!
//! The client has one processor to itself and the servers have the other, as far as there are two: a server that closes
//! while the client runs is what keeps requests waiting longest.

mod server_process;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt, Empty};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use rustix::thread::{CpuSet, sched_setaffinity};
use server_process::{ServerProcess, serve_if_asked};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const RUNS: usize = 10;

const STEP: usize = 500;

/// Fewer where the system allows fewer descriptors; the client and the server need one each.
const CONNECTIONS: usize = 9_500;

/// Long enough for the connections to go on a busy machine.
const OBSERVED: Duration = Duration::from_secs(2);

/// The processor of each.
const CLIENT: usize = 0;
const SERVERS: usize = 1;

fn main() {
    if serve_if_asked() {
        return;
    }
    run_on(CLIENT);
    println!("worst latency of requests to another server, median of {RUNS} runs, in ms");
    println!("{:<16}{:<14}{:>8}{:>10}{:>12}", "runtime", "", "quiet", "going", "difference");
    for (name, make) in [("current-thread", current as fn() -> Runtime), ("two workers", two)] {
        for (way, go) in WAYS {
            let runs: Vec<_> = (0..RUNS).map(|_| make().block_on(run(go))).collect();
            let quiet = median(runs.iter().map(|run| run.0).collect());
            let going = median(runs.iter().map(|run| run.1).collect());
            let difference = going.saturating_sub(quiet);
            println!("{name:<16}{way:<14}{:>8}{:>10}{:>12}", ms(quiet), ms(going), ms(difference));
        }
    }
}

/// Keeps this thread on one processor, and what it starts from now on.
fn run_on(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor);
    // Without a second processor the figures are those of one.
    let _ = sched_setaffinity(None, &processors);
}

fn current() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[derive(Clone, Copy)]
enum Way {
    BareSockets,
    Closed,
    Expired,
    Parked,
}

const WAYS: [(&str, Way); 4] = [
    ("bare sockets", Way::BareSockets),
    ("closed", Way::Closed),
    ("expired", Way::Expired),
    ("parked", Way::Parked),
];

/// Longer than it takes to open them all, and to see what is quiet.
const SOON: Duration = Duration::from_secs(6);

const NEVER: Duration = Duration::from_secs(90);

/// The worst latency without anything else, and while the connections go.
async fn run(way: Way) -> (Duration, Duration) {
    // A process starts where the thread is that starts it.
    run_on(SERVERS);
    let (crowd, other) = (ServerProcess::start(), ServerProcess::start());
    run_on(CLIENT);
    let (idle_timeout, park_after) = match way {
        Way::BareSockets | Way::Closed => (NEVER, None),
        Way::Expired => (SOON, None),
        Way::Parked => (NEVER, Some(SOON)),
    };
    let pool = Pool::builder(TcpConnector::new())
        .idle_timeout(idle_timeout)
        .park_after(park_after)
        .checkout_timeout(None)
        .max_waiters_per_address(None)
        .build()
        .expect("settings that make sense");
    let mut sockets = JoinSet::new();
    // In steps, or the listener's queue overflows and what looks open here was never accepted there.
    for step in (STEP..=CONNECTIONS).step_by(STEP) {
        match way {
            Way::BareSockets => hold(&mut sockets, crowd.address).await,
            _ => pool.warm(&crowd.address, step).await.expect("as many descriptors"),
        }
    }
    let full = pool.stats().idle + sockets.len();
    assert!(full >= CONNECTIONS, "not all connections are idle: {:?}", pool.stats());
    request(&pool, other.address, "/").await;
    let quiet = worst(&pool, other.address, OBSERVED).await;
    let going = match way {
        Way::BareSockets | Way::Closed => {
            let address = crowd.address;
            let close = tokio::spawn(async move {
                // A pool of its own, since every connection to the server closes with this request.
                request(&Pool::new(TcpConnector::new()), address, "/close").await;
            });
            let going = worst(&pool, other.address, OBSERVED).await;
            close.abort();
            going
        }
        Way::Expired | Way::Parked => worst(&pool, other.address, SOON + OBSERVED).await,
    };
    while sockets.try_join_next().is_some() {}
    let left = match way {
        Way::Parked => pool.stats().idle,
        _ => pool.stats().idle + pool.stats().parked + sockets.len(),
    };
    assert!(left < CONNECTIONS / 10, "{left} connections have not gone");
    (quiet, going)
}

/// Opens one more step of sockets, and holds each until its server closes it.
async fn hold(sockets: &mut JoinSet<()>, address: SocketAddr) {
    for _ in 0..STEP {
        let mut socket = TcpStream::connect(address).await.expect("as many descriptors");
        sockets.spawn(async move {
            let _ = socket.read(&mut [0]).await;
        });
    }
}

async fn worst(pool: &Pool<TcpConnector>, address: SocketAddr, observed: Duration) -> Duration {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let mut worst = Duration::ZERO;
    while started.elapsed() < observed {
        let due = ticks.tick().await;
        request(pool, address, "/").await;
        // From the moment when it was due: a runtime that is held up starts it late.
        worst = worst.max(due.elapsed());
    }
    worst
}

async fn request(pool: &Pool<TcpConnector>, address: SocketAddr, path: &str) {
    let request = Request::get(path).body(Empty::new()).expect("a valid request");
    let Ok(response) = pool.http(&address, request).await else { return };
    let _ = response.into_body().collect().await;
}

fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}

fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}
