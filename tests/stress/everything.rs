//! Everything at once, from several runtimes, with servers that misbehave: and the counts are right at the end.
//!
//! The law: what was opened is lent, at rest, or closed, and the streams say the same as the counts. No
//! request gets the answer to another, no limit is exceeded, and no request waits for ever.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{Error, ErrorKind, Pool, Reason};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Pieces, Probe, Watch, Whole, eventually, get, post};
use tokio::runtime;
use tokio::task::JoinSet;

use crate::knobs::{Seed, Watchdog, polled, rounds};
use crate::test_server::{TestServer, content};

type ProbedPool = Pool<Probe<TcpConnector>>;

const SERVERS: usize = 3;
const RUNTIMES: usize = 3;
const WORKERS: usize = 8;
const STEPS: usize = 60;

#[test]
fn whatever_happens_at_once_every_opened_connection_is_idle_or_closed() {
    let rounds = rounds(20);
    let _watchdog = Watchdog::new(Duration::from_secs(30) + Duration::from_secs(10) * rounds);
    let seed = Seed::new();
    let servers: Arc<Vec<_>> = Arc::new((0..SERVERS).map(|_| TestServer::start()).collect());
    let mut steps = 0;
    for round in 0..rounds as usize {
        // Between one round and the next lie the parts of its workers.
        let part = round * (RUNTIMES * WORKERS + 1);
        let (limits, pool, watch) = set_up(&mut seed.part(part));
        thread::scope(|scope| {
            for number in 0..RUNTIMES {
                let parts = part + 1 + number * WORKERS;
                let (pool, servers, seed) = (&pool, &servers, &seed);
                scope.spawn(move || {
                    one_runtime(number, pool, servers, |worker| seed.part(parts + worker));
                });
            }
        });
        steps += RUNTIMES * WORKERS * STEPS;
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(the_law_holds(pool, &watch, &limits));
    }
    println!("{steps} steps in {rounds} rounds");
}

/// The limits of one round; none where there is none.
#[derive(Debug)]
struct Limits {
    all: Option<usize>,
    of_an_address: Option<usize>,
}

fn set_up(random: &mut fastrand::Rng) -> (Limits, ProbedPool, Watch) {
    let mut perhaps = |most: usize| random.bool().then(|| random.usize(1..=most));
    let (all, of_an_address, uses) = (perhaps(6), perhaps(4), perhaps(20));
    let idle = perhaps(4).map(|idle| idle.min(all.unwrap_or(idle)));
    let of_one = |limit: usize| of_an_address.map_or(limit, |most| limit.min(most));
    let idle_of_an_address = perhaps(3).map(of_one);
    let soon = |random: &mut fastrand::Rng| Duration::from_millis(random.u64(..30));
    let (probe, watch) = Probe::new(TcpConnector::new());
    let pool = Pool::builder(probe)
        .max_connections(all)
        .max_connections_per_address(of_an_address)
        .max_idle(idle)
        .max_idle_per_address(idle_of_an_address)
        .max_uses(uses.map(|uses| uses as u64))
        .idle_timeout(random.bool().then(|| soon(random)))
        .park_after(random.bool().then(|| soon(random)))
        .max_lifetime(random.bool().then(|| soon(random)))
        .quarantine(random.bool())
        .checkout_timeout(None)
        .build()
        .expect("sensible settings");
    (Limits { all, of_an_address }, pool, watch)
}

fn one_runtime(
    number: usize,
    pool: &ProbedPool,
    servers: &Arc<Vec<TestServer>>,
    random: impl Fn(usize) -> fastrand::Rng,
) {
    let mut builder = match number {
        0 => runtime::Builder::new_multi_thread(),
        _ => runtime::Builder::new_current_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for worker in 0..WORKERS {
            let (pool, servers) = (pool.clone(), Arc::clone(servers));
            let mut random = random(worker);
            workers.spawn(async move {
                for step in 0..STEPS {
                    let name = format!("{number}/{worker}/{step}");
                    one_step(&pool, &servers, &name, &mut random).await;
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.expect("no panic");
        }
    });
}

async fn one_step(
    pool: &ProbedPool,
    servers: &[TestServer],
    name: &str,
    random: &mut fastrand::Rng,
) {
    let address = servers[random.usize(..servers.len())].address;
    let way = WAYS[random.usize(..WAYS.len())];
    let target = format!("/{way}/{name}");
    match random.u8(..40) {
        0 => {
            // While it waits for room, others may wait for what it has.
            let count = random.usize(..4);
            cut_short(random, pool.warm(&address, count)).await;
        }
        1 => {
            cut_short(random, pool.drain(&address)).await;
            pool.sync(servers.iter().map(|server| server.address));
        }
        2 => drop(pool.retain(|known| *known != address)),
        3..6 => drop(pool.sync(servers.iter().map(|server| server.address))),
        6 => {
            if let Some(Ok(checkout)) = cut_short(random, pool.lease(&address)).await {
                match random.u8(..3) {
                    0 => drop(checkout),
                    1 => checkout.close(),
                    _ => {
                        let outcome =
                            async { Whole::read(checkout.http(get(&target)).await?).await };
                        judge(&target, cut_short(random, outcome).await);
                    }
                }
            }
        }
        7..12 => {
            if let Ok(response) = pool.http(&address, get(&format!("/halves/{name}"))).await {
                let mut body = response.into_body();
                if random.bool() {
                    body.frame().await;
                }
            }
        }
        12..20 => {
            let outcome = fetch(pool, address, target.clone(), random.u8(..3));
            judge(&target, cut_short(random, outcome).await);
        }
        _ if way == "held" => {}
        _ => judge(&target, Some(fetch(pool, address, target.clone(), random.u8(..3)).await)),
    }
}

/// Mostly well, sometimes not.
const WAYS: [&str; 12] = [
    "plain", "plain", "plain", "plain", "halves", "halves", "large", "close", "gone", "stray",
    "cut", "held",
];

async fn fetch(
    pool: &ProbedPool,
    address: SocketAddr,
    target: String,
    method: u8,
) -> Result<Whole, Error> {
    let response = match method {
        0 => pool.http(&address, get(&target)).await?,
        1 => pool.http(&address, post(&target, "content")).await?,
        _ => {
            let pieces = Pieces::new(["bit ", "by ", "bit"]);
            pool.http(&address, post(&target, "").map(|_| pieces)).await?
        }
    };
    Whole::read(response).await
}

/// Drops the future after some polls, or some time if it is not polled so often.
async fn cut_short<F: Future>(random: &mut fastrand::Rng, future: F) -> Option<F::Output> {
    let polls = random.usize(..12);
    let time = Duration::from_micros(random.u64(..20_000));
    tokio::time::timeout(time, polled(future, polls)).await.ok().flatten()
}

/// An answer is one's own; an error is one that the server, or the address, has given cause for.
fn judge(target: &str, outcome: Option<Result<Whole, Error>>) {
    match outcome {
        None => {}
        Some(Ok(whole)) if target.starts_with("/close/") => assert_eq!(whole.body, target),
        Some(Ok(whole)) => assert!(whole.body == content(target), "not the answer to {target}"),
        Some(Err(error)) => {
            // A server that has gone may go just when the next request is sent; a lease is one connection.
            let kinds = [ErrorKind::Response, ErrorKind::Unsent, ErrorKind::Retired];
            assert!(kinds.contains(&error.kind()), "{target}: {error}");
        }
    }
}

async fn the_law_holds(pool: ProbedPool, watch: &Watch, limits: &Limits) {
    eventually("the pool comes to rest", || {
        let stats = pool.stats();
        let idle = stats.idle + stats.parked;
        (stats.opening, stats.leased, stats.waiting) == (0, 0, 0) && idle == watch.open()
    })
    .await;
    let stats = pool.stats();
    let idle = (stats.idle + stats.parked) as u64;
    assert_eq!(stats.opened, watch.opened(), "each stream is counted once: {stats:?}");
    assert_eq!(stats.opened, idle + stats.closed_total(), "none is lost: {stats:?}");
    assert!(limits.all.is_none_or(|most| watch.peak() <= most), "{limits:?}: {}", watch.peak());
    if let Some(most) = limits.of_an_address {
        assert!(watch.peak() <= most * SERVERS, "{limits:?}: {}", watch.peak());
    }
    assert_eq!(stats.closed(Reason::PoolClosed), 0, "it was open all the time");
    drop(pool);
    watch.until_open(0).await;
}
