//! Many requests at one instant open one connection each, and none to spare.
//!
//! They come on two threads while the first of their dials already end: a request that joins the queue then
//! must see each dial together with the request that it is for, or neither.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};
use tokio::io::DuplexStream;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};

use crate::knobs::{Watchdog, rounds};

const SIZE: usize = 64;

/// Opens streams as fast as can be, which no server serves.
struct Instantly;

#[async_trait]
impl Connector for Instantly {
    type Address = ();
    type Stream = DuplexStream;

    async fn connect(&self, (): &(), _: &ConnectOptions) -> io::Result<Connected<DuplexStream>> {
        yield_now().await;
        let (near, _far) = tokio::io::duplex(1);
        Ok(Connected::new(near))
    }

    fn target(&self, (): &()) -> Target {
        Target::http(Authority::from_static("memory"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_connections_are_opened_as_there_are_requests_at_once() {
    let rounds = rounds(300);
    let _watchdog = Watchdog::new(Duration::from_secs(20) + Duration::from_millis(50) * rounds);
    for round in 0..rounds {
        let pool = Pool::new(Instantly);
        let all_are_served = Arc::new(Barrier::new(SIZE));
        let mut clients = JoinSet::new();
        for _ in 0..SIZE {
            let (pool, all_are_served) = (pool.clone(), Arc::clone(&all_are_served));
            clients.spawn(async move {
                let checkout = pool.lease(&()).await.expect("a connection");
                all_are_served.wait().await;
                checkout
            });
        }
        let checkouts = clients.join_all().await;
        let stats = pool.stats();
        let opened = stats.opened + stats.opening as u64;
        assert_eq!(opened, checkouts.len() as u64, "round {round}: {stats:?}");
    }
}
