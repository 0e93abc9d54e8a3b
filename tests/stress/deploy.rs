//! A rolling deploy: twenty servers are replaced one by one while requests come all the time.
//!
//! For each of them service discovery names its successor and no longer names it (`sync`), then the old server
//! is drained and stopped. What must hold: a request that began before its address was retired gets an answer, even
//! if it still waits for a connection then; and
//! once the drain has resolved no socket to the old server is left in use at this end, whichever of its clients is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{Builder, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, bounded, eventually, get, poll_once, post};
use tokio::task::JoinSet;

use crate::knobs::{Seed, Watchdog, rounds};
use crate::sockets::connected_to;
use crate::test_server::{TestServer, content};

const SERVERS: usize = 20;
const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_every_server_under_load_fails_no_request() {
    deploy(|settings| settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_every_server_under_load_fails_no_request_within_limits() {
    deploy(|settings| settings.max_connections(CLIENTS * 3 / 4)).await;
}

/// What the clients and the deployment share.
struct Site {
    pool: Pool<TcpConnector>,
    /// What service discovery says.
    current: RwLock<Vec<SocketAddr>>,
    ended: AtomicBool,
    answered: AtomicU64,
    /// Requests to an address that had retired when they began.
    late: AtomicUsize,
}

async fn deploy(settings: fn(Builder<TcpConnector>) -> Builder<TcpConnector>) {
    let rounds = rounds(1);
    let _watchdog = Watchdog::new(Duration::from_secs(60) * rounds);
    let seed = Seed::new();
    let mut servers: Vec<_> = (0..SERVERS).map(|_| TestServer::start()).collect();
    let pool = settings(Pool::builder(TcpConnector::new())).build().expect("sensible settings");
    let site = Arc::new(Site {
        pool,
        current: RwLock::new(servers.iter().map(|server| server.address).collect()),
        ended: AtomicBool::new(false),
        answered: AtomicU64::new(0),
        late: AtomicUsize::new(0),
    });
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(ask_until_the_end(Arc::clone(&site), seed.part(client)));
    }
    for server in (0..rounds).flat_map(|_| 0..SERVERS) {
        // Under load, and with a bit of it between one replacement and the next.
        let so_far = site.answered.load(Ordering::Relaxed);
        let enough = so_far + 50;
        eventually("load", || site.answered.load(Ordering::Relaxed) >= enough).await;
        let old = std::mem::replace(&mut servers[server], TestServer::start());
        site.replace(old.address, servers[server].address).await;
        assert_eq!(connected_to(old.address), 0, "the drain has resolved");
        eventually("the server hears of it", || old.open() == 0).await;
    }
    site.ended.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.expect("no failed request");
    }
    let Site { answered, late, .. } = &*site;
    println!("{answered:?} answered, {late:?} too late");
    // The last of the bodies that were dropped early may still be read to its end.
    let is_idle = || {
        let stats = site.pool.stats();
        (stats.opening, stats.leased, stats.waiting) == (0, 0, 0)
    };
    eventually("nothing is lent", is_idle).await;
    let stats = site.pool.stats();
    let idle = (stats.idle + stats.parked) as u64;
    assert_eq!(stats.opened, idle + stats.closed_total(), "none is lost: {stats:?}");
}

impl Site {
    async fn replace(&self, old: SocketAddr, new: SocketAddr) {
        {
            // Held until the pool knows, so that each request begins before or after.
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.retain(|address| *address != old);
            current.push(new);
            self.pool.sync(current.iter().copied());
        }
        bounded(self.pool.drain(&old)).await;
    }

    fn pick(&self, random: &mut fastrand::Rng) -> SocketAddr {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current[random.usize(..current.len())]
    }
}

async fn ask_until_the_end(site: Arc<Site>, mut random: fastrand::Rng) {
    let mut number = 0;
    while !site.ended.load(Ordering::SeqCst) {
        number += 1;
        let way = ["plain", "plain", "halves", "large"][random.usize(..4)];
        let target = format!("/{way}/{number}");
        let address = site.pick(&mut random);
        let request = if random.bool() { get(&target) } else { post(&target, "content") };
        let mut sent = Box::pin(site.pool.http(&address, request));
        let begun = {
            let current = site.current.read().unwrap_or_else(PoisonError::into_inner);
            current.contains(&address).then(|| poll_once(sent.as_mut()))
        };
        let response = match begun {
            Some(Poll::Ready(result)) => result,
            Some(Poll::Pending) => sent.await,
            None => {
                let error = sent.await.expect_err("its address is retired");
                assert_eq!(error.kind(), ErrorKind::Retired);
                site.late.fetch_add(1, Ordering::Relaxed);
                continue;
            }
        };
        let response = response.expect("a response");
        if random.u8(..8) == 0 {
            // Some of it, or nothing, is enough for some.
            let mut body = response.into_body();
            body.frame().await;
        } else {
            assert_eq!(Whole::read(response).await.expect("a body").body, content(&target));
        }
        site.answered.fetch_add(1, Ordering::Relaxed);
    }
}
