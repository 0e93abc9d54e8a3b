//! The same promises against a server that is not ours: a real nginx, and what its own log says.

mod unrest;

use std::fs;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Nginx, Pattern, Served, Upload, Whole, bounded, eventually};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const MIB: usize = 1024 * 1024;

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).expect("a request")
}

/// The log, once all of these requests are in it.
async fn log(nginx: &Nginx, requests: usize) -> Vec<Served> {
    eventually("nginx logs each request", || nginx.served().len() >= requests).await;
    let served = nginx.served();
    assert_eq!(served.len(), requests, "each request was served once");
    served
}

fn connections(served: &[Served]) -> HashSet<u64> {
    served.iter().map(|served| served.connection).collect()
}

async fn fetch(pool: &Pool<TcpConnector>, nginx: &Nginx, path: &str) -> Whole {
    let response = pool.http(&nginx.address(), get(path)).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    Whole::read(response).await.expect("a body")
}

#[tokio::test]
async fn a_thousand_sequential_requests_are_one_connection() {
    bounded(async {
        let nginx = Nginx::start().await;
        let pool = Pool::new(TcpConnector::new());
        for _ in 0..1_000 {
            assert_eq!(fetch(&pool, &nginx, "/hello").await.body, "hello");
        }
        let served = log(&nginx, 1_000).await;
        assert_eq!(connections(&served).len(), 1);
        let numbers: Vec<u64> = served.iter().map(|served| served.request).collect();
        assert_eq!(numbers, (1..=1_000).collect::<Vec<_>>());
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.reused, stats.idle), (1, 999, 1));
    })
    .await;
}

/// Sends so many requests that none reads its body before each has its response, so that they are truly at
/// once: each body is larger than what is read ahead, so its connection cannot be home. Then reads the
/// bodies one after the other. The last of them was for the path that is returned.
async fn burst(pool: &Pool<TcpConnector>, nginx: &Nginx, size: usize) -> String {
    fs::write(nginx.files().join("large"), Pattern::bytes(MIB)).expect("a file");
    let mut clients = JoinSet::new();
    let all_have_answers = Arc::new(Barrier::new(size));
    for number in 0..size {
        let (pool, address) = (pool.clone(), nginx.address());
        let barrier = Arc::clone(&all_have_answers);
        clients.spawn(async move {
            let path = format!("/large?{number}");
            let response = pool.http(&address, get(&path)).await.expect("a response");
            barrier.wait().await;
            (path, response)
        });
    }
    let mut last = String::new();
    for (path, response) in clients.join_all().await {
        Pattern::new().check(&Whole::read(response).await.expect("a body").body);
        last = path;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_at_once_and_again_are_sixty_four_connections() {
    bounded(async {
        let nginx = Nginx::start().await;
        let pool = Pool::new(TcpConnector::new());
        burst(&pool, &nginx, 64).await;
        burst(&pool, &nginx, 64).await;
        let served = log(&nginx, 128).await;
        assert_eq!(connections(&served).len(), 64);
        assert_eq!((pool.stats().opened, pool.stats().idle), (64, 64));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_burst_the_connection_that_came_home_last_serves() {
    bounded(async {
        let nginx = Nginx::start().await;
        let pool = Pool::new(TcpConnector::new());
        let last = burst(&pool, &nginx, 64).await;
        for _ in 0..100 {
            fetch(&pool, &nginx, "/hello").await;
        }
        let served = log(&nginx, 164).await;
        let home_last = served.iter().find(|served| served.line == format!("GET {last} HTTP/1.1"));
        let home_last = home_last.expect("the last of the burst").connection;
        let sequential = served.iter().filter(|served| served.line == "GET /hello HTTP/1.1");
        let sequential: Vec<_> = sequential.cloned().collect();
        assert_eq!(sequential.len(), 100);
        assert_eq!(connections(&sequential), HashSet::from([home_last]));
    })
    .await;
}

#[tokio::test]
async fn large_files_arrive_byte_for_byte() {
    bounded(async {
        let nginx = Nginx::start().await;
        let pool = Pool::new(TcpConnector::new());
        for length in [MIB, 64 * MIB] {
            fs::write(nginx.files().join("large"), Pattern::bytes(length)).expect("a file");
            let whole = fetch(&pool, &nginx, "/large").await;
            assert_eq!(whole.body.len(), length);
            Pattern::new().check(&whole.body);
        }
        assert_eq!(pool.stats().opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_large_upload_arrives_byte_for_byte_in_little_memory() {
    bounded(async {
        let nginx = Nginx::start().await;
        let pool = Pool::new(TcpConnector::new());
        let (upload, gauge) = Upload::new(64 * MIB);
        let request = Request::put("/stored").body(upload).expect("a request");
        let response = pool.http(&nginx.address(), request).await.expect("a response");
        assert_eq!(response.status(), StatusCode::CREATED);
        response.into_body().collect().await.expect("a body");
        let stored = fs::read(nginx.files().join("stored")).expect("what nginx stored");
        assert_eq!(stored.len(), 64 * MIB);
        Pattern::new().check(&stored);
        // hyper gathers up to about 400 KiB before it writes.
        assert!(gauge.peak() <= MIB, "{} bytes were alive at one time", gauge.peak());
        fetch(&pool, &nginx, "/hello").await;
        assert_eq!(pool.stats().opened, 1);
    })
    .await;
}
