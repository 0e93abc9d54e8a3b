//! An address whose server has sent bytes without a request lends no connection twice for a while.
//!
//! Such bytes are the mark of a response out of step with its request. The connection they came on closes; the other
//! connections to the address may be out of step too, so each of them serves its request and closes. The quarantine
//! doubles with every strike, and a long time without one ends the doubling.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// Long enough for a proxy in between to notice, short enough not to matter to an honest server.
const FIRST: Duration = Duration::from_secs(1);

const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Quarantine {
    /// Whether there was ever a strike; spares every request the lock.
    struck: AtomicBool,
    sentence: Mutex<Option<Sentence>>,
}

#[derive(Clone, Copy, Debug)]
struct Sentence {
    length: Duration,
    until: Instant,
}

impl Quarantine {
    #[inline]
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.struck.load(Ordering::Acquire)
            && self.sentence.lock().is_some_and(|sentence| now < sentence.until)
    }

    pub(super) fn strike(&self, now: Instant) {
        let mut sentence = self.sentence.lock();
        let length = match *sentence {
            // Several connections may be struck by one event.
            Some(running) if now < running.until => running.length,
            Some(last) if now < last.until + LONGEST => (last.length * 2).min(LONGEST),
            _ => FIRST,
        };
        *sentence = Some(Sentence { length, until: now + length });
        self.struck.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_strike_after_a_sentence_doubles_the_next_up_to_a_minute() {
        let quarantine = Quarantine::default();
        assert!(!quarantine.is_on(Instant::now()));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let now = Instant::now();
            quarantine.strike(now);
            let end = now + Duration::from_secs(seconds);
            assert!(quarantine.is_on(end - Duration::from_millis(1)));
            assert!(!quarantine.is_on(end));
            tokio::time::advance(Duration::from_secs(seconds)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_strike_during_a_sentence_prolongs_it_without_doubling_and_a_long_calm_forgives() {
        let quarantine = Quarantine::default();
        quarantine.strike(Instant::now());
        tokio::time::advance(Duration::from_millis(500)).await;
        quarantine.strike(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!quarantine.is_on(Instant::now()));
        tokio::time::advance(LONGEST).await;
        quarantine.strike(Instant::now());
        tokio::time::advance(FIRST).await;
        assert!(!quarantine.is_on(Instant::now()));
    }
}
