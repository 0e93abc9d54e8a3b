//! An address to which no connection could be opened several times in a row is left alone for a while.
//!
//! ```text
//!   connects ──► a few failures in a row ──► paused ──► one dial tries ──► connects again
//!                                              ▲              │ fails: twice as long
//!                                              └──────────────┘
//! ```
//!
//! The pauses are drawn between nothing and a limit that doubles from 100 ms to 10 s, so that many clients do
//! not come back at one instant. Dials that were under way together are one failure, and during a pause only the one
//! that tries counts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::host::Host;

/// One lost packet, or a full backlog, is no outage.
const FAILURES: u32 = 3;

const FIRST: Duration = Duration::from_millis(100);

const LONGEST: Duration = Duration::from_secs(10);

/// What becomes of requests to an address that is left alone because it could not be reached; see
/// [`Builder::backoff`](crate::Builder::backoff).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backoff {
    /// No address is left alone: every request that needs a connection tries to open one.
    Off,
    /// They fail at once with [`ErrorKind::BackingOff`](crate::ErrorKind::BackingOff), so that a gateway can go
    /// elsewhere.
    #[default]
    Fail,
    /// They wait for the next try, within the checkout timeout.
    Wait,
}

/// What is remembered of the dials to one address that failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Whether dials are held back; spares every dial the lock.
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_a_row: u32,
    /// When the last one was counted.
    last: Option<Instant>,
    pause: Option<Pause>,
}

/// Longer than the longest pause, so that what fails again and again is known to.
const REMEMBERED: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Pause {
    limit: Duration,
    until: Instant,
    tried: bool,
}

/// How a dial may go about it.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Like any other.
    Free,
    /// It is the one that tries.
    Trial(Trial),
    /// Another one tries already.
    Held,
}

/// The one dial that tries an address again; another may, should it be given up before it has.
#[derive(Debug)]
pub(crate) struct Trial {
    host: Arc<Host>,
    /// How long it has to wait first.
    pub(crate) pause: Duration,
}

impl Trial {
    /// Waits out its pause, and then has those who wait look for themselves.
    pub(crate) async fn wait(self) {
        sleep(self.pause).await;
    }

    /// It cannot try for want of room; whoever makes room calls those who wait.
    pub(crate) fn give_up(self) {
        self.end();
    }

    /// True if it had not been followed by a success or another pause.
    fn end(&self) -> bool {
        let mut state = self.host.failures.state();
        state.pause.as_mut().is_some_and(|pause| std::mem::replace(&mut pause.tried, false))
    }
}

impl Drop for Trial {
    /// Whether its pause is over or it went with its runtime: those whom it held back look for themselves.
    fn drop(&mut self) {
        if self.end() {
            self.host.call_all();
        }
    }
}

impl Admission {
    /// Asks leave to dial.
    pub(crate) fn to(host: &Arc<Host>, now: Instant) -> Self {
        if !host.failures.on.load(Ordering::Acquire) {
            return Self::Free;
        }
        match &mut host.failures.state().pause {
            None => Self::Free,
            Some(Pause { tried: true, .. }) => Self::Held,
            Some(pause) => {
                pause.tried = true;
                let pause = pause.until.saturating_duration_since(now);
                Self::Trial(Trial { host: Arc::clone(host), pause })
            }
        }
    }
}

impl Failures {
    /// How long until the address is tried again, if it is left alone.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        if !self.on.load(Ordering::Acquire) {
            return None;
        }
        self.state().pause.map(|pause| pause.until.saturating_duration_since(now))
    }

    /// Whether it is worth a host's memory, though the host has no connection.
    pub(crate) fn are_remembered(&self, now: Instant) -> bool {
        self.state().last.is_some_and(|last| now.saturating_duration_since(last) < REMEMBERED)
    }

    /// As [`pause`](Self::pause), and none if whoever asks may be the one that tries.
    pub(crate) fn hold(&self, now: Instant) -> Option<Duration> {
        let pause = self.pause(now)?;
        let tried = self.state().pause.is_some_and(|pause| pause.tried);
        (tried || !pause.is_zero()).then_some(pause)
    }

    /// A dial has opened a connection; true if the address had been left alone.
    pub(crate) fn forget(&self) -> bool {
        let mut state = self.state();
        state.in_a_row = 0;
        self.on.store(false, Ordering::Release);
        state.pause.take().is_some()
    }

    /// A dial has failed; tells the pause that begins with it, if one does.
    ///
    /// `begun` is when the dial began: those that were under way together are one failure.
    pub(crate) fn add(
        &self,
        trial: Option<Trial>,
        begun: Instant,
        now: Instant,
    ) -> Option<Duration> {
        let was_trial = trial.is_some();
        // Before the next pause begins, so that it does not hand that one on.
        if let Some(trial) = trial {
            trial.give_up();
        }
        let mut state = self.state();
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
        self.on.store(true, Ordering::Release);
        Some(length)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::shared::Shared;

    fn host() -> Arc<Host> {
        Host::new("here".into(), Arc::new(Shared::new(Settings::default())))
    }

    fn fails(host: &Host, trial: Option<Trial>) -> Option<Duration> {
        host.failures.add(trial, Instant::now(), Instant::now())
    }

    fn trial(host: &Arc<Host>) -> Option<Trial> {
        match Admission::to(host, Instant::now()) {
            Admission::Trial(trial) => Some(trial),
            _ => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_failures_are_no_outage_and_a_success_forgets_them() {
        let host = host();
        for _ in 0..2 {
            assert_eq!((fails(&host, None), fails(&host, None)), (None, None));
            assert!(!host.failures.forget());
        }
        assert!(matches!(Admission::to(&host, Instant::now()), Admission::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_fails_together_is_one_failure_and_one_dial_tries() {
        let host = host();
        for _ in 0..2 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(1)).await;
            let crowd = || host.failures.add(None, begun, Instant::now());
            assert!((0..100).all(|_| crowd().is_none()), "once is no outage, nor is twice");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(fails(&host, None).is_some_and(|pause| pause <= FIRST));
        let first = trial(&host).expect("nobody tries yet");
        assert!(first.pause <= FIRST);
        assert!(matches!(Admission::to(&host, Instant::now()), Admission::Held));
        drop(first);
        let second = trial(&host).expect("the first was given up");
        assert!(host.failures.forget());
        drop(second);
        assert!(matches!(Admission::to(&host, Instant::now()), Admission::Free));
    }

    #[tokio::test(start_paused = true)]
    async fn each_trial_that_fails_doubles_the_limit_up_to_ten_seconds() {
        let host = host();
        for _ in 0..FAILURES {
            fails(&host, None);
        }
        let mut limit = FIRST;
        for _ in 0..10 {
            let trial = trial(&host);
            assert!(trial.is_some());
            limit = (limit * 2).min(LONGEST);
            assert!(fails(&host, trial).is_some_and(|pause| pause <= limit));
        }
        assert_eq!(limit, LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_during_a_pause_or_a_trial_is_held_and_who_comes_after_it_may_try() {
        let host = host();
        for _ in 0..FAILURES {
            fails(&host, None);
        }
        tokio::time::advance(FIRST).await;
        assert_eq!(host.failures.hold(Instant::now()), None);
        let trial = trial(&host);
        assert_eq!(host.failures.hold(Instant::now()), Some(Duration::ZERO));
        drop(trial);
        assert_eq!(host.failures.hold(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_are_spread_over_their_whole_length() {
        let lengths: Vec<_> = (0..200)
            .map(|_| {
                let host = host();
                (0..FAILURES).filter_map(|_| fails(&host, None)).next_back().expect("a pause")
            })
            .collect();
        assert!(lengths.iter().any(|pause| *pause < FIRST / 4));
        assert!(lengths.iter().any(|pause| *pause > FIRST * 3 / 4));
    }
}
