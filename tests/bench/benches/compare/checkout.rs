//! The checkout alone: a connection is taken out and laid back, and nothing is sent.
//!
//! Ours does more than the others here: what it lays back is an HTTP connection that it keeps listening to; the
//! others hold a value that means nothing to them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use deadpool::unmanaged;
use pingora_pool::{ConnectionMeta, ConnectionPool};
use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};
use tokio::io::DuplexStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::Error;
use crate::plan::{Plan, median};
use crate::progress::Progress;
use crate::table::Table;

const STORES: [&str; 4] = ["ours", "Mutex<HashMap<_, Vec>>", "pingora-pool", "deadpool"];

/// Threads and addresses.
const CASES: [(usize, usize); 4] = [(1, 1), (2, 1), (1, 5_000), (2, 5_000)];

const TURNS: usize = 50_000;

pub(crate) fn table(plan: &Plan, progress: &Progress) -> Result<Table, Error> {
    progress.phase("the checkout alone");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut table = Table::new("The checkout alone: out and in again, ns", STORES);
    let mut cases = Vec::new();
    for (_, addresses) in CASES {
        cases.push(runtime.block_on(Stores::new(addresses))?);
    }
    let mut times = vec![[const { Vec::new() }; STORES.len()]; CASES.len()];
    for _ in 0..plan.rounds {
        for (((threads, _), stores), times) in CASES.iter().zip(&cases).zip(&mut times) {
            let turns = TURNS * plan.longer;
            times[0].push(runtime.block_on(time(&stores.ours, *threads, turns))?);
            times[1].push(runtime.block_on(time(&stores.plain, *threads, turns))?);
            times[2].push(runtime.block_on(time(&stores.pingora, *threads, turns))?);
            times[3].push(runtime.block_on(time(&stores.deadpool, *threads, turns))?);
        }
        progress.step();
    }
    for ((threads, addresses), times) in CASES.iter().zip(times) {
        let name = match (threads, addresses) {
            (1, 1) => "1 thread, 1 address".to_owned(),
            (1, _) => format!("1 thread, {addresses} addresses"),
            (_, 1) => format!("{threads} threads, 1 address"),
            _ => format!("{threads} threads, {addresses} addresses"),
        };
        table = table.column(name, 0, times.map(median).to_vec());
    }
    Ok(table.note(
        "What ours lays back is an HTTP connection over memory that it keeps listening to; the others hold a value \
         that means nothing to them, and no task that would watch it.",
    ))
}

/// A store of connections by address.
trait Store: Clone + Send + Sync + 'static {
    fn turn(&self, address: &SocketAddr) -> impl Future<Output = Result<(), Error>> + Send;
    fn addresses(&self) -> &[SocketAddr];
}

/// Nanoseconds for each turn of a thread.
async fn time<S: Store>(store: &S, threads: usize, turns: usize) -> Result<f64, Error> {
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for thread in 0..threads {
        let store = store.clone();
        crowd.spawn(async move {
            let addresses = store.addresses();
            for turn in 0..turns {
                store.turn(&addresses[(turn + thread) % addresses.len()]).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(done) = crowd.join_next().await {
        done??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / turns as f64)
}

/// Each with as many connections to every address as there are threads.
struct Stores {
    ours: Ours,
    plain: Plain,
    pingora: Pingora,
    deadpool: Deadpool,
}

const EACH: usize = 2;

/// About the size of what a pool keeps for a connection beside the connection.
type Value = Box<[u8; 64]>;

fn value() -> Value {
    Box::new([0; 64])
}

impl Stores {
    async fn new(count: usize) -> Result<Self, Error> {
        let port =
            |number| u16::try_from(number + 1).map(|port| (Ipv4Addr::LOCALHOST, port).into());
        let addresses: Arc<[SocketAddr]> = (0..count).map(port).collect::<Result<_, _>>()?;
        let pool =
            Pool::builder(InMemory::default()).park_after(None).idle_timeout(None).build()?;
        let (mut plain, mut deadpool) = (HashMap::new(), HashMap::new());
        let pingora = Pingora {
            pool: Arc::new(ConnectionPool::new(EACH * count)),
            hasher: RandomState::new(),
            next: Arc::default(),
            addresses: Arc::clone(&addresses),
        };
        for address in &*addresses {
            pool.warm(address, EACH).await?;
            plain.insert(*address, (0..EACH).map(|_| value()).collect());
            deadpool.insert(
                *address,
                unmanaged::Pool::from((0..EACH).map(|_| value()).collect::<Vec<_>>()),
            );
            for _ in 0..EACH {
                pingora.lay_back(pingora.hasher.hash_one(address), value());
            }
        }
        Ok(Self {
            ours: Ours(pool, Arc::clone(&addresses)),
            plain: Plain(Arc::new(Mutex::new(plain)), Arc::clone(&addresses)),
            pingora,
            deadpool: Deadpool(Arc::new(deadpool), addresses),
        })
    }
}

#[derive(Clone)]
struct Ours(Pool<InMemory>, Arc<[SocketAddr]>);

impl Store for Ours {
    async fn turn(&self, address: &SocketAddr) -> Result<(), Error> {
        drop(self.0.lease(address).await?);
        Ok(())
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.1
    }
}

/// Opens streams that no server serves; their other ends are kept, so that they stay open.
#[derive(Default)]
struct InMemory(Mutex<Vec<DuplexStream>>);

#[async_trait]
impl Connector for InMemory {
    type Address = SocketAddr;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        _: &SocketAddr,
        _: &ConnectOptions,
    ) -> io::Result<Connected<DuplexStream>> {
        let (ours, theirs) = tokio::io::duplex(64);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(theirs);
        Ok(Connected::new(ours))
    }

    fn target(&self, _: &SocketAddr) -> Target {
        Target::http(http::uri::Authority::from_static("localhost"))
    }
}

#[derive(Clone)]
struct Plain(Arc<Mutex<HashMap<SocketAddr, Vec<Value>>>>, Arc<[SocketAddr]>);

impl Plain {
    fn at<R>(&self, address: &SocketAddr, act: impl FnOnce(&mut Vec<Value>) -> R) -> Option<R> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(address).map(act)
    }
}

impl Store for Plain {
    async fn turn(&self, address: &SocketAddr) -> Result<(), Error> {
        let value = self.at(address, Vec::pop).flatten().ok_or("none at rest")?;
        self.at(address, |values| values.push(value));
        Ok(())
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.1
    }
}

#[derive(Clone)]
struct Pingora {
    pool: Arc<ConnectionPool<Value>>,
    hasher: RandomState,
    next: Arc<AtomicI32>,
    addresses: Arc<[SocketAddr]>,
}

impl Pingora {
    fn lay_back(&self, key: u64, value: Value) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.pool.put(&ConnectionMeta::new(key, id), value);
    }
}

impl Store for Pingora {
    async fn turn(&self, address: &SocketAddr) -> Result<(), Error> {
        let key = self.hasher.hash_one(address);
        let value = self.pool.get(&key).ok_or("none at rest")?;
        self.lay_back(key, value);
        Ok(())
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

#[derive(Clone)]
struct Deadpool(Arc<HashMap<SocketAddr, unmanaged::Pool<Value>>>, Arc<[SocketAddr]>);

impl Store for Deadpool {
    async fn turn(&self, address: &SocketAddr) -> Result<(), Error> {
        let pool = self.0.get(address).ok_or("no such address")?;
        drop(pool.get().await?);
        Ok(())
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.1
    }
}
