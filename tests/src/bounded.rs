//! An end to every wait.
//!
//! A test that waits for what never comes must fail with a word about it. The clock is that of the system,
//! in a thread of its own, so that it also runs where a test has paused the clock of tokio, and where a
//! test blocks its thread.

use std::io::Write;
use std::pin::Pin;
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
pub fn bounded<'a, T>(test: impl Future<Output = T> + 'a) -> impl Future<Output = T> + 'a
where
    T: 'a,
{
    // In a box, so that what follows is compiled once, and not once for each test.
    until_the_limit(Box::pin(test))
}

async fn until_the_limit<T>(test: Pin<Box<dyn Future<Output = T> + '_>>) -> T {
    let (_running, expired) = limit();
    tokio::select! {
        biased;
        output = test => output,
        Ok(()) = expired => panic!("not done within {LIMIT:?}: something never came"),
    }
}

/// Tells the test when its time is over, unless the sender has been dropped before.
fn limit() -> (mpsc::Sender<()>, oneshot::Receiver<()>) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (running, finished) = mpsc::channel::<()>();
    let (expire, expired) = oneshot::channel();
    thread::spawn(move || {
        if finished.recv_timeout(LIMIT) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        // The test may have ended just now, then it no longer listens.
        expire.send(()).ok();
        if finished.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "{name} blocks its thread for {LIMIT:?}").ok();
            process::abort();
        }
    });
    (running, expired)
}

/// Waits for a condition whose coming no message announces, such as a number in the pool's statistics.
///
/// # Panics
///
/// When it has not come true in time.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool + Send) {
    until(what, &mut condition).await;
}

async fn until(what: &str, condition: &mut (dyn FnMut() -> bool + Send)) {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    while !condition() {
        assert!(start.elapsed() < GRACE, "{what}: not within {GRACE:?}");
        ticks.tick().await;
    }
}
