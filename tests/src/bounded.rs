//! An end to every wait.
//!
//! A test that waits for what never comes must fail with a word about it. The clock is that of the system,
//! in a thread of its own, so that it also runs where a test has paused the clock of tokio, and where a
//! test blocks its thread.

use std::io::Write;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

const LIMIT: Duration = Duration::from_secs(30);

/// Between the word to a test that it is over, and the end of a process that does not listen.
const GRACE: Duration = Duration::from_secs(10);

/// Polls a condition this often.
const TICK: Duration = Duration::from_millis(1);

/// Runs a test, for 30 seconds at most.
///
/// # Panics
///
/// When the time is over. A test that blocks its thread cannot be told; it takes the process with it.
pub async fn bounded<F: Future>(test: F) -> F::Output {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (running, finished) = mpsc::channel::<()>();
    let (expire, expired) = oneshot::channel();
    thread::spawn(move || {
        if finished.recv_timeout(LIMIT) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        // The test may have ended just now, then nobody listens.
        expire.send(()).ok();
        if finished.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "{name} blocks its thread for {LIMIT:?}").ok();
            process::abort();
        }
    });
    let _running = running;
    tokio::select! {
        biased;
        output = test => output,
        Ok(()) = expired => panic!("not done within {LIMIT:?}: something never came"),
    }
}

/// Waits for a condition that nobody announces, such as a number in the pool's statistics.
///
/// # Panics
///
/// When it has not come true in time.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    while !condition() {
        assert!(start.elapsed() < GRACE, "{what}: not within {GRACE:?}");
        ticks.tick().await;
    }
}
