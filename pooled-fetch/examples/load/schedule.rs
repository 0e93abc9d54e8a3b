//! When each request is due: as soon as the one before it is answered, or at even intervals.
//!
//! What must hold with a rate: nothing that a server does moves the moment at which a request is due. So the moments are told
//! by a thread that waits for nothing but the clock, and which the clock wakes more finely than the timers of a runtime,
//! which count milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::options::Options;

/// Of a run that is bounded by nothing else.
const DURATION: Duration = Duration::from_secs(10);

/// Hands out turns to the workers.
#[derive(Debug)]
pub(crate) struct Schedule {
    begin: Instant,
    /// For how long requests are due.
    pub(crate) duration: Option<Duration>,
    /// As many are sent at most.
    pub(crate) requests: Option<u64>,
    taken: AtomicU64,
    /// None is sent any more.
    over: Option<Instant>,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Pace {
    per_second: u32,
    /// A permit for each request that is due.
    due: Semaphore,
}

impl Schedule {
    /// Begins now.
    pub(crate) fn start(options: &Options) -> Arc<Self> {
        let (mut duration, mut requests) = (options.duration, options.requests.map(u64::from));
        if requests.is_none() {
            duration = duration.or(Some(DURATION));
        }
        let begin = Instant::now();
        let mut over = duration.map(|duration| begin + duration);
        let pace = options.rate.map(|rate| {
            let within =
                |duration: Duration| (duration.as_secs_f64() * f64::from(rate.get())).ceil() as u64;
            let most = duration.map_or(u64::MAX, within);
            requests = Some(requests.map_or(most, |requests| requests.min(most)));
            over = over.filter(|_| !options.timeout.is_zero()).map(|over| over + options.timeout);
            Pace { per_second: rate.get(), due: Semaphore::new(0) }
        });
        let paced = pace.is_some();
        let schedule =
            Arc::new(Self { begin, duration, requests, taken: AtomicU64::new(0), over, pace });
        if paced {
            let schedule = Arc::clone(&schedule);
            thread::spawn(move || schedule.tell());
        }
        schedule
    }

    /// The moment from which the latency of the next request counts, when it has come; none when the run is over.
    pub(crate) async fn next(&self) -> Option<Instant> {
        if let Some(pace) = &self.pace {
            pace.due.acquire().await.ok()?.forget();
        }
        let now = Instant::now();
        if self.over.is_some_and(|over| now >= over) {
            return None;
        }
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if self.requests.is_some_and(|requests| number >= requests) {
            return None;
        }
        Some(self.pace.as_ref().map_or(now, |pace| self.begin + pace.after(number)))
    }

    /// How many turns were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed).min(self.requests.unwrap_or(u64::MAX))
    }

    /// How many were due by now and were not sent: the server has kept all workers for too long.
    pub(crate) fn not_sent(&self) -> u64 {
        let Some(pace) = &self.pace else { return 0 };
        let due = pace.before(self.elapsed()).min(self.requests.unwrap_or(u64::MAX));
        due.saturating_sub(self.taken())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Tells requests to be due, one after the other, and then all workers that there are no more.
    fn tell(self: Arc<Self>) {
        let Some(pace) = &self.pace else { return };
        let requests = self.requests.unwrap_or(u64::MAX);
        let mut told = 0;
        while told < requests {
            let due = pace.before(self.elapsed()).min(requests);
            pace.due.add_permits(usize::try_from(due - told).unwrap_or(Semaphore::MAX_PERMITS));
            told = due;
            // Nobody is left to wait for the others.
            if Arc::strong_count(&self) == 1 {
                return;
            }
            thread::park_timeout(pace.after(told).saturating_sub(self.elapsed()));
        }
        pace.due.add_permits(LAST);
    }
}

/// More than there are workers: each wants one permit to learn that the run is over.
const LAST: usize = 1 << 24;

impl Pace {
    /// When the request of this number is due, after the begin.
    fn after(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / f64::from(self.per_second))
    }

    /// How many are due by then.
    fn before(&self, elapsed: Duration) -> u64 {
        (elapsed.as_secs_f64() * f64::from(self.per_second)) as u64 + 1
    }
}
