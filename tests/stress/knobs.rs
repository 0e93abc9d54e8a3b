//! How often, with which random numbers, and for how long at most.

use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::Poll;
use std::time::Duration;
use std::{env, process, thread};

/// This many rounds, times `POOL_STRESS_TIMES`.
pub(crate) fn rounds(usual: u32) -> u32 {
    let times = number("POOL_STRESS_TIMES").unwrap_or(1);
    usual.saturating_mul(u32::try_from(times).expect("a number of times"))
}

/// Random numbers that a failure tells how to repeat: the seed is that of `POOL_STRESS_SEED`, else a fresh
/// one.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new() -> Self {
        Self(number("POOL_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..)))
    }

    /// The numbers of one part of a test; each part has its own, so that no part depends on how fast another
    /// is.
    pub(crate) fn part(&self, part: usize) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.0.wrapping_add(part as u64))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut stderr = std::io::stderr();
            writeln!(stderr, "again with POOL_STRESS_SEED={}", self.0).ok();
        }
    }
}

/// Ends the process, with a word, should the test not end in time: a hang is what many of these look for,
/// and a thread that hangs cannot be told.
pub(crate) struct Watchdog {
    _running: mpsc::Sender<()>,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration) -> Self {
        let name = thread::current().name().unwrap_or("a test").to_owned();
        let (running, ended) = mpsc::channel();
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let mut stderr = std::io::stderr();
                writeln!(stderr, "{name} is not done within {limit:?}: something hangs").ok();
                process::abort();
            }
        });
        Self { _running: running }
    }
}

/// Drops a future that is not done after so many polls.
pub(crate) async fn polled<F: Future>(future: F, mut polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        let output = future.as_mut().poll(cx).map(Some);
        if polls == 0 && output.is_pending() { Poll::Ready(None) } else { output }
    })
    .await
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
