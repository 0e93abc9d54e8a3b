//! What a connection pool is worth, in one screen.
//!
//! `cargo run --release --example quickstart` starts a small server of its own on a free loopback port;
//! `-- 127.0.0.1:8080` uses one that already runs.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pooled_fetch::{FullBytes, http, pool};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

type BoxError = Box<dyn StdError + Send + Sync>;

const SEQUENTIAL: usize = 300;
const AT_ONCE: usize = 16;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let address = match std::env::args().nth(1) {
        Some(text) => {
            text.parse().map_err(|_| format!("{text} is not an address like 127.0.0.1:8080"))?
        }
        None => serve().await?,
    };
    let first = timed(address).await?;
    let mut reused = Vec::with_capacity(SEQUENTIAL);
    for _ in 0..SEQUENTIAL {
        reused.push(timed(address).await?);
    }
    reused.sort_unstable();
    println!("server              {address}");
    println!("first request       {:>6} µs  (opens a connection)", first.as_micros());
    println!(
        "reused, median      {:>6} µs  ({SEQUENTIAL} requests, one after the other)",
        middle(&reused)
    );

    let started = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..AT_ONCE {
        requests.spawn(timed(address));
    }
    while let Some(request) = requests.join_next().await {
        request??;
    }
    println!("{AT_ONCE} at once          {:>6} µs  (all of them)", started.elapsed().as_micros());

    let stats = pool().stats();
    println!("connections opened  {:>6}", stats.opened);
    println!("requests reusing    {:>6}", stats.reused);
    println!("connections idle    {:>6}", stats.idle);
    Ok(())
}

/// One request, its body read to the end.
async fn timed(address: SocketAddr) -> Result<Duration, BoxError> {
    let started = Instant::now();
    let request = Request::get("/").body(FullBytes::default())?;
    http(address, request).await?.into_body().collect().await?;
    Ok(started.elapsed())
}

fn middle(sorted: &[Duration]) -> u128 {
    sorted[sorted.len() / 2].as_micros()
}

/// A server that greets, on a port that the system chooses.
async fn serve() -> Result<SocketAddr, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let greet = service_fn(|_| async {
                Ok::<_, BoxError>(Response::new(FullBytes::from("hello\n")))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), greet));
        }
    });
    Ok(address)
}
