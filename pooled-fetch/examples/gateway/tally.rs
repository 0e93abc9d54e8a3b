//! What is counted for each upstream beside what the pool counts itself.
//!
//! The pool tells of dials as they happen, in whatever task they do, so nothing here waits for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http::StatusCode;
use parking_lot::Mutex;
use pooled_fetch::pool_core::{Event, Observer, ServerInfo};
use pooled_fetch::{ErrorKind, Stats};

/// What is counted for one upstream.
#[derive(Debug)]
pub(crate) struct Tally {
    /// By the first digit of their status.
    answers: [AtomicU64; 10],
    failures: Vec<AtomicU64>,
    /// Answers whose bodies did not come whole.
    cut: AtomicU64,
    /// Until the first byte of the answer, in microseconds, since they were taken last.
    times: Mutex<Histogram<u64>>,
    under_way: AtomicUsize,
    /// The last dial has failed.
    unreachable: AtomicBool,
    /// A dial has failed since an answer has come; a connection that opens and says nothing is none.
    has_failed: AtomicBool,
    paused_until: Mutex<Option<Instant>>,
}

/// Beyond that a time is told as this long.
const LONGEST: u64 = 3_600_000_000;

/// Microseconds, to two digits.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 2).expect("bounds that make sense")
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            answers: Default::default(),
            failures: ErrorKind::ALL.iter().map(|_| AtomicU64::default()).collect(),
            cut: AtomicU64::default(),
            times: Mutex::new(times()),
            under_way: AtomicUsize::default(),
            unreachable: AtomicBool::default(),
            has_failed: AtomicBool::default(),
            paused_until: Mutex::default(),
        }
    }
}

impl Tally {
    /// A request is under way until what this gives drops.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// How many requests are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Whether a dial has failed since the last answer; only then [`is_failing`](Self::is_failing) is worth its cost.
    pub(crate) fn may_be_failing(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// An answer has begun, after so long a time.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        if self.has_failed.load(Ordering::Relaxed) {
            self.has_failed.store(false, Ordering::Relaxed);
        }
        let class = usize::from(status.as_u16() / 100).min(self.answers.len() - 1);
        self.answers[class].fetch_add(1, Ordering::Relaxed);
        self.times.lock().saturating_record(took.as_micros().try_into().unwrap_or(LONGEST));
    }

    /// No answer has come.
    pub(crate) fn failed(&self, kind: ErrorKind) {
        if let Some(at) = ErrorKind::ALL.iter().position(|other| *other == kind) {
            self.failures[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The body of an answer ended early.
    pub(crate) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// By the first digit of their status.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0)
    }

    pub(crate) fn failures(&self) -> impl Iterator<Item = (ErrorKind, u64)> {
        let counts = self.failures.iter().map(|count| count.load(Ordering::Relaxed));
        ErrorKind::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0)
    }

    pub(crate) fn bodies_cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// The times since they were taken last; `empty` takes their place.
    pub(crate) fn take_times(&self, empty: Histogram<u64>) -> Histogram<u64> {
        std::mem::replace(&mut self.times.lock(), empty)
    }

    /// How long the pool still refuses to dial.
    pub(crate) fn pause(&self) -> Duration {
        let until = *self.paused_until.lock();
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    /// Whether the upstream cannot be reached now: the pool says so, or its last dial has failed and nothing is open.
    pub(crate) fn is_failing(&self, stats: &Stats) -> bool {
        let open = stats.leased + stats.idle + stats.parked;
        stats.backing_off > 0 || open == 0 && self.unreachable.load(Ordering::Relaxed)
    }
}

/// One request, up to the end of its answer.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Tally>);

impl UnderWay {
    pub(crate) fn tally(&self) -> &Tally {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Told by the pool of each dial.
#[derive(Debug)]
pub(crate) struct Dials(HashMap<String, Arc<Tally>>);

impl Dials {
    /// For these addresses, as their `Debug` text.
    pub(crate) fn new(tallies: impl Iterator<Item = (String, Arc<Tally>)>) -> Self {
        Self(tallies.collect())
    }

    /// How many addresses that are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

impl Observer for Dials {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        // All else is told for every request.
        let dialled = matches!(
            event,
            Event::Opened { .. } | Event::OpenFailed { .. } | Event::BackingOff { .. }
        );
        let address = server.address();
        let Some(tally) = dialled.then(|| self.0.get(address)).flatten() else { return };
        let paused = match event {
            Event::Opened { .. } => {
                if tally.unreachable.swap(false, Ordering::Relaxed) {
                    tracing::warn!("{address} can be reached again");
                }
                None
            }
            Event::OpenFailed { error, .. } => {
                tally.has_failed.store(true, Ordering::Relaxed);
                // The first of many that say the same.
                if !tally.unreachable.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{error}");
                }
                None
            }
            Event::BackingOff { pause, .. } => Some(Instant::now() + *pause),
            _ => return,
        };
        *tally.paused_until.lock() = paused;
    }
}
