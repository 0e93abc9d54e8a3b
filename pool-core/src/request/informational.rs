//! 1xx answers: passed to the caller's callback, and to a body that waits for one.
//!
//! A request with `Expect: 100-continue` sends its body when the server says `100`, or when the time for
//! that is over; a final answer before that spares the body altogether, RFC 9110 10.1.1.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use http_body::Body as _;

use super::body::RequestBody;
use super::gate::Gate;

type Callback = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

#[derive(Clone)]
struct Informational(Callback);

/// Calls `callback` for every 1xx answer to this request, before the final one.
///
/// The callback runs within the poll that reads the answer, so it must not block. 101 is a final answer here.
///
/// # Examples
///
/// ```
/// let mut request = http::Request::get("/").body(String::new())?;
/// pool_core::on_informational(&mut request, |status, headers| {
///     println!("{status}: {:?}", headers.get("link"));
/// });
/// # Ok::<(), http::Error>(())
/// ```
pub fn on_informational<B>(
    request: &mut Request<B>,
    callback: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
) {
    request.extensions_mut().insert(Informational(Arc::new(callback)));
}

/// What becomes of the 1xx answers to a request.
pub(crate) struct Interim {
    callback: Option<Informational>,
    gate: Option<Arc<Gate>>,
}

impl Interim {
    /// Takes the callback out of a request, and holds back a body that is to wait for `100`, for `limit` at most.
    pub(crate) fn of(
        request: &mut Request<RequestBody>,
        expects_continue: bool,
        limit: Duration,
    ) -> Self {
        let callback = request.extensions_mut().remove::<Informational>();
        let waits = expects_continue && !request.body().is_end_stream();
        let gate = waits.then(Arc::<Gate>::default);
        if let Some(gate) = &gate {
            let body = std::mem::replace(request.body_mut(), RequestBody::EMPTY);
            *request.body_mut() = body.gated(Arc::clone(gate), limit);
        }
        Self { callback, gate }
    }

    /// A 1xx answer has come.
    pub(crate) fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(gate) = &self.gate
            && status == StatusCode::CONTINUE
        {
            gate.open();
        }
        if let Some(Informational(callback)) = &self.callback {
            callback(status, headers);
        }
    }

    /// The gate of a body that is held back.
    pub(crate) fn gate(&self) -> Option<&Arc<Gate>> {
        self.gate.as_ref()
    }
}

/// Passes hyper's 1xx answers on; gives the gate of a body that waits for `100`.
pub(crate) fn route_informational(
    request: &mut Request<RequestBody>,
    expects_continue: bool,
    limit: Duration,
) -> Option<Arc<Gate>> {
    let interim = Interim::of(request, expects_continue, limit);
    let gate = interim.gate().cloned();
    if interim.callback.is_some() || gate.is_some() {
        hyper::ext::on_informational(request, move |answer| {
            interim.pass(answer.status(), answer.headers());
        });
    }
    gate
}
