//! A hundred thousand addresses that are seen once and refuse: what does the pool keep of them?
//!
//! `cargo bench --package pooled-fetch-bench --bench remembered`
//!
//! All are loopback addresses with a port on which nothing listens. dhat counts the heap of the process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Request;
use http_body_util::Empty;
use pool_core::Pool;
use pool_tcp::TcpConnector;
use tokio::net::TcpListener;

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

const ADDRESSES: u32 = 100_000;

/// The counts in between show that the heap does not grow with the addresses.
const STEP: u32 = ADDRESSES / 10;

/// Long enough for the pool to look for hosts of which nothing is left.
const AT_REST: Duration = Duration::from_secs(2);

fn main() {
    let _counting = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    drop(listener);
    let pool = Pool::new(TcpConnector::new());
    let before = heap();
    println!("{:>10}{:>14}{:>24}", "addresses", "heap, bytes", "bytes for each address");
    for number in 1..=ADDRESSES {
        // None is the address of the listener.
        let host = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + number);
        let request = Request::get("/").body(Empty::new()).expect("a valid request");
        let refused = pool.http(&SocketAddr::from((host, port)), request).await;
        assert!(refused.is_err(), "something listens at {host}");
        if number % STEP == 0 {
            let heap = heap() - before;
            println!("{number:>10}{heap:>14}{:>24}", heap / number as usize);
        }
    }
    let mut ticks = tokio::time::interval(AT_REST);
    ticks.tick().await;
    ticks.tick().await;
    println!("{:>10}{:>14}", "at rest", heap() - before);
}

fn heap() -> usize {
    dhat::HeapStats::get().curr_bytes
}
