//! Requests as spans and connections as events of the crate `tracing`.

use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri};
use tracing::field::Empty;
use tracing::{Span, debug, info_span, trace, warn};

use super::server;
use crate::report::{Event, Follower, Observer, RequestEvent};
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
/// | in the span: sent again, dropped by its caller | debug | `error` |
/// | opened, closed | debug | `connection`, `took`; `connection`, `reason`, `age`, `requests`, `written`, `read` |
/// | checked out, checked in | trace | `connection`, `use_number`, `idle_for` |
/// | could not be opened, is not dialled for a while | warn | `error`; `pause` |
///
/// The span is a child of the one that is current when the request is polled first. To carry that context to the server is the
/// work of a layer of the caller, above the pool: the pool adds no field to a request.
///
/// `url.full` has no query and no user, since both may hold secrets. `error.type` is the name of the
/// [`ErrorKind`](crate::ErrorKind), or the status where that is 400 or more. A request whose span is disabled is not followed.
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
    fn observe(&self, address: &str, event: &Event<'_>) {
        let (host, port) = server::of(address);
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

    fn follow(&self, address: &str, request: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        let (host, port) = server::of(address);
        let method = server::method(request.method());
        let span = info_span!(
            target: TARGET,
            "HTTP",
            otel.name = method,
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = method,
            http.request.method_original = original(request.method(), method),
            http.request.resend_count = Empty,
            http.response.status_code = Empty,
            http.response.body.size = Empty,
            server.address = host,
            server.port = port,
            url.full = Empty,
            network.protocol.name = "http",
            network.protocol.version = Empty,
            network.peer.address = Empty,
            network.peer.port = Empty,
            "error.type" = Empty,
            pooled_fetch.connection.id = Empty,
            pooled_fetch.connection.reused = Empty,
            pooled_fetch.queue_time = Empty,
        );
        if span.is_disabled() {
            return None;
        }
        span.record("url.full", full(request.uri(), address));
        Some(Box::new(Followed(span)))
    }
}

fn original<'m>(method: &'m Method, told: &str) -> Option<&'m str> {
    (method.as_str() != told).then(|| method.as_str())
}

/// Where the request goes, without what may be secret.
fn full(uri: &Uri, address: &str) -> String {
    let scheme = uri.scheme().unwrap_or(&Scheme::HTTP);
    let authority = uri.authority().map_or(address, Authority::as_str);
    let named = authority.rsplit_once('@').map_or(authority, |(_, named)| named);
    format!("{scheme}://{named}{}", uri.path())
}

/// The span of one request.
struct Followed(Span);

impl Follower for Followed {
    fn observe(&mut self, event: &RequestEvent<'_>) {
        let Self(span) = self;
        match *event {
            RequestEvent::Retried { error } => {
                debug!(target: TARGET, parent: &*span, error = %error, "sent again");
            }
            RequestEvent::Answered { status, version, connection, .. } => {
                span.record("http.response.status_code", status.as_u16());
                span.record("network.protocol.version", server::version(version));
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
                if status.is_client_error() || status.is_server_error() {
                    span.record("otel.status_code", "ERROR");
                    span.record("error.type", status.as_str());
                }
            }
            RequestEvent::Ended { received } => {
                span.record("http.response.body.size", received);
            }
            RequestEvent::Failed { error, received } => {
                span.record("http.response.body.size", received);
                span.record("otel.status_code", "ERROR");
                span.record("error.type", error.kind().as_str());
                debug!(target: TARGET, parent: &*span, error = %error, "failed");
            }
            RequestEvent::Dropped { received } => {
                span.record("http.response.body.size", received);
                debug!(target: TARGET, parent: &*span, "dropped before its response was whole");
            }
        }
    }
}
