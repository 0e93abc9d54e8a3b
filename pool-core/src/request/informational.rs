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
/// The callback runs within the poll that reads the answer, so it must not block. 101 is a final answer here. Over
/// HTTP/2 the callback never runs, because hyper's client does not hand out such answers there.
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

/// Passes hyper's 1xx answers to the caller's callback, and to a body that waits for `100`; gives the gate of such a
/// body.
pub(crate) fn route_informational(
    request: &mut Request<RequestBody>,
    expects_continue: bool,
    limit: Duration,
) -> Option<Arc<Gate>> {
    let callback = request.extensions_mut().remove::<Informational>();
    let waits = expects_continue && !request.body().is_end_stream();
    let gate = waits.then(Arc::<Gate>::default);
    if let Some(gate) = &gate {
        let body = std::mem::replace(request.body_mut(), RequestBody::EMPTY);
        *request.body_mut() = body.gated(Arc::clone(gate), limit);
    }
    if callback.is_none() && gate.is_none() {
        return None;
    }
    let opened = gate.clone();
    hyper::ext::on_informational(request, move |answer| {
        if let Some(gate) = &opened
            && answer.status() == StatusCode::CONTINUE
        {
            gate.open();
        }
        if let Some(Informational(callback)) = &callback {
            callback(answer.status(), answer.headers());
        }
    });
    gate
}
