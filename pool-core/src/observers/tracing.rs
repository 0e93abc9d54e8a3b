//! Requests as spans and connections as events of the crate `tracing`.

use http::uri::Authority;
use http::{Request, Uri};
use tracing::field::Empty;
use tracing::{Level, Span, debug, info_span, span_enabled, trace, warn};

use super::conventions;
use crate::report::{ConnectionInfo, Event, Follower, Observer, RequestEvent, ServerInfo};
use crate::request::RequestBody;

/// An [`Observer`] that makes a span of each request, and an event of what happens to each connection; with the feature
/// `tracing`.
///
/// Names are those of OpenTelemetry's conventions for HTTP clients, so that a layer such as that of `tracing-opentelemetry` has
/// nothing to translate. All have the target `pooled_fetch`.
///
/// | what | level | fields |
/// | --- | --- | --- |
/// | span `HTTP`, from the first poll of the request to the end of its response | info | `otel.name` (the method), `otel.kind`, `otel.status_code`, `http.request.method`, `http.request.method_original`, `http.request.resend_count`, `http.response.status_code`, `http.response.body.size`, `server.address`, `server.port`, `url.full`, `network.protocol.name`, `network.protocol.version`, `network.peer.address`, `network.peer.port`, `error.type` |
/// | the same, of the pool | | `pooled_fetch.connection.id`, `pooled_fetch.connection.reused`, `pooled_fetch.queue_time` |
/// | in the span: sent again, failed; dropped by its caller | debug | `error` |
/// | opened, closed | debug | `connection`, `took`; `connection`, `reason`, `age`, `requests`, `written`, `read` |
/// | checked out, checked in | trace | `connection`, `use_number`, `idle_for` |
/// | could not be opened, is not dialled for a while | warn | `error`; `pause` |
///
/// The span is a child of the one that is current when the request is polled first. To carry a context to the server is the
/// work of a layer of the caller, above the pool: the pool adds no field to a request. So the span of the server is a sibling of
/// this one, and a child of the caller's.
///
/// A request has one span, however often it is sent, where the conventions would have one for each time: which connections it
/// went over is told within it. `url.full` has no query and no user, since both may hold secrets. `error.type` is the name of the
/// [`ErrorKind`](crate::ErrorKind), the status where that is 400 or more, or `dropped`. A method that is not registered is
/// `_OTHER`, as it is by default elsewhere. A request whose span is disabled is not followed.
///
/// # Examples
///
/// ```
/// # use pool_core::{Connector, Pool};
/// # fn build(connector: impl Connector) -> Result<(), pool_core::BuildError> {
/// use pool_core::TracingObserver;
///
/// let pool = Pool::builder(connector).observer(TracingObserver::new()).build()?;
/// # drop(pool);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver(());

impl TracingObserver {
    /// An observer that tells the subscriber of the moment.
    pub fn new() -> Self {
        Self::default()
    }
}

const TARGET: &str = "pooled_fetch";

impl Observer for TracingObserver {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        let (host, port) = (server.host(), server.port());
        macro_rules! tell {
            ($level:ident, $text:literal, $($field:tt)*) => {
                $level!(target: TARGET, { server.address = host, server.port = port, $($field)* }, $text)
            };
        }
        match *event {
            Event::Opened { id, took } => tell!(debug, "opened", connection = id, took = ?took),
            Event::OpenFailed { error } => tell!(warn, "could not be opened", error = %error),
            Event::BackingOff { pause } => {
                tell!(warn, "is not dialled for a while", pause = ?pause);
            }
            // Told within the span of its request.
            Event::Retried { .. } => {}
            Event::CheckedOut { id, use_number, idle_for } => {
                tell!(trace, "checked out", connection = id, use_number, idle_for = ?idle_for);
            }
            Event::CheckedIn { id } => tell!(trace, "checked in", connection = id),
            Event::Closed { id, reason, age, carried } => {
                tell!(
                    debug,
                    "closed",
                    connection = id,
                    reason = reason.as_str(),
                    age = ?age,
                    requests = carried.requests,
                    written = carried.written,
                    read = carried.read
                );
            }
        }
    }

    fn follow(
        &self,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<dyn Follower>> {
        if !span_enabled!(target: TARGET, Level::INFO) {
            return None;
        }
        let method = conventions::method(request.method());
        let original = (request.method().as_str() != method).then(|| request.method().as_str());
        let span = info_span!(
            target: TARGET,
            "HTTP",
            // The convention's name for a method that is not registered.
            otel.name = if original.is_some() { "HTTP" } else { method },
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = method,
            http.request.method_original = original,
            http.request.resend_count = Empty,
            http.response.status_code = Empty,
            http.response.body.size = Empty,
            server.address = server.host(),
            server.port = server.port(),
            url.full = full(request.uri(), server),
            network.protocol.name = "http",
            network.protocol.version = Empty,
            network.peer.address = Empty,
            network.peer.port = Empty,
            "error.type" = Empty,
            pooled_fetch.connection.id = Empty,
            pooled_fetch.connection.reused = Empty,
            pooled_fetch.queue_time = Empty,
        );
        (!span.is_disabled())
            .then(|| -> Box<dyn Follower> { Box::new(Followed { span, is_answered: false }) })
    }
}

/// Where the request goes, without what may be secret.
fn full(uri: &Uri, server: &ServerInfo) -> String {
    let scheme = uri.scheme().unwrap_or(server.scheme());
    let authority = uri.authority().map_or(server.authority(), Authority::as_str);
    let named = authority.rsplit_once('@').map_or(authority, |(_, named)| named);
    format!("{scheme}://{named}{}", uri.path())
}

/// One request.
struct Followed {
    span: Span,
    is_answered: bool,
}

impl Followed {
    fn record_connection(&self, connection: &ConnectionInfo) {
        let Self { span, .. } = self;
        span.record("pooled_fetch.connection.id", connection.id());
        span.record("pooled_fetch.connection.reused", connection.is_reused());
        span.record("pooled_fetch.queue_time", connection.queue_time().as_secs_f64());
        if let Some(peer) = connection.peer_address() {
            span.record("network.peer.address", peer.ip().to_string());
            span.record("network.peer.port", peer.port());
        }
        if connection.attempt() > 1 {
            span.record("http.request.resend_count", connection.attempt() - 1);
        }
    }

    fn record_error(&self, error: &str) {
        self.span.record("otel.status_code", "ERROR");
        self.span.record("error.type", error);
    }

    fn record_size(&self, received: u64) {
        if self.is_answered {
            self.span.record("http.response.body.size", received);
        }
    }
}

impl Follower for Followed {
    fn observe(&mut self, event: &RequestEvent<'_>) {
        match *event {
            RequestEvent::Retried { error } => {
                debug!(target: TARGET, parent: &self.span, error = %error, "sent again");
            }
            RequestEvent::Answered { status, version, connection, .. } => {
                self.is_answered = true;
                self.span.record("http.response.status_code", status.as_u16());
                self.span.record("network.protocol.version", conventions::version(version));
                self.record_connection(connection);
                if status.is_client_error() || status.is_server_error() {
                    self.record_error(status.as_str());
                }
            }
            RequestEvent::Ended { received } => self.record_size(received),
            RequestEvent::Failed { error, received } => {
                if !self.is_answered
                    && let Some(connection) = error.evidence().connection()
                {
                    self.record_connection(connection);
                }
                self.record_size(received);
                self.record_error(error.kind().as_str());
                debug!(target: TARGET, parent: &self.span, error = %error, "failed");
            }
            RequestEvent::Dropped { received } => {
                self.record_size(received);
                self.record_error("dropped");
                debug!(target: TARGET, parent: &self.span, "dropped before its response was whole");
            }
        }
    }
}
