//! A real nginx that closes, reloads and restarts under load: no GET fails that could be saved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use pool_core::{Backoff, Error, ErrorKind, Pool, Written};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Nginx, Setup, Whole, bounded};
use std::net::SocketAddr;
use tokio::task::JoinSet;
use tokio::time::interval;

const CLIENTS: usize = 16;

/// How often it is reloaded, or restarted, a second apart.
fn times() -> u32 {
    let times = std::env::var("POOL_STRESS_RELOADS").ok().and_then(|times| times.parse().ok());
    times.unwrap_or(5)
}

/// Clients that send GETs and POSTs in turn, without a pause, until they are told to stop.
struct Load {
    clients: JoinSet<Vec<(Method, Error)>>,
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Load {
    fn start(pool: &Pool<TcpConnector>, address: SocketAddr) -> Self {
        let (over, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |_| {
            let (pool, over, sent) = (pool.clone(), Arc::clone(&over), Arc::clone(&sent));
            async move {
                let mut failed = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    for method in [Method::GET, Method::POST] {
                        sent.fetch_add(1, Ordering::Relaxed);
                        if let Err(error) = fetch(&pool, address, &method).await {
                            failed.push((method, error));
                        }
                    }
                    // The servers need the processor as well.
                    tokio::task::yield_now().await;
                }
                failed
            }
        };
        Self { clients: (0..CLIENTS).map(client).collect(), over, sent }
    }

    /// What has failed of how many.
    async fn stop(self) -> (Vec<(Method, Error)>, u64) {
        self.over.store(true, Ordering::Relaxed);
        let failed = self.clients.join_all().await.into_iter().flatten().collect();
        (failed, self.sent.load(Ordering::Relaxed))
    }
}

async fn fetch(
    pool: &Pool<TcpConnector>,
    address: SocketAddr,
    method: &Method,
) -> Result<(), Error> {
    let request = Request::builder().method(method).uri("/hello").body(Full::from("content"));
    let response = pool.http(&address, request.expect("a request")).await?;
    assert_eq!(Whole::read(response).await?.body, "hello");
    Ok(())
}

async fn each_second(mut act: impl AsyncFnMut()) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.tick().await;
    for _ in 0..times() {
        ticks.tick().await;
        act().await;
    }
    ticks.tick().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_get_fails_while_nginx_closes_and_reloads() {
    bounded(async {
        let nginx = Nginx::start_as(Setup { keepalive_requests: 100, has_master: true }).await;
        let pool = Pool::new(TcpConnector::new());
        let load = Load::start(&pool, nginx.address());
        each_second(async || nginx.reload()).await;
        let (failed, sent) = load.stop().await;
        let stats = pool.stats();
        println!("{sent} requests, {} failed: {stats:?}", failed.len());
        for (method, error) in failed {
            assert_eq!(method, Method::POST, "{error}");
            // Not that of a request that could have been saved.
            let evidence = error.evidence();
            assert_eq!(error.kind(), ErrorKind::Response, "{error}");
            assert_ne!(evidence.written(), Written::Nothing, "{error}");
            assert!(!evidence.is_unsent() && error.into_request().is_err());
        }
        assert!(sent > 1_000 && stats.opened > u64::from(times()), "{sent} requests: {stats:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_while_nginx_restarts_says_why_it_could_not_be_saved() {
    bounded(async {
        let mut nginx = Nginx::start_as(Setup { keepalive_requests: 100, has_master: false }).await;
        // So that every failure is one of its own, and not the memory of another.
        let pool = Pool::builder(TcpConnector::new()).backoff(Backoff::Off).build();
        let pool = pool.expect("settings that make sense");
        let load = Load::start(&pool, nginx.address());
        each_second(async || nginx.restart().await).await;
        let (failed, sent) = load.stop().await;
        println!("{sent} requests, {} failed: {:?}", failed.len(), pool.stats());
        for (method, error) in failed {
            let evidence = error.evidence();
            let refused = error.kind() == ErrorKind::Connect;
            let cut = evidence.bytes_read() > 0;
            let lost = method == Method::POST && !evidence.is_unsent();
            assert!(refused || evidence.is_fresh() || cut || lost, "{method}: {error}");
        }
    })
    .await;
}
