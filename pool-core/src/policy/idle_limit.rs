//! For how long the server of one address keeps idle connections, as it has shown.
//!
//! Most servers do not say after how long they close an idle connection, and a request that is sent at that moment may
//! be lost. So each close of an idle connection is remembered with the time that the connection had been idle; when two
//! closes, one after the other, show a limit, connections are not reused beyond it.
//!
//! What must hold: one event counts once, however many connections it closed, because a restart closes all of them
//! however long they have been idle. A limit that has been disproved is not kept. No limit is kept for ever, so that a
//! server that was given a longer limit is noticed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// A connection that ends sooner after its last answer was not idle for too long; the server closed it for another
/// reason.
const SHORTEST: Duration = Duration::from_millis(500);

/// After so long a limit is tried a little beyond, an eighth at a time: each try may cost a request its
/// connection.
const BELIEVED_FOR: Duration = Duration::from_secs(3_600);

const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct LearntIdleLimit {
    /// In milliseconds; read at every checkout.
    limit: AtomicU64,
    /// The longest idle time, in milliseconds, after which a connection has still served.
    proven: AtomicU64,
    seen: Mutex<Option<Close>>,
}

/// A close of an idle connection.
#[derive(Clone, Copy, Debug)]
struct Close {
    age: Duration,
    at: Instant,
}

impl LearntIdleLimit {
    /// How long a connection may be idle, if that is known.
    pub(super) fn limit(&self) -> Option<Duration> {
        match self.limit.load(Ordering::Relaxed) {
            UNKNOWN => None,
            limit => Some(Duration::from_millis(limit)),
        }
    }

    /// A connection has served after it had been idle for `age`.
    #[inline]
    pub(super) fn prove(&self, age: Duration) {
        if age < SHORTEST {
            return;
        }
        let age = millis(age);
        if age > self.proven.load(Ordering::Relaxed) {
            self.proven.fetch_max(age, Ordering::Relaxed);
        }
    }

    /// The server had closed a connection that had been idle for `age`.
    pub(super) fn note_close(&self, age: Duration, at: Instant) {
        if age < SHORTEST {
            return;
        }
        let mut seen = self.seen.lock();
        let Some(before) = *seen else {
            let proven = self.proven.swap(0, Ordering::Relaxed);
            *seen = (millis(age) > proven).then_some(Close { age, at });
            return;
        };
        let shorter = age.min(before.age);
        // A connection that was idle when the other closed may have been closed by the same event.
        if at.checked_sub(age).is_none_or(|idle_since| idle_since < before.at) {
            *seen = Some(Close { age: shorter, ..before });
            return;
        }
        // Proven anew between any two closes: a server that was given a shorter limit is believed the second time.
        if millis(age) <= self.proven.swap(0, Ordering::Relaxed) {
            *seen = None;
            return;
        }
        let limit = shorter - margin(shorter);
        self.limit.store(millis(limit), Ordering::Relaxed);
        *seen = Some(Close { age, at });
    }

    /// Tries a limit a little beyond, if no close has confirmed it for long. Now and then, by the watcher.
    pub(super) fn relax(&self, now: Instant) {
        let Some(limit) = self.limit() else { return };
        let mut seen = self.seen.lock();
        if let Some(close) = &mut *seen
            && now.saturating_duration_since(close.at) >= BELIEVED_FOR
        {
            close.at = now;
            self.limit.store(millis(limit + limit / 8), Ordering::Relaxed);
            self.proven.store(0, Ordering::Relaxed);
        }
    }

    /// Whether anything was learnt that is worth a host's memory, though it has no connection.
    pub(super) fn is_remembered(&self, now: Instant) -> bool {
        let seen = self.seen.lock();
        seen.is_some_and(|close| now.saturating_duration_since(close.at) < BELIEVED_FOR)
    }
}

impl Default for LearntIdleLimit {
    fn default() -> Self {
        Self { limit: AtomicU64::new(UNKNOWN), proven: AtomicU64::new(0), seen: Mutex::default() }
    }
}

/// More than a FIN takes to arrive, and little enough that few connections are given up for it.
fn margin(limit: Duration) -> Duration {
    (limit / 32).min(Duration::from_secs(1))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(UNKNOWN - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A server that closes each connection at an age, one after the other.
    async fn closes(learnt: &LearntIdleLimit, ages: &[u32]) {
        for age in ages {
            tokio::time::advance(SECOND * *age).await;
            learnt.note_close(SECOND * *age, Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_closes_one_after_the_other_tell_the_limit_and_one_does_not() {
        for seconds in [1, 5, 60, 75] {
            let learnt = LearntIdleLimit::default();
            closes(&learnt, &[seconds]).await;
            assert_eq!(learnt.limit(), None);
            closes(&learnt, &[seconds]).await;
            let limit = learnt.limit().expect("it was shown twice");
            assert!(limit < SECOND * seconds && limit > SECOND * seconds * 19 / 20, "{limit:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_that_closes_all_at_once_is_no_limit() {
        let learnt = LearntIdleLimit::default();
        tokio::time::advance(SECOND * 100).await;
        for age in [3, 3, 5, 40] {
            learnt.note_close(SECOND * age, Instant::now());
        }
        assert_eq!(learnt.limit(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_proven_wrong_again_and_again_is_not_believed_and_a_shorter_limit_is() {
        let learnt = LearntIdleLimit::default();
        learnt.prove(SECOND * 60);
        closes(&learnt, &[3]).await;
        learnt.prove(SECOND * 60);
        closes(&learnt, &[3]).await;
        learnt.prove(SECOND * 60);
        closes(&learnt, &[20]).await;
        assert_eq!(learnt.limit(), None);
        closes(&learnt, &[20, 20]).await;
        assert!(learnt.limit().is_some_and(|limit| limit < SECOND * 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_grows_when_nothing_confirms_it_and_comes_back_when_something_does() {
        let learnt = LearntIdleLimit::default();
        closes(&learnt, &[20, 20]).await;
        let before = learnt.limit();
        tokio::time::advance(BELIEVED_FOR).await;
        learnt.relax(Instant::now());
        assert!(learnt.limit() > Some(SECOND * 20));
        closes(&learnt, &[20]).await;
        assert_eq!(learnt.limit(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_right_after_its_answer_tells_nothing() {
        let learnt = LearntIdleLimit::default();
        for _ in 0..5 {
            tokio::time::advance(SECOND).await;
            learnt.note_close(Duration::from_millis(100), Instant::now());
        }
        assert_eq!(learnt.limit(), None);
    }
}
