//! 1xx answers: to the caller who asks for them, and to a body that waits for one.
//!
//! A request with `Expect: 100-continue` sends its body when the server says `100`, or when the time for
//! that is over; a final answer before that spares the body altogether, RFC 9110 10.1.1.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
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
/// It runs within the poll that reads the answer, so it must not block. 101 is a final answer here. Over HTTP/2 it
/// is never called, because hyper keeps such answers to itself there.
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

/// Connects hyper's 1xx answers with whoever waits for them; gives the gate of a body that does.
pub(crate) fn connect(
    request: &mut Request<RequestBody>,
    expects_continue: bool,
    patience: Duration,
) -> Option<Arc<Gate>> {
    let callback = request.extensions_mut().remove::<Informational>();
    let waits = expects_continue && !request.body().is_end_stream();
    let gate = waits.then(Arc::<Gate>::default);
    if let Some(gate) = &gate {
        let body = std::mem::replace(request.body_mut(), RequestBody::EMPTY);
        *request.body_mut() = body.behind(Arc::clone(gate), patience);
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

/// Holds a request body back until the server wants it.
#[derive(Default)]
pub(crate) struct Gate {
    state: AtomicU8,
    waker: AtomicWaker,
}

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const REFUSED: u8 = 2;

impl Gate {
    fn open(&self) {
        self.leave_closed_for(OPEN);
    }

    /// The final answer is there: a body that still waits is not wanted.
    pub(crate) fn refuse(&self) {
        self.leave_closed_for(REFUSED);
    }

    fn leave_closed_for(&self, state: u8) {
        let _ = self.state.compare_exchange(CLOSED, state, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
    }

    /// Ready when the server wants the body.
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.state.load(Ordering::Acquire) {
            OPEN => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.state.load(Ordering::Acquire) == REFUSED
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("state", &self.state).finish_non_exhaustive()
    }
}
