//! What is shown, in the text that Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::samples::{Shown, ShownUpstream, State};

pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Up to what latencies are counted together, in microseconds.
const BOUNDS: [u64; 13] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    10_000_000,
];

/// The text for what is shown.
pub(crate) fn text(shown: Shown) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("gateway");
    registry.register_collector(Box::new(shown));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// A number of one upstream, with what tells it from others of its metric.
type Labelled = (Vec<(&'static str, String)>, u64);

struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    of: fn(&ShownUpstream) -> Vec<Labelled>,
}

impl Metric {
    const fn gauge(
        name: &'static str,
        help: &'static str,
        of: fn(&ShownUpstream) -> Vec<Labelled>,
    ) -> Self {
        Self { name, help, kind: MetricType::Gauge, of }
    }

    const fn counter(
        name: &'static str,
        help: &'static str,
        of: fn(&ShownUpstream) -> Vec<Labelled>,
    ) -> Self {
        Self { name, help, kind: MetricType::Counter, of }
    }
}

const METRICS: &[Metric] = &[
    Metric::gauge("up", "0 while it cannot be reached", |one| {
        plain(u64::from(one.state != State::Failing))
    }),
    Metric::gauge("quarantined", "1 while each connection serves one request", |one| {
        plain(u64::from(one.quarantined))
    }),
    Metric::gauge("connections", "Connections that are open or being opened", |one| {
        let counts = [
            ("idle", one.idle),
            ("parked", one.parked),
            ("lent", one.lent),
            ("opening", one.opening),
        ];
        counts.iter().map(|(state, count)| (label("state", state), *count as u64)).collect()
    }),
    Metric::gauge("streams", "Streams open on HTTP/2 connections", |one| plain(one.streams as u64)),
    Metric::gauge("waiting", "Requests that wait for a connection", |one| {
        plain(one.waiting as u64)
    }),
    Metric::counter("requests", "Requests that asked for a connection", |one| plain(one.requests)),
    Metric::counter("reused", "Answers over a connection that had served before", |one| {
        plain(one.reused)
    }),
    Metric::counter("opened", "Connections opened", |one| plain(one.opened)),
    Metric::counter("failed_to_open", "Connections that could not be opened", |one| {
        plain(one.failed_to_open)
    }),
    Metric::counter("stale", "Attempts over a connection that was given up", |one| {
        plain(one.stale)
    }),
    Metric::counter("retried", "Attempts after one that failed", |one| plain(one.retried)),
    Metric::counter("cut", "Answers that did not come whole", |one| plain(one.cut)),
    Metric::counter("answers", "Answers, by the first digit of their status", |one| {
        let class = |class| label("class", &format!("{class}xx"));
        one.answers.iter().map(|(digit, count)| (class(digit), *count)).collect()
    }),
    Metric::counter("failures", "Requests without an answer", |one| by("kind", &one.failures)),
    Metric::counter("closed", "Connections closed", |one| by("reason", &one.closed)),
];

fn plain(count: u64) -> Vec<Labelled> {
    vec![(Vec::new(), count)]
}

fn by(key: &'static str, counts: &[(&'static str, u64)]) -> Vec<Labelled> {
    counts.iter().map(|(name, count)| (label(key, name), *count)).collect()
}

fn label(key: &'static str, value: &str) -> Vec<(&'static str, String)> {
    vec![(key, value.to_owned())]
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Metric { name, help, kind, of } in METRICS {
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            for upstream in &self.upstreams {
                for (mut labels, count) in of(upstream) {
                    labels.insert(0, ("upstream", upstream.name.clone()));
                    let one = metric.encode_family(&labels)?;
                    match kind {
                        MetricType::Counter => ConstCounter::new(count).encode(one)?,
                        _ => ConstGauge::new(count).encode(one)?,
                    }
                }
            }
        }
        let help = "Until the first byte of an answer";
        let mut metric =
            encoder.encode_descriptor("answer_seconds", help, None, MetricType::Histogram)?;
        for upstream in &self.upstreams {
            let times = &upstream.times;
            let mut from = 0;
            let mut buckets: Vec<_> = BOUNDS
                .iter()
                .map(|bound| {
                    let low = std::mem::replace(&mut from, bound + 1);
                    (*bound as f64 / 1e6, times.count_between(low, *bound))
                })
                .collect();
            buckets.push((
                f64::INFINITY,
                times.len() - buckets.iter().map(|(_, count)| count).sum::<u64>(),
            ));
            let sum = times.mean() * times.len() as f64 / 1e6;
            let labels = label("upstream", &upstream.name);
            let labels = labels.as_slice();
            metric.encode_family(&labels)?.encode_histogram::<[(&str, &str); 0]>(
                sum,
                times.len(),
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
