//! A pause after dials to one address have failed several times in a row. Known elsewhere as a circuit breaker.
//!
//! ```text
//!   closed: every dial may begin ──► a few failures in a row ──► open: no dial begins during the pause
//!      ▲                                                            │ the pause is over     ▲
//!      └──── it succeeds ──── half open: one dial tries ◄───────────┘  it fails: twice the limit
//! ```
//!
//! A pause is drawn between nothing and a limit that doubles from 100 ms to 10 s, so that many clients do not come back
//! at one instant. Dials that were under way together are one failure, and during a pause only the dial that tries
//! counts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// One lost packet, or a full backlog, is no outage.
const FAILURES: u32 = 3;

const FIRST: Duration = Duration::from_millis(100);

const LONGEST: Duration = Duration::from_secs(10);

/// Longer than the longest pause, so that an address that fails again and again stays known.
const REMEMBERED: Duration = Duration::from_secs(30);

/// What is remembered of the dials to one address that failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    /// Whether there is a pause; spares every dial the lock.
    paused: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    /// When the last one was counted.
    last: Option<Instant>,
    pause: Option<Pause>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    limit: Duration,
    until: Instant,
    /// A dial tries, or waits to try.
    tried: bool,
}

/// Whether a dial may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// Yes, because there is no pause.
    Free,
    /// Yes, as the trial, after so long.
    ToTry(Duration),
    /// No: another dial tries already.
    Held,
}

impl Failures {
    /// Asks leave to dial. A dial that may try has to [end its trial](Self::end_trial).
    pub(super) fn ask_leave(&self, now: Instant) -> Leave {
        if !self.paused.load(Ordering::Acquire) {
            return Leave::Free;
        }
        match &mut self.state.lock().pause {
            None => Leave::Free,
            Some(Pause { tried: true, .. }) => Leave::Held,
            Some(pause) => {
                pause.tried = true;
                Leave::ToTry(pause.until.saturating_duration_since(now))
            }
        }
    }

    /// The dial that had leave to try does not, or has; true unless a success or another pause has followed.
    pub(super) fn end_trial(&self) -> bool {
        let mut state = self.state.lock();
        state.pause.as_mut().is_some_and(|pause| std::mem::replace(&mut pause.tried, false))
    }

    /// How long until the address is tried again, if there is a pause.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        if !self.paused.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().pause.map(|pause| pause.until.saturating_duration_since(now))
    }

    /// As [`pause`](Self::pause), and none if a request that comes now may try.
    pub(super) fn refusal(&self, now: Instant) -> Option<Duration> {
        let pause = self.pause(now)?;
        let tried = self.state.lock().pause.is_some_and(|pause| pause.tried);
        (tried || !pause.is_zero()).then_some(pause)
    }

    /// Whether the failures are worth the memory of a host without connections.
    pub(super) fn are_remembered(&self, now: Instant) -> bool {
        self.state.lock().last.is_some_and(|last| now.saturating_duration_since(last) < REMEMBERED)
    }

    /// A dial has opened a connection; true if there was a pause.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.state.lock();
        state.in_a_row = 0;
        self.paused.store(false, Ordering::Release);
        state.pause.take().is_some()
    }

    /// A dial that began at `begun` has failed; gives the pause that begins with it, if one does.
    ///
    /// A dial that tried has ended its trial before, so that the trial does not hand the next pause on.
    pub(super) fn failed(&self, was_trial: bool, begun: Instant, now: Instant) -> Option<Duration> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| begun < last) {
            return None;
        }
        state.last = Some(now);
        state.in_a_row = state.in_a_row.saturating_add(1);
        let limit = match state.pause {
            None if state.in_a_row < FAILURES => return None,
            None => FIRST,
            Some(_) if !was_trial => return None,
            Some(pause) => (pause.limit * 2).min(LONGEST),
        };
        let length = limit.mul_f64(fastrand::f64());
        state.pause = Some(Pause { limit, until: now + length, tried: false });
        self.paused.store(true, Ordering::Release);
        Some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(failures: &Failures) -> Option<Duration> {
        failures.failed(false, Instant::now(), Instant::now())
    }

    fn after_an_outage() -> Failures {
        let failures = Failures::default();
        for _ in 0..FAILURES {
            fails(&failures);
        }
        failures
    }

    #[tokio::test(start_paused = true)]
    async fn two_failures_are_no_outage_and_a_success_forgets_them() {
        let failures = Failures::default();
        for _ in 0..2 {
            assert_eq!((fails(&failures), fails(&failures)), (None, None));
            assert!(!failures.succeeded());
        }
        assert_eq!(failures.ask_leave(Instant::now()), Leave::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_fails_together_is_one_failure_and_one_dial_tries() {
        let failures = Failures::default();
        for _ in 0..2 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(1)).await;
            let crowd = || failures.failed(false, begun, Instant::now());
            assert!((0..100).all(|_| crowd().is_none()), "once is no outage, nor is twice");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(fails(&failures).is_some_and(|pause| pause <= FIRST));
        let leave = || failures.ask_leave(Instant::now());
        assert!(matches!(leave(), Leave::ToTry(pause) if pause <= FIRST));
        assert_eq!(leave(), Leave::Held);
        assert!(failures.end_trial());
        assert!(matches!(leave(), Leave::ToTry(_)), "the first was given up");
        assert!(failures.succeeded());
        assert!(!failures.end_trial(), "a success has followed");
        assert_eq!(leave(), Leave::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn each_trial_that_fails_doubles_the_limit_up_to_ten_seconds() {
        let failures = after_an_outage();
        let mut limit = FIRST;
        for _ in 0..10 {
            assert!(matches!(failures.ask_leave(Instant::now()), Leave::ToTry(_)));
            limit = (limit * 2).min(LONGEST);
            assert!(failures.end_trial());
            let pause = failures.failed(true, Instant::now(), Instant::now());
            assert!(pause.is_some_and(|pause| pause <= limit));
        }
        assert_eq!(limit, LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_refused_during_a_pause_or_a_trial_and_may_try_after_it() {
        let failures = after_an_outage();
        tokio::time::advance(FIRST).await;
        let refusal = || failures.refusal(Instant::now());
        assert_eq!(refusal(), None);
        assert!(matches!(failures.ask_leave(Instant::now()), Leave::ToTry(_)));
        assert_eq!(refusal(), Some(Duration::ZERO));
        failures.end_trial();
        assert_eq!(refusal(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_spread_over_their_whole_length() {
        let lengths: Vec<_> = (0..200)
            .map(|_| {
                let failures = Failures::default();
                (0..FAILURES).filter_map(|_| fails(&failures)).next_back().expect("a pause")
            })
            .collect();
        assert!(lengths.iter().any(|pause| *pause < FIRST / 4));
        assert!(lengths.iter().any(|pause| *pause > FIRST * 3 / 4));
    }
}
