//! What happens, as metrics of the facade `metrics`.

use std::collections::HashMap;
use std::time::Instant;

use http::Request;
use metrics::{
    Gauge, Label, SharedString, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};

use super::conventions;
use crate::report::{ErrorKind, Event, Follower, Observer, RequestEvent, ServerInfo, Stats};
use crate::request::RequestBody;
use crate::sync::Mutex;

/// An [`Observer`] that counts and times for the recorder of the crate `metrics`, such as an exporter for Prometheus; with the
/// feature `metrics`.
///
/// The first five are OpenTelemetry's metrics of HTTP clients. Each has the labels `server.address` and `server.port`, but for the
/// last group; and all have `pooled_fetch.pool` where the pool was [given a name](Self::of_pool).
///
/// | name | kind | unit | labels beside |
/// | --- | --- | --- | --- |
/// | `http.client.request.duration`, to the end of the response | histogram | seconds | `http.request.method`, `http.response.status_code`, `network.protocol.version`, `error.type` |
/// | `http.client.response.body.size`, of those that came whole | histogram | bytes | the same |
/// | `http.client.active_requests` | gauge | | `http.request.method` |
/// | `http.client.open_connections` | gauge | | `http.connection.state`: `active`, `idle` |
/// | `http.client.connection.duration` | histogram | seconds | `pooled_fetch.reason`, that of the close |
/// | `pooled_fetch.request.queue_time`, until the request had a connection; zero if one was idle | histogram | seconds | |
/// | `pooled_fetch.request.retries` | counter | | `error.type` |
/// | `pooled_fetch.connection.open_time` | histogram | seconds | |
/// | `pooled_fetch.connection.open_failures` | counter | | `error.type` |
/// | `pooled_fetch.connection.requests`, over the life of one | histogram | | |
/// | `pooled_fetch.connection.written`, `pooled_fetch.connection.read`, over the life of one | histogram | bytes | |
/// | `pooled_fetch.backoff.pauses` | counter | | |
/// | `pooled_fetch.waiting`, `pooled_fetch.opening`, `pooled_fetch.parked`, `pooled_fetch.streams`, `pooled_fetch.backing_off`, `pooled_fetch.quarantined`: what [`Stats`] says of the whole pool; by [`set_gauges`](Self::set_gauges) | gauge | | |
///
/// `error.type` is the name of an [`ErrorKind`], or `dropped` for a request that its caller has dropped. A method that is not registered
/// is `_OTHER`. No label is of a path or of a field, so their number is bounded by that of the addresses.
///
/// # Examples
///
/// ```
/// # use pool_core::{Connector, Pool};
/// # fn build(connector: impl Connector) -> Result<(), pool_core::BuildError> {
/// use std::sync::Arc;
///
/// use pool_core::MetricsObserver;
///
/// let metrics = Arc::new(MetricsObserver::new().of_pool("search"));
/// let pool = Pool::builder(connector).observer(Arc::clone(&metrics)).build()?;
/// // Where metrics are scraped, or each few seconds:
/// metrics.set_gauges(&pool.stats());
/// # drop(pool);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct MetricsObserver {
    /// The connections that are open, each with how many requests it carries.
    open: Mutex<HashMap<u64, usize>>,
    pool: Option<SharedString>,
}

/// As a recorder sees it, the state of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Active,
    Idle,
}

impl MetricsObserver {
    /// An observer that tells the recorder of the moment, to which it describes its metrics.
    ///
    /// It is to be made after the recorder was installed, and for each pool anew.
    pub fn new() -> Self {
        describe();
        Self { open: Mutex::default(), pool: None }
    }

    /// Names the pool in every label, where a program has several.
    #[must_use]
    pub fn of_pool(self, name: impl Into<String>) -> Self {
        Self { pool: Some(name.into().into()), ..self }
    }

    /// Sets the gauges of what its pool holds.
    pub fn set_gauges(&self, stats: &Stats) {
        for (name, count) in [
            ("pooled_fetch.waiting", stats.waiting),
            ("pooled_fetch.opening", stats.opening),
            ("pooled_fetch.parked", stats.parked),
            ("pooled_fetch.streams", stats.streams),
            ("pooled_fetch.backing_off", stats.backing_off),
            ("pooled_fetch.quarantined", stats.quarantined),
        ] {
            gauge!(name, self.own_label().into_iter().collect::<Vec<_>>()).set(count as f64);
        }
    }

    fn own_label(&self) -> Option<Label> {
        self.pool.as_ref().map(|name| Label::new("pooled_fetch.pool", name.clone()))
    }

    /// The labels of a server, and some beside.
    fn labels<const N: usize>(
        &self,
        server: &ServerInfo,
        beside: [(&'static str, String); N],
    ) -> Vec<Label> {
        let mut labels = Vec::with_capacity(N + 3);
        labels.push(Label::new("server.address", server.host().to_owned()));
        labels.push(Label::new("server.port", server.port().to_string()));
        labels.extend(self.own_label());
        labels.extend(beside.map(|(name, value)| Label::new(name, value)));
        labels
    }

    fn count_open(&self, server: &ServerInfo, state: State) -> Gauge {
        let state = match state {
            State::Active => "active",
            State::Idle => "idle",
        };
        let labels = self.labels(server, [("http.connection.state", state.into())]);
        gauge!("http.client.open_connections", labels)
    }

    /// A connection carries more requests by `change`, or fewer.
    fn carries(&self, server: &ServerInfo, id: u64, change: impl FnOnce(usize) -> usize) {
        let mut open = self.open.lock();
        // A stream may end after its connection has closed.
        let Some(requests) = open.get_mut(&id) else { return };
        let (before, after) = (*requests, change(*requests));
        *requests = after;
        // The recorder is code of the caller.
        drop(open);
        if State::of(before) != State::of(after) {
            self.count_open(server, State::of(before)).decrement(1);
            self.count_open(server, State::of(after)).increment(1);
        }
    }
}

impl Default for MetricsObserver {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    fn of(requests: usize) -> Self {
        if requests == 0 { Self::Idle } else { Self::Active }
    }
}

fn error_type(kind: ErrorKind) -> [(&'static str, String); 1] {
    [("error.type", kind.as_str().to_owned())]
}

impl Observer for MetricsObserver {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        match *event {
            Event::Opened { id, took } => {
                self.open.lock().insert(id, 0);
                self.count_open(server, State::Idle).increment(1);
                let labels = self.labels(server, []);
                histogram!("pooled_fetch.connection.open_time", labels).record(took);
            }
            Event::OpenFailed { error } => {
                let labels = self.labels(server, error_type(error.kind()));
                counter!("pooled_fetch.connection.open_failures", labels).increment(1);
            }
            Event::BackingOff { .. } => {
                counter!("pooled_fetch.backoff.pauses", self.labels(server, [])).increment(1);
            }
            Event::Retried { error } => {
                let labels = self.labels(server, error_type(error.kind()));
                counter!("pooled_fetch.request.retries", labels).increment(1);
            }
            Event::CheckedOut { id, .. } => self.carries(server, id, |requests| requests + 1),
            Event::CheckedIn { id } => {
                self.carries(server, id, |requests| requests.saturating_sub(1));
            }
            Event::Closed { id, reason, age, carried } => {
                let carries = self.open.lock().remove(&id);
                if let Some(requests) = carries {
                    self.count_open(server, State::of(requests)).decrement(1);
                }
                let by_reason = [("pooled_fetch.reason", reason.to_string())];
                let by_reason = self.labels(server, by_reason);
                histogram!("http.client.connection.duration", by_reason).record(age);
                for (name, count) in [
                    ("pooled_fetch.connection.requests", carried.requests),
                    ("pooled_fetch.connection.written", carried.written),
                    ("pooled_fetch.connection.read", carried.read),
                ] {
                    histogram!(name, self.labels(server, [])).record(count as f64);
                }
            }
        }
    }

    fn follow(
        &self,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<dyn Follower>> {
        let method = conventions::method(request.method()).to_owned();
        let labels = self.labels(server, [("http.request.method", method)]);
        gauge!("http.client.active_requests", labels.clone()).increment(1);
        let of_server = self.labels(server, []);
        Some(Box::new(Followed { began: Instant::now(), of_server, labels, answered: Vec::new() }))
    }
}

/// One request.
struct Followed {
    began: Instant,
    of_server: Vec<Label>,
    labels: Vec<Label>,
    /// What its response adds to these.
    answered: Vec<Label>,
}

impl Followed {
    /// It has come to its end, with a response that was whole, or in an error.
    fn end(&mut self, ended: Result<u64, &'static str>) {
        let mut labels = std::mem::take(&mut self.labels);
        gauge!("http.client.active_requests", labels.clone()).decrement(1);
        labels.append(&mut self.answered);
        match ended {
            Ok(received) => {
                histogram!("http.client.response.body.size", labels.clone())
                    .record(received as f64);
            }
            Err(error) => {
                labels.retain(|label| label.key() != "error.type");
                labels.push(Label::from_static_parts("error.type", error));
            }
        }
        histogram!("http.client.request.duration", labels).record(self.began.elapsed());
    }
}

impl Follower for Followed {
    fn observe(&mut self, event: &RequestEvent<'_>) {
        match *event {
            RequestEvent::Retried { .. } => {}
            RequestEvent::Answered { status, version, connection, .. } => {
                let version = conventions::version(version);
                let code = status.as_str().to_owned();
                self.answered = vec![
                    Label::new("http.response.status_code", code.clone()),
                    Label::from_static_parts("network.protocol.version", version),
                ];
                if status.is_client_error() || status.is_server_error() {
                    self.answered.push(Label::new("error.type", code));
                }
                let waited = connection.queue_time();
                let labels = self.of_server.clone();
                histogram!("pooled_fetch.request.queue_time", labels).record(waited);
            }
            RequestEvent::Ended { received } => self.end(Ok(received)),
            RequestEvent::Failed { error, .. } => {
                // Those that waited longest are among them.
                if self.answered.is_empty()
                    && let Some(connection) = error.evidence().connection()
                {
                    let waited = connection.queue_time();
                    let labels = self.of_server.clone();
                    histogram!("pooled_fetch.request.queue_time", labels).record(waited);
                }
                self.end(Err(error.kind().as_str()));
            }
            RequestEvent::Dropped { .. } => self.end(Err("dropped")),
        }
    }
}

fn describe() {
    for (name, unit, text) in [
        (
            "http.client.request.duration",
            Unit::Seconds,
            "From a request to the end of its response",
        ),
        ("http.client.response.body.size", Unit::Bytes, "Content of a response"),
        ("http.client.connection.duration", Unit::Seconds, "For how long a connection was open"),
        ("pooled_fetch.request.queue_time", Unit::Seconds, "Until a request had a connection"),
        ("pooled_fetch.connection.open_time", Unit::Seconds, "How long opening a connection took"),
        ("pooled_fetch.connection.requests", Unit::Count, "What one connection has carried"),
        ("pooled_fetch.connection.written", Unit::Bytes, "What one connection has accepted"),
        ("pooled_fetch.connection.read", Unit::Bytes, "What one connection has delivered"),
    ] {
        describe_histogram!(name, unit, text);
    }
    for (name, text) in [
        ("http.client.active_requests", "Requests under way"),
        ("http.client.open_connections", "Connections that are open"),
        ("pooled_fetch.waiting", "Requests that wait for a connection"),
        ("pooled_fetch.opening", "Connections being opened"),
        ("pooled_fetch.parked", "Idle connections parked as bare streams"),
        ("pooled_fetch.streams", "Streams open on HTTP/2 connections"),
        ("pooled_fetch.backing_off", "Addresses that fail"),
        ("pooled_fetch.quarantined", "Addresses that have sent bytes without a request"),
    ] {
        describe_gauge!(name, Unit::Count, text);
    }
    for (name, text) in [
        ("pooled_fetch.request.retries", "Requests sent again"),
        ("pooled_fetch.connection.open_failures", "Connections that could not be opened"),
        ("pooled_fetch.backoff.pauses", "Pauses of addresses that fail"),
    ] {
        describe_counter!(name, Unit::Count, text);
    }
}
