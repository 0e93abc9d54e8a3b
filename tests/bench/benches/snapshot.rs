//! What does a snapshot of ten thousand addresses take, beside requests to one more?
//!
//! `cargo bench --package pooled-fetch-bench --bench snapshot`
//!
//! Every address has an idle connection, over a stream in memory. The requests are timed without snapshots and with one
//! after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http::uri::Authority;
use http_body_util::{BodyExt, Empty};
use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const ADDRESSES: u32 = 10_000;
const SNAPSHOTS: usize = 100;
const REQUESTS: u32 = 20_000;

struct Memory;

#[async_trait]
impl Connector for Memory {
    type Address = u32;
    type Stream = DuplexStream;

    async fn connect(&self, _: &u32, _: &ConnectOptions) -> io::Result<Connected<DuplexStream>> {
        let (ours, mut theirs) = duplex(512);
        tokio::spawn(async move {
            let mut request = [0; 512];
            while theirs.read(&mut request).await.is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                theirs.write_all(answer).await.ok();
            }
        });
        Ok(Connected::new(ours))
    }

    fn target(&self, _: &u32) -> Target {
        Target::http(Authority::from_static("memory.test"))
    }
}

async fn request(pool: &Pool<Memory>, address: u32) {
    let request = Request::get("/").body(Empty::new()).expect("a valid request");
    let response = pool.http(&address, request).await.expect("a response");
    response.into_body().collect().await.expect("a body");
}

async fn requests(pool: &Pool<Memory>) -> Duration {
    let begun = Instant::now();
    for _ in 0..REQUESTS {
        request(pool, ADDRESSES).await;
    }
    begun.elapsed() / REQUESTS
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let pool = Pool::new(Memory);
    for address in 0..ADDRESSES {
        request(&pool, address).await;
    }
    let mut times: Vec<_> = (0..SNAPSHOTS)
        .map(|_| {
            let begun = Instant::now();
            assert!(pool.snapshot().len() >= ADDRESSES as usize);
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "a snapshot of {ADDRESSES} addresses: {:?} in the median, {:?} at most",
        times[SNAPSHOTS / 2],
        times[SNAPSHOTS - 1]
    );
    let alone = requests(&pool).await;
    let ends = Arc::<AtomicBool>::default();
    let (other, end) = (pool.clone(), Arc::clone(&ends));
    let snapshots = std::thread::spawn(move || {
        let mut count = 0;
        while !end.load(Ordering::Relaxed) {
            other.snapshot();
            count += 1;
        }
        count
    });
    let beside = requests(&pool).await;
    ends.store(true, Ordering::Relaxed);
    let count = snapshots.join().expect("no panic");
    println!("a request: {alone:?} alone, {beside:?} beside {count} snapshots one after the other");
}
