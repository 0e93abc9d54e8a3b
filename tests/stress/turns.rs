//! Runtimes that share one connection take turns at it, and none is left waiting beside it.
//!
//! Each round ends in silence: what is overlooked at its end, no later request comes by to find.

use std::hint::spin_loop;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use pool_core::{Builder, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, get};
use tokio::runtime;
use tokio::time::timeout;

use crate::knobs::{Seed, Watchdog, rounds};
use crate::test_server::TestServer;

/// Much longer than a turn takes, and shorter than anything that would come by in the end.
const OVERLOOKED: Duration = Duration::from_secs(10);

const RUNTIMES: usize = 2;

#[test]
fn two_runtimes_take_turns_at_the_one_connection_of_an_address() {
    take_turns(1, |settings| settings.max_connections_per_address(1));
}

#[test]
fn two_runtimes_take_turns_at_the_one_connection_of_a_pool() {
    take_turns(2, |settings| settings.max_connections(1));
}

/// In each round every runtime asks once, at a moment of its own.
fn take_turns(addresses: usize, settings: fn(Builder<TcpConnector>) -> Builder<TcpConnector>) {
    let rounds = rounds(2_000);
    let _watchdog = Watchdog::new(Duration::from_secs(30) + Duration::from_millis(20) * rounds);
    let seed = Seed::new();
    let servers: Vec<_> = (0..addresses).map(|_| TestServer::start()).collect();
    let pool = settings(Pool::builder(TcpConnector::new())).build().expect("sensible settings");
    let together = Barrier::new(RUNTIMES);
    thread::scope(|scope| {
        for number in 0..RUNTIMES {
            let (pool, together, address) = (&pool, &together, servers[number % addresses].address);
            let mut random = seed.part(number);
            scope.spawn(move || {
                let mut builder = runtime::Builder::new_multi_thread();
                let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
                for _ in 0..rounds {
                    together.wait();
                    let moment = Instant::now() + Duration::from_micros(random.u64(..300));
                    while Instant::now() < moment {
                        spin_loop();
                    }
                    runtime.block_on(ask(pool.clone(), address));
                }
            });
        }
    });
}

async fn ask(pool: Pool<TcpConnector>, address: SocketAddr) {
    let answer = async { Whole::read(pool.http(&address, get("/plain/")).await?).await };
    let answer = timeout(OVERLOOKED, answer).await.expect("a turn");
    assert_eq!(answer.expect("a response").body, "/plain/");
}
