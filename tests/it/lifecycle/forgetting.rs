//! What the pool keeps of addresses that it has seen once.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};

use http::uri::Authority;
use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};
use pooled_fetch_tests::{bounded, get};
use tokio::io::DuplexStream;

const SEEN: u32 = 20_000;

/// Twice as many as are remembered for what was learnt of them.
const MOST: usize = 8_192;

/// Refuses every address, and knows which of them the pool still remembers.
#[derive(Debug, Default)]
struct Refusing(Mutex<HashSet<u32>>);

impl Refusing {
    fn remembered(&self) -> usize {
        self.0.lock().expect("no test panics while it holds the lock").len()
    }
}

#[async_trait]
impl Connector for Refusing {
    type Address = u32;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        address: &u32,
        _: &ConnectOptions,
    ) -> io::Result<Connected<DuplexStream>> {
        self.0.lock().expect("no test panics while it holds the lock").insert(*address);
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    fn target(&self, _: &u32) -> Target {
        Target::http(Authority::from_static("server.test"))
    }

    fn forget(&self, address: &u32) {
        self.0.lock().expect("no test panics while it holds the lock").remove(address);
    }
}

#[tokio::test(start_paused = true)]
async fn of_addresses_that_refuse_no_more_than_a_bound_are_remembered() {
    bounded(async {
        let connector = Arc::new(Refusing::default());
        let pool = Pool::new(Arc::clone(&connector));
        for address in 0..SEEN {
            pool.http(&address, get("/")).await.unwrap_err();
            let remembered = connector.remembered();
            assert!(remembered <= MOST, "{remembered} of {address} are remembered");
        }
        assert_eq!(pool.stats().failed_to_open, u64::from(SEEN), "none is lost from the sums");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_tells_its_connector_of_every_address() {
    bounded(async {
        let connector = Arc::new(Refusing::default());
        let pool = Pool::new(Arc::clone(&connector));
        for address in 0..10 {
            pool.http(&address, get("/")).await.unwrap_err();
        }
        assert_eq!(connector.remembered(), 10);
        drop(pool);
        assert_eq!(connector.remembered(), 0);
    })
    .await;
}
