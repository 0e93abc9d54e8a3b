//! One pool, used from a thousand runtimes that come and go, beside one that stands still.
//!
//! No request hangs, and none fails but those of a runtime that has gone.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use pool_core::{Builder, Error, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, get, poll_once};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

use crate::knobs::{Watchdog, rounds};
use crate::test_server::TestServer;

type TcpPool = Pool<TcpConnector>;

/// So many runtimes exist at a time.
const THREADS: usize = 4;

#[test]
fn a_thousand_runtimes_and_one_that_stands_still_share_a_pool() {
    come_and_go(|settings| settings);
}

#[test]
fn a_thousand_runtimes_and_one_that_stands_still_share_the_limit_of_an_address() {
    come_and_go(|settings| settings.max_connections_per_address(8));
}

#[test]
fn a_thousand_runtimes_and_one_that_stands_still_share_the_limit_of_a_pool() {
    come_and_go(|settings| settings.max_connections(8));
}

fn come_and_go(settings: impl FnOnce(Builder<TcpConnector>) -> Builder<TcpConnector>) {
    let rounds = rounds(1_000);
    let _watchdog = Watchdog::new(Duration::from_secs(60) + Duration::from_millis(20) * rounds);
    let server = TestServer::start();
    // Its timer would belong to a runtime that may stand still.
    let settings = settings(Pool::builder(TcpConnector::new())).checkout_timeout(None);
    let pool = settings.build().expect("sensible settings");

    // Of its connections one is lent and three rest, and one of its requests waits or sleeps.
    let still = current_thread();
    let lent = still.block_on(fetch_some(&pool, &server));
    let mut asleep = Box::pin(send(&pool, &server, "/plain/asleep"));
    {
        let _there = still.enter();
        assert!(poll_once(asleep.as_mut()).is_pending());
    }

    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let round = next.fetch_add(1, Ordering::Relaxed)
                    && round < rounds
                {
                    one_runtime(&pool, &server, round);
                }
            });
        }
    });

    // What slept all the time goes on as if nothing had been.
    still.block_on(async {
        let response = asleep.await.expect("a response");
        assert_eq!(Whole::read(response).await.expect("a body").body, "/plain/asleep");
        assert_eq!(
            Whole::read(lent).await.expect("a body").body,
            crate::test_server::content("/large/lent")
        );
        fetch(&pool, &server, "/plain/awake").await.expect("a response");
        let stats = pool.stats();
        assert_eq!((stats.opening, stats.leased, stats.waiting), (0, 0, 0));
        let idle = (stats.idle + stats.parked) as u64;
        assert_eq!(stats.opened, idle + stats.closed_total(), "none is lost: {stats:?}");
        drop(pool);
        pooled_fetch_tests::eventually("all is closed", || server.open() == 0).await;
    });
}

/// Uses the pool in a runtime that lives for this only.
fn one_runtime(pool: &TcpPool, server: &TestServer, round: u32) {
    let several = round % 4 == 1;
    let runtime = if several { two_workers() } else { current_thread() };
    runtime.block_on(async {
        let mut requests = JoinSet::new();
        for number in 0..3 {
            let (target, pool) = (format!("/plain/{round}/{number}"), pool.clone());
            let address = server.address;
            requests.spawn(async move {
                let response = pool.http(&address, get(&target)).await?;
                assert_eq!(Whole::read(response).await?.body, target);
                Ok::<_, Error>(())
            });
        }
        for outcome in requests.join_all().await {
            outcome.expect("a response");
        }
    });
    match round % 3 {
        0 => ends_with_requests_under_way(pool, server, runtime, several),
        1 => ends_under_a_request(pool, server, runtime),
        _ => drop(runtime),
    }
}

/// The tasks go with their runtime, wherever they are.
fn ends_with_requests_under_way(
    pool: &TcpPool,
    server: &TestServer,
    runtime: Runtime,
    several: bool,
) {
    let held = server.held();
    for _ in 0..2 {
        let (pool, address) = (pool.clone(), server.address);
        runtime.spawn(async move { drop(pool.http(&address, get("/held/")).await) });
    }
    if !several {
        // Until the server has seen one of them, or one of another runtime.
        runtime.block_on(pooled_fetch_tests::eventually("a request", || server.held() > held));
    }
    drop(runtime);
}

/// The request outlives its runtime, and ends: in an answer that another runtime has asked for again, or in an
/// error.
fn ends_under_a_request(pool: &TcpPool, server: &TestServer, runtime: Runtime) {
    let mut stray = pin!(send(pool, server, "/plain/"));
    let begun = {
        let _there = runtime.enter();
        poll_once(stray.as_mut())
    };
    drop(runtime);
    let outcome = match begun {
        // The server may answer while the request is still being polled.
        Poll::Ready(outcome) => outcome,
        Poll::Pending => current_thread().block_on(stray),
    };
    if let Err(error) = outcome {
        // It waited for a connection, had one, or had sent something over it.
        let kinds = [ErrorKind::NoRuntime, ErrorKind::Unsent, ErrorKind::Response];
        assert!(kinds.contains(&error.kind()), "{error}");
    }
}

async fn fetch_some(pool: &TcpPool, server: &TestServer) -> http::Response<pool_core::Body> {
    let lent = send(pool, server, "/large/lent").await.expect("a response");
    let (a, b, c) = tokio::join!(
        fetch(pool, server, "/plain/a"),
        fetch(pool, server, "/plain/b"),
        fetch(pool, server, "/plain/c"),
    );
    for outcome in [a, b, c] {
        outcome.expect("a response");
    }
    lent
}

fn send(
    pool: &TcpPool,
    server: &TestServer,
    target: &str,
) -> impl Future<Output = Result<http::Response<pool_core::Body>, Error>> + use<> {
    let (pool, address, request) = (pool.clone(), server.address, get(target));
    async move { pool.http(&address, request).await }
}

async fn fetch(pool: &TcpPool, server: &TestServer, target: &str) -> Result<Whole, Error> {
    Whole::read(send(pool, server, target).await?).await
}

fn current_thread() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn two_workers() -> Runtime {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}
