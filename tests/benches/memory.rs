//! How much heap a connection at rest holds: idle with its HTTP state, and parked.
//!
//! `cargo bench --package pooled-fetch-tests --bench memory`

mod peer;

use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Empty};
use peer::{Peer, serve_if_asked};
use pool_core::{Pool, Stats};
use pool_tcp::TcpConnector;
use tokio::task::JoinSet;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const CONNECTIONS: usize = 1_000;

fn main() {
    if serve_if_asked() {
        return;
    }
    let _counting = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let peer = Peer::start();
    let pool = Pool::builder(TcpConnector::new()).park_after(Duration::from_secs(3)).build();
    let pool = pool.expect("settings that make sense");
    pool.warm(&peer.address, 1).await.expect("a server that listens");
    let before = heap();
    pool.warm(&peer.address, CONNECTIONS + 1).await.expect("a server that listens");
    let mut requests = JoinSet::new();
    for _ in 0..=CONNECTIONS {
        let (pool, address) = (pool.clone(), peer.address);
        requests.spawn(async move {
            let request = Request::get("/").body(Empty::new()).expect("a valid request");
            let response = pool.http(&address, request).await.expect("a response");
            response.into_body().collect().await.expect("a body");
        });
    }
    requests.join_all().await;
    until(&pool, |stats| stats.idle == CONNECTIONS + 1).await;
    println!("idle    {:>6} bytes of heap for each connection", (heap() - before) / CONNECTIONS);
    until(&pool, |stats| stats.parked == CONNECTIONS + 1).await;
    println!("parked  {:>6} bytes of heap for each connection", (heap() - before) / CONNECTIONS);
}

fn heap() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// Waits, for half a minute at most.
async fn until(pool: &Pool<TcpConnector>, reached: impl Fn(&Stats) -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..3_000 {
        ticks.tick().await;
        if reached(&pool.stats()) {
            return;
        }
    }
    panic!("not reached: {:?}", pool.stats());
}
