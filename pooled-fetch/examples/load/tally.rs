//! What a worker has seen: each has a tally of its own, and they are added up at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http::Version;
use pooled_fetch::Error;

use super::BoxError;
use super::target::Answer;

/// Three digits of a latency are more than any two runs agree on.
const DIGITS: u8 = 3;

/// What became of requests.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    /// Of the bodies of answers.
    pub(crate) bytes: u64,
    pub(crate) failed: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// By kind: how many, and the text of the first.
    pub(crate) errors: BTreeMap<&'static str, (u64, String)>,
    /// Of the last answer.
    pub(crate) version: Option<Version>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self, BoxError> {
        Ok(Self {
            latencies: Histogram::new(DIGITS)?,
            bytes: 0,
            failed: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            version: None,
        })
    }

    /// A request that was due then has ended now.
    pub(crate) fn ended(&mut self, due: Instant, how: Result<Answer, Error>) {
        match how {
            Ok(Answer { status, version, bytes }) => {
                // It grows with what is recorded, and holds whatever a clock can tell.
                self.latencies.record(nanoseconds(due.elapsed())).ok();
                self.bytes += bytes;
                *self.statuses.entry(status).or_default() += 1;
                self.version = Some(version);
            }
            Err(error) => {
                self.failed += 1;
                let (count, _) = self
                    .errors
                    .entry(error.kind().as_str())
                    .or_insert_with(|| (0, error.to_string()));
                *count += 1;
            }
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.latencies.len()
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<(), BoxError> {
        self.latencies.add(&other.latencies)?;
        self.bytes += other.bytes;
        self.failed += other.failed;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (kind, (count, first)) in &other.errors {
            self.errors.entry(kind).or_insert_with(|| (0, first.clone())).0 += count;
        }
        self.version = self.version.or(other.version);
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
