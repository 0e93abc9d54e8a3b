//! What the page and Prometheus are shown: what the pool holds now, what it has done, and the last minute second by
//! second. Who looks at it costs the requests nothing.
//!
//! The same turn dials the upstreams that fail, because no request does while another upstream is up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use pooled_fetch::{Reason, Stats};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::tally::{Tally, times};
use super::upstreams::{Upstream, Upstreams};

const TURN: Duration = Duration::from_secs(1);

/// How many turns are kept.
const KEPT: usize = 60;

/// Shared by the turn and by those who look.
#[derive(Debug)]
pub(crate) struct Samples {
    upstreams: Arc<Upstreams>,
    began: Instant,
    pasts: Mutex<Vec<Past>>,
}

/// What was seen of one upstream.
#[derive(Clone, Debug)]
struct Past {
    requests: u64,
    seen: Instant,
    /// All there were, in microseconds.
    times: Histogram<u64>,
    turns: VecDeque<Turn>,
}

/// One second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Turn {
    pub(crate) requests_per_second: f64,
    pub(crate) connections: usize,
    /// None without an answer.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Connections to it are open.
    Up,
    /// It cannot be reached.
    Failing,
    /// Nothing is open, and nothing is wrong.
    Idle,
}

/// All that is shown.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) seconds: u64,
    pub(crate) upstreams: Vec<ShownUpstream>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ShownUpstream {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Until it is dialled again.
    pub(crate) pause_ms: u64,
    /// It has answered out of step, and each of its connections serves one request for now.
    pub(crate) quarantined: bool,
    pub(crate) idle: usize,
    pub(crate) parked: usize,
    pub(crate) lent: usize,
    pub(crate) opening: usize,
    pub(crate) waiting: usize,
    pub(crate) streams: usize,
    pub(crate) requests: u64,
    pub(crate) reused: u64,
    pub(crate) opened: u64,
    pub(crate) failed_to_open: u64,
    pub(crate) stale: u64,
    pub(crate) retried: u64,
    pub(crate) cut: u64,
    pub(crate) answers: Vec<(usize, u64)>,
    pub(crate) failures: Vec<(&'static str, u64)>,
    pub(crate) closed: Vec<(&'static str, u64)>,
    pub(crate) turns: Vec<Turn>,
    #[serde(skip)]
    pub(crate) times: Histogram<u64>,
}

impl Samples {
    /// Looks once a second from now on.
    pub(crate) fn start(upstreams: Arc<Upstreams>) -> Arc<Self> {
        let past =
            Past { requests: 0, seen: Instant::now(), times: times(), turns: VecDeque::new() };
        let pasts = Mutex::new(vec![past; upstreams.all.len()]);
        let samples = Arc::new(Self { upstreams, began: Instant::now(), pasts });
        tokio::spawn(Arc::clone(&samples).look());
        samples
    }

    async fn look(self: Arc<Self>) {
        let mut dials: Vec<Option<JoinHandle<()>>> =
            self.upstreams.all.iter().map(|_| None).collect();
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut first = true;
        loop {
            turns.tick().await;
            for (at, (upstream, tally)) in self.upstreams.all.iter().enumerate() {
                let stats = self.upstreams.pool.stats_of(&upstream.endpoint).unwrap_or_default();
                if !first {
                    self.pasts.lock()[at].add(&stats, tally);
                }
                let is_dialled = dials[at].as_ref().is_some_and(|dial| !dial.is_finished());
                // The first dial tells of an upstream that was misspelt before a client does.
                if (first || tally.is_failing(&stats)) && !is_dialled {
                    dials[at] = Some(tokio::spawn(dial(Arc::clone(&self.upstreams), at)));
                }
            }
            first = false;
        }
    }

    /// What there is to see now.
    pub(crate) fn show(&self) -> Shown {
        let pasts = self.pasts.lock().clone();
        let all = self.upstreams.all.iter().zip(pasts);
        let pool = &self.upstreams.pool;
        let shown = all.map(|((upstream, tally), past)| {
            let stats = pool.stats_of(&upstream.endpoint).unwrap_or_default();
            show(upstream, tally, &stats, past)
        });
        Shown { seconds: self.began.elapsed().as_secs(), upstreams: shown.collect() }
    }
}

/// What fails tells the log by itself.
async fn dial(upstreams: Arc<Upstreams>, at: usize) {
    upstreams.pool.warm(&upstreams.all[at].0.endpoint, 1).await.ok();
}

impl Past {
    fn add(&mut self, stats: &Stats, tally: &Tally) {
        let times = tally.take_times(times());
        let at =
            |quantile| (!times.is_empty()).then(|| times.value_at_quantile(quantile) as f64 / 1e3);
        // A pool that has forgotten an upstream begins anew.
        let requests = stats.requests.checked_sub(self.requests).unwrap_or(stats.requests);
        let now = Instant::now();
        let turn = Turn {
            requests_per_second: requests as f64 / (now - self.seen).as_secs_f64(),
            connections: stats.idle + stats.parked + stats.leased,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        };
        (self.requests, self.seen) = (stats.requests, now);
        self.times += times;
        self.turns.push_back(turn);
        if self.turns.len() > KEPT {
            self.turns.pop_front();
        }
    }
}

fn show(upstream: &Upstream, tally: &Tally, stats: &Stats, past: Past) -> ShownUpstream {
    let state = if tally.is_failing(stats) {
        State::Failing
    } else if stats.idle + stats.parked + stats.leased > 0 {
        State::Up
    } else {
        State::Idle
    };
    let closed = Reason::ALL.iter().map(|reason| (reason.as_str(), stats.closed(*reason)));
    ShownUpstream {
        name: upstream.name.clone(),
        state,
        pause_ms: tally.pause().as_millis().try_into().unwrap_or(u64::MAX),
        quarantined: stats.quarantined > 0,
        idle: stats.idle,
        parked: stats.parked,
        lent: stats.leased,
        opening: stats.opening,
        waiting: stats.waiting,
        streams: stats.streams,
        requests: stats.requests,
        reused: stats.reused,
        opened: stats.opened,
        failed_to_open: stats.failed_to_open,
        stale: stats.stale,
        retried: stats.retried,
        cut: tally.bodies_cut(),
        answers: tally.answers().collect(),
        failures: tally.failures().map(|(kind, count)| (kind.as_str(), count)).collect(),
        closed: closed.filter(|(_, count)| *count > 0).collect(),
        turns: past.turns.into(),
        times: past.times,
    }
}
