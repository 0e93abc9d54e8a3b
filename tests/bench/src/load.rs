//! The load on a client: a warm-up, then what is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::client::{Client, Error};
use crate::figures::Figures;
use crate::heap::Heap;
use crate::place::Place;
use crate::server::{Server, accepted, raise_descriptor_limit};
use crate::task::{Task, Way};

/// Three digits of a latency are more than any two runs agree on.
const DIGITS: u8 = 3;

pub(crate) fn run<C: Client>(task: &Task, counted: bool) -> Result<Figures, Error> {
    raise_descriptor_limit()?;
    let (server, _own) = match task.server {
        Some(address) => (address, None),
        None => {
            let own = Server::start(&std::env::current_exe()?)?;
            (own.address, Some(own))
        }
    };
    let place = Place::of(task, server)?;
    let before = accepted(server)?;
    let figures = runtime(task.workers)?.block_on(async {
        let clients = C::open(task, &place).await?;
        match task.way {
            Way::Rest => rest(task, clients, counted).await,
            _ => measure(task, clients, counted).await,
        }
    })?;
    // Without the connections that asked.
    let connections = accepted(server)? - before - 1;
    Ok(Figures { client: task.client.name().to_owned(), connections, ..figures })
}

fn runtime(workers: usize) -> std::io::Result<Runtime> {
    match workers {
        0 => Builder::new_current_thread().enable_all().build(),
        workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

async fn measure<C: Client>(task: &Task, clients: Vec<C>, counted: bool) -> Result<Figures, Error> {
    let (clients, _) = drive(task, clients, task.warm_up(), false).await?;
    let (heap, cpu, start) = (Heap::now(counted), cpu_time(), Instant::now());
    let (_clients, latencies) = drive(task, clients, task.requests, task.latency).await?;
    let (wall, cpu) = (start.elapsed(), cpu_time() - cpu);
    let allocations =
        Heap::now(counted).zip(heap).map(|(now, then)| now.allocations - then.allocations);
    let quantile = |quantile| task.latency.then(|| latencies.value_at_quantile(quantile));
    Ok(Figures {
        requests: (task.turns(task.requests) * task.at_once) as u64,
        wall_ns: nanoseconds(wall),
        cpu_ns: nanoseconds(cpu),
        p50_ns: quantile(0.5),
        p99_ns: quantile(0.99),
        allocations,
        ..Figures::default()
    })
}

/// Has every client take its turns, and gives the clients back.
async fn drive<C: Client>(
    task: &Task,
    clients: Vec<C>,
    requests: usize,
    latency: bool,
) -> Result<(Vec<C>, Histogram<u64>), Error> {
    let barrier =
        matches!(task.way, Way::Bursts | Way::Rest).then(|| Arc::new(Barrier::new(task.at_once)));
    let (turns, at_once, addresses) = (task.turns(requests), task.at_once, task.addresses);
    let expected = task.expected();
    let mut crowd = JoinSet::new();
    for (number, mut client) in clients.into_iter().enumerate() {
        let barrier = barrier.clone();
        crowd.spawn(async move {
            let mut latencies = Histogram::<u64>::new(DIGITS)?;
            for turn in 0..turns {
                if let Some(barrier) = &barrier {
                    barrier.wait().await;
                }
                let start = latency.then(Instant::now);
                let length = client.get((turn * at_once + number) % addresses).await?;
                if length != expected {
                    return Err(format!("a body of {length} bytes").into());
                }
                if let Some(start) = start {
                    latencies.record(nanoseconds(start.elapsed()))?;
                }
            }
            Ok::<_, Error>((client, latencies))
        });
    }
    let (mut clients, mut latencies) = (Vec::new(), Histogram::new(DIGITS)?);
    while let Some(done) = crowd.join_next().await {
        let (client, of_client) = done??;
        clients.push(client);
        latencies.add(of_client)?;
    }
    Ok((clients, latencies))
}

/// What connections hold at rest: those that one burst has left open, and then when they are parked.
async fn rest<C: Client>(
    task: &Task,
    mut clients: Vec<C>,
    counted: bool,
) -> Result<Figures, Error> {
    let Some(client) = clients.first_mut() else { return Err("no client".into()) };
    // What the first request allocates for all that follow is no connection's.
    client.get(0).await?;
    let (before, open) = (Heap::now(counted), sockets()?);
    let (clients, _) = drive(task, clients, task.at_once, false).await?;
    pause(Duration::from_millis(500)).await;
    let opened = sockets()? - open;
    let each = || {
        let (now, before) = Heap::now(counted).zip(before)?;
        Some((now.bytes.saturating_sub(before.bytes) / opened.max(1)) as u64)
    };
    let (idle_bytes, mut parked_bytes) = (each(), None);
    if clients[0].stats().is_some() {
        until(|| clients[0].stats().is_some_and(|stats| stats.idle == 0)).await?;
        parked_bytes = each();
    }
    Ok(Figures { requests: opened as u64, idle_bytes, parked_bytes, ..Figures::default() })
}

/// Waits, for half a minute at most.
async fn until(reached: impl Fn() -> bool) -> Result<(), Error> {
    for _ in 0..3_000 {
        if reached() {
            return Ok(());
        }
        pause(Duration::from_millis(10)).await;
    }
    Err("the connections were not parked".into())
}

async fn pause(time: Duration) {
    let mut ticks = tokio::time::interval(time);
    ticks.tick().await;
    ticks.tick().await;
}

/// The sockets that this process has open, and a few other descriptors whose number stays the same.
fn sockets() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
