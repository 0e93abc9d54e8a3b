//! The workers, from the first request to the last.
//!
//! Each is a task with a tally of its own, so that they share nothing but the count of turns and the pool. A worker that is
//! stopped leaves its tally behind.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::BoxError;
use super::options::Options;
use super::progress::Progress;
use super::report::Report;
use super::schedule::Schedule;
use super::tally::Tally;
use super::target::Requests;

/// One run, until its end or Ctrl-C.
pub(crate) async fn drive(options: &Options) -> Result<Report, BoxError> {
    let requests = Arc::new(Requests::new(options)?);
    let concurrency = options.concurrency.get();
    if options.warm {
        requests.pool.warm(&requests.endpoint, concurrency).await?;
    }
    let tallies: Arc<[_]> =
        (0..concurrency).map(|_| Tally::new().map(Mutex::new)).collect::<Result<_, _>>()?;
    let interrupt = interrupt()?;
    let schedule = Schedule::start(options);
    let mut workers = JoinSet::new();
    for number in 0..concurrency {
        let (requests, schedule) = (Arc::clone(&requests), Arc::clone(&schedule));
        let tallies = Arc::clone(&tallies);
        workers.spawn(async move {
            while let Some(due) = schedule.next().await {
                let how = requests.exchange().await;
                tallies[number].lock().ended(due, how);
            }
        });
    }
    let progress = Progress::start(&schedule, &tallies);
    let interrupted = tokio::select! {
        done = all(&mut workers) => done.map(|()| false)?,
        () = interrupt => true,
    };
    let elapsed = schedule.elapsed();
    // What is cancelled now is no part of it.
    let stats = requests.pool.stats();
    workers.shutdown().await;
    progress.finish();
    let mut sum = Tally::new()?;
    for tally in &*tallies {
        sum.add(&tally.lock())?;
    }
    let report = Report::new(options, &requests, &schedule, &sum, &stats, elapsed);
    Ok(Report { interrupted, ..report })
}

async fn all(workers: &mut JoinSet<()>) -> Result<(), BoxError> {
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Listens from now on, and not only from the first look at it.
#[cfg(unix)]
fn interrupt() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        interrupt.recv().await;
    })
}

#[cfg(not(unix))]
fn interrupt() -> io::Result<impl Future<Output = ()>> {
    Ok(async { tokio::signal::ctrl_c().await.unwrap_or(()) })
}
