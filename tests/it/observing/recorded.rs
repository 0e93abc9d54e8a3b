//! Metrics: what a recorder has when requests have gone this way and that.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use metrics::set_default_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use pool_core::MetricsObserver;
use pooled_fetch_tests::{Backend, Whole, answer, bounded, get, start_with};

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// Gauges and counters with their values, and histograms with how many values they have; by name and labels, without those of
/// the server.
struct Recorded {
    snapshotter: Snapshotter,
    sums: BTreeMap<String, f64>,
}

impl Recorded {
    fn by(recorder: &DebuggingRecorder) -> Self {
        Self { snapshotter: recorder.snapshotter(), sums: BTreeMap::new() }
    }

    /// All that there is now.
    fn now(&mut self) -> &BTreeMap<String, f64> {
        // A snapshot takes away what it tells.
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let (_, key) = key.into_parts();
            let mut labels: Vec<_> = key
                .labels()
                .filter(|label| !label.key().starts_with("server."))
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            labels.sort();
            let line = format!("{} {}", key.name(), labels.join(" "));
            *self.sums.entry(line.trim().to_owned()).or_default() += match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => values.len() as f64,
            };
        }
        &self.sums
    }
}

#[track_caller]
fn assert_has(recorded: &BTreeMap<String, f64>, expected: &[(&str, f64)]) {
    for (line, value) in expected {
        assert_eq!(recorded.get(*line), Some(value), "{line}: {recorded:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_has_the_metrics_of_opentelemetry_and_those_of_the_pool() {
    bounded(async {
        let recorder = DebuggingRecorder::new();
        let mut recorded = Recorded::by(&recorder);
        let _recording = set_default_local_recorder(&recorder);
        let metrics = Arc::new(MetricsObserver::new());
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(Arc::clone(&metrics))).await;

        let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
        assert_has(
            recorded.now(),
            &[
                ("http.client.active_requests http.request.method=GET", 1.0),
                ("http.client.open_connections http.connection.state=active", 1.0),
                ("http.client.open_connections http.connection.state=idle", 0.0),
                ("pooled_fetch.connection.open_time", 1.0),
                ("pooled_fetch.request.queue_time", 1.0),
            ],
        );
        connection.write("half").await;
        Whole::read(response).await.expect("a body");
        let duration = "http.client.request.duration";
        let answered =
            "http.request.method=GET http.response.status_code=200 network.protocol.version=1.1";
        assert_has(
            recorded.now(),
            &[
                ("http.client.active_requests http.request.method=GET", 0.0),
                ("http.client.open_connections http.connection.state=active", 0.0),
                ("http.client.open_connections http.connection.state=idle", 1.0),
                (&format!("http.client.response.body.size {answered}"), 1.0),
                (
                    &format!("{duration} {answered}"),
                    1.0,
                ),
            ],
        );
        caller.pool.close_idle();
        caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
        caller.fetch(get("/")).await.expect_err("refused");
        let (cut, _, response) = server.open(caller.send(get("/")), HALF).await;
        drop(response);
        drop(cut);
        caller.watch.until_open(0).await;
        let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let (_open, ..) = server.open(caller.fetch(get("/")), missing).await;
        assert_has(
            recorded.now(),
            &[
                ("http.client.active_requests http.request.method=GET", 0.0),
                ("http.client.connection.duration pooled_fetch.reason=unwanted", 1.0),
                ("http.client.open_connections http.connection.state=active", 0.0),
                ("http.client.open_connections http.connection.state=idle", 1.0),
                ("pooled_fetch.connection.open_failures error.type=connect", 1.0),
                (&format!("{duration} error.type=connect http.request.method=GET"), 1.0),
                (
                    &format!("{duration} error.type=dropped {answered}"),
                    1.0,
                ),
                (
                    &format!("{duration} error.type=404 http.request.method=GET http.response.status_code=404 network.protocol.version=1.1"),
                    1.0,
                ),
            ],
        );
        metrics.set_gauges(&caller.pool.stats());
        assert_has(recorded.now(), &[("pooled_fetch.waiting", 0.0), ("pooled_fetch.backing_off", 0.0)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_over_a_reused_connection_leave_no_gauge_behind() {
    bounded(async {
        let recorder = DebuggingRecorder::new();
        let mut recorded = Recorded::by(&recorder);
        let _recording = set_default_local_recorder(&recorder);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(MetricsObserver::new())).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        for _ in 0..3 {
            server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
        }
        drop(connection);
        caller.watch.until_open(0).await;
        let gauges: f64 = recorded
            .now()
            .iter()
            .filter(|(line, _)| {
                line.starts_with("http.client.open") || line.starts_with("http.client.active")
            })
            .map(|(_, value)| *value)
            .sum();
        assert_eq!(gauges, 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_pools_with_names_keep_their_gauges_apart() {
    bounded(async {
        let recorder = DebuggingRecorder::new();
        let mut recorded = Recorded::by(&recorder);
        let _recording = set_default_local_recorder(&recorder);
        let one = Arc::new(MetricsObserver::new().of_pool("one"));
        let other = MetricsObserver::new().of_pool("other");
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(Arc::clone(&one))).await;
        let (_open, ..) = server.open(caller.fetch(get("/")), answer("whole")).await;
        one.set_gauges(&caller.pool.stats());
        other.set_gauges(&pool_core::Stats::default());
        let idle = "http.client.open_connections http.connection.state=idle pooled_fetch.pool=one";
        let told = recorded.now();
        assert_has(told, &[(idle, 1.0)]);
        for pool in ["one", "other"] {
            assert!(told.contains_key(&format!("pooled_fetch.waiting pooled_fetch.pool={pool}")));
        }
    })
    .await;
}
