//! The figures of a run; as JSON they are named as here.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use http::Version;
use pooled_fetch::{Reason, Stats};
use serde::Serialize;

use super::options::Options;
use super::schedule::Schedule;
use super::tally::Tally;
use super::target::Requests;

const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)];

/// As many lines as a histogram has.
const STEPS: i32 = 10;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) method: String,
    /// As the last answer had it.
    pub(crate) version: Option<&'static str>,
    pub(crate) concurrency: usize,
    /// Requests a second that were asked for.
    pub(crate) rate: Option<u32>,
    pub(crate) seconds: f64,
    /// Whether Ctrl-C has ended it.
    pub(crate) interrupted: bool,
    pub(crate) requests: Counts,
    /// Whole answers.
    pub(crate) per_second: f64,
    /// Of the bodies of answers.
    pub(crate) bytes: u64,
    pub(crate) bytes_per_second: f64,
    pub(crate) latency: Option<Latency>,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) connections: Connections,
    pub(crate) errors: BTreeMap<&'static str, Failure>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Counts {
    /// All that were sent, or failed before.
    pub(crate) all: u64,
    /// Whole answers, whatever their status.
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Under way when the run was interrupted.
    pub(crate) unfinished: u64,
    /// Due by the rate, and not sent.
    pub(crate) not_sent: u64,
}

/// In microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    /// `due` with a rate, else `sent`.
    pub(crate) since: &'static str,
    pub(crate) min: f64,
    pub(crate) mean: f64,
    /// By name.
    #[serde(flatten)]
    pub(crate) quantiles: BTreeMap<&'static str, f64>,
    pub(crate) max: f64,
    pub(crate) histogram: Vec<Step>,
}

/// How many requests took longer than in the step before, and up to so many microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) up_to: f64,
    pub(crate) count: u64,
}

/// As the pool has counted, but what `--warm` has opened is part of it.
#[derive(Debug, Serialize)]
pub(crate) struct Connections {
    pub(crate) opened: u64,
    pub(crate) failed_to_open: u64,
    /// Answers over a connection that had carried a request before.
    pub(crate) reused: u64,
    /// Attempts over a connection that the server had given up.
    pub(crate) stale: u64,
    /// Attempts after one that had failed.
    pub(crate) retried: u64,
    /// By reason, until the last request had ended.
    pub(crate) closed: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) count: u64,
    pub(crate) first: String,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        requests: &Requests,
        schedule: &Schedule,
        sum: &Tally,
        stats: &Stats,
        elapsed: Duration,
    ) -> Self {
        let (seconds, answered) = (elapsed.as_secs_f64(), sum.answered());
        let errors = sum
            .errors
            .iter()
            .map(|(kind, (count, first))| (*kind, Failure { count: *count, first: first.clone() }));
        Self {
            target: options.target.name.clone(),
            method: requests.method.to_string(),
            version: sum.version.map(named),
            concurrency: options.concurrency.get(),
            rate: options.rate.map(u32::from),
            seconds,
            interrupted: false,
            requests: Counts {
                all: schedule.taken(),
                answered,
                failed: sum.failed,
                unfinished: schedule.taken() - answered - sum.failed,
                not_sent: schedule.not_sent(),
            },
            per_second: answered as f64 / seconds,
            bytes: sum.bytes,
            bytes_per_second: sum.bytes as f64 / seconds,
            latency: Latency::of(&sum.latencies, options.rate.is_some()),
            statuses: sum.statuses.clone(),
            connections: Connections::of(stats),
            errors: errors.collect(),
        }
    }
}

fn named(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

impl Latency {
    fn of(latencies: &Histogram<u64>, with_rate: bool) -> Option<Self> {
        if latencies.is_empty() {
            return None;
        }
        let quantile = |(name, quantile)| (name, micros(latencies.value_at_quantile(quantile)));
        Some(Self {
            since: if with_rate { "due" } else { "sent" },
            min: micros(latencies.min()),
            mean: latencies.mean() / 1e3,
            quantiles: QUANTILES.map(quantile).into(),
            max: micros(latencies.max()),
            histogram: steps(latencies),
        })
    }
}

/// From the least to the most, each step as many times as long as the one before: the slow few would make even steps
/// of no use.
fn steps(latencies: &Histogram<u64>) -> Vec<Step> {
    let (min, max) = (latencies.min().max(1) as f64, latencies.max().max(1) as f64);
    let mut before = 0;
    (1..=STEPS)
        .map(|step| {
            let share = f64::from(step) / f64::from(STEPS);
            let up_to = if step == STEPS {
                latencies.max()
            } else {
                (min * (max / min).powf(share)) as u64
            };
            let below = latencies.count_between(0, up_to);
            let count = below - before;
            before = below;
            Step { up_to: micros(up_to), count }
        })
        .collect()
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

impl Connections {
    fn of(stats: &Stats) -> Self {
        let closed = Reason::ALL.iter().map(|reason| (reason.as_str(), stats.closed(*reason)));
        Self {
            opened: stats.opened,
            failed_to_open: stats.failed_to_open,
            reused: stats.reused,
            stale: stats.stale,
            retried: stats.retried,
            closed: closed.filter(|(_, count)| *count > 0).collect(),
        }
    }
}
