//! 1xx answers: to the caller who asks for them, and to a body that waits for one.
//!
//! A request with `Expect: 100-continue` sends its body when the server says `100`, or when the time for
//! that is over; a final answer before that spares the body altogether, RFC 9110 10.1.1.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use http::{HeaderMap, Request, StatusCode};
use http_body::Body as _;

use crate::request_body::RequestBody;

type Callback = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;

#[derive(Clone)]
struct Informational(Callback);

/// Has `callback` told of every 1xx answer to this request, before the final one.
///
/// It runs within the poll that reads the answer, so it must not block. 101 is a final answer here.
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

/// Connects hyper's 1xx answers with whoever waits for them.
pub(crate) fn connect(
    request: &mut Request<RequestBody>,
    expects_continue: bool,
    patience: Duration,
) {
    let callback = request.extensions_mut().remove::<Informational>();
    let waits = expects_continue && !request.body().is_end_stream();
    let gate = waits.then(Arc::<Gate>::default);
    if let Some(gate) = &gate {
        let body = std::mem::replace(request.body_mut(), RequestBody::EMPTY);
        *request.body_mut() = body.behind(Arc::clone(gate), patience);
    }
    if callback.is_none() && gate.is_none() {
        return;
    }
    hyper::ext::on_informational(request, move |answer| {
        if let Some(gate) = &gate
            && answer.status() == StatusCode::CONTINUE
        {
            gate.open();
        }
        if let Some(Informational(callback)) = &callback {
            callback(answer.status(), answer.headers());
        }
    });
}

/// Holds a request body back until the server wants it.
#[derive(Default)]
pub(crate) struct Gate {
    open: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.open.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("open", &self.open).finish_non_exhaustive()
    }
}
