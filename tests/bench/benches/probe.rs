//! What it costs to ask the kernel before a connection is reused.
//!
//! `cargo bench --package pooled-fetch-bench --bench probe`
//!
//! Small requests, 64 at once, on one thread that is never idle, so that the time of a request is that of the
//! processor; with and without the question in turns, medians of the turns.

mod server_process;

use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt, Empty};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use server_process::{ServerProcess, serve_if_asked};
use tokio::task::JoinSet;

const TURNS: usize = 15;

const AT_ONCE: usize = 64;

/// For each of those at once: about a third of a second for a turn.
const REQUESTS: usize = 800;

fn main() {
    if serve_if_asked() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let server = ServerProcess::start();
    let pools = [false, true].map(|probe| {
        let builder = Pool::builder(TcpConnector::new()).probe(probe);
        builder.build().expect("settings that make sense")
    });
    let mut times = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        for (pool, times) in pools.iter().zip(&mut times) {
            let time = crowd(pool, &server).await;
            // The first turn opens the connections.
            if turn > 0 {
                times.push(time);
            }
        }
    }
    let [without, with] = times.map(median);
    println!("without  {:.2} µs for each request", micros(without));
    println!(
        "with     {:.2} µs, {:.3} times as much",
        micros(with),
        micros(with) / micros(without)
    );
}

/// The time of a crowd of requests, for each request.
async fn crowd(pool: &Pool<TcpConnector>, server: &ServerProcess) -> Duration {
    let started = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (pool, address) = (pool.clone(), server.address);
        crowd.spawn(async move {
            for _ in 0..REQUESTS {
                let request = Request::get("/").body(Empty::new()).expect("a valid request");
                let response = pool.http(&address, request).await.expect("a response");
                response.into_body().collect().await.expect("a body");
            }
        });
    }
    crowd.join_all().await;
    started.elapsed() / u32::try_from(AT_ONCE * REQUESTS).expect("not so many")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
