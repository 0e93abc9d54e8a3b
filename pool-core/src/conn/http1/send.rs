//! What a connection does for one request: it keeps a copy, hands the request to hyper, and notes what the answer says.

use std::future::Future;

use http::header::CONNECTION;
use http::{Request, Response, Version, response};
use hyper::body::Incoming;

use super::body_handle::BodyHandle;
use super::connection::{Attempted, Connection};
use super::driver::Unanswered;
use super::keep_alive::Hint;
use crate::io::SuppressWakes;
use crate::request::{HeadFacts, RequestBody};

/// [`Connection::send`], whose future has no name.
pub(crate) type SendRequest<F> =
    fn(&mut Connection, &mut Option<Request<RequestBody>>, HeadFacts) -> F;

impl Connection {
    /// A request is about to go over the connection, as its caller's attempt of that number.
    pub(crate) fn begin(&mut self, request: &mut Request<RequestBody>, attempt: u32) {
        // It may have come here straight from another request.
        self.sent = false;
        self.saved.record(request);
        let traffic = &self.core.traffic;
        request.body_mut().begin(traffic);
        let (written_before, read_before) = (traffic.written(), traffic.read());
        self.attempted =
            Attempted { number: attempt, fresh: self.fresh, written_before, read_before };
    }

    /// Hands a request to hyper, after [`begin`](Self::begin). The response comes from the returned future, which is
    /// polled by way of [`poll`](Self::poll).
    pub(crate) fn send(
        &mut self,
        request: &mut Option<Request<RequestBody>>,
        facts: HeadFacts,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<> {
        let Some(looked_at) = &*request else { unreachable!("a request is sent once") };
        self.core.uses += 1;
        self.fresh = false;
        self.sent = true;
        let is_large = facts.needs_chunks || looked_at.body().is_large();
        if !self.core.buffers.gathers && is_large {
            self.gather();
        }
        self.core.set_uploading(is_large || facts.upgrade);
        if facts.upgrade {
            self.driver.allow_upgrade();
            self.last_use = true;
        }
        self.last_use |= looked_at.version() == Version::HTTP_10 && !asks_to_stay(looked_at);
        // Taken only after it was looked at where it lies, which saves a move.
        let Some(request) = request.take() else { unreachable!("it was there") };
        let request = request.map(|body| BodyHandle::new(body, &self.core.traffic));
        // A request that comes in wakes the connection, which is about to be polled for it anyway.
        let _suppressed = SuppressWakes::begin();
        self.sender.try_send_request(request)
    }

    /// From here on hyper does not copy what it writes, unless it has learnt that the server speaks HTTP/1.0, which a
    /// new handshake would forget. If something has come over the stream meanwhile, hyper takes no request.
    #[cold]
    fn gather(&mut self) {
        if self.core.speaks_http10 {
            return;
        }
        self.core.buffers.gathers = true;
        if let Some(sender) = self.driver.open_anew(self.core.buffers) {
            self.sender = sender;
        }
    }

    /// The head of the response is there: remembers what it says of the connection.
    pub(crate) fn answered(&mut self, head: &response::Parts) {
        self.saved.forget();
        self.core.speaks_http10 = head.version == Version::HTTP_10;
        self.core.hint = Hint::follow(self.core.hint, Hint::of(&head.headers));
    }

    /// The request that failed, if the connection has a copy of it or its body has come `back`.
    pub(crate) fn take_back(&mut self, back: Option<RequestBody>) -> Option<Request<RequestBody>> {
        self.saved.take(back.map(RequestBody::without_gate))
    }

    /// Drops the copy of a request that is not sent after all.
    pub(crate) fn forget_request(&mut self) {
        self.saved.forget();
    }
}

/// An HTTP/1.0 server closes unless asked not to, RFC 9112 C.2.2.
fn asks_to_stay<B>(request: &Request<B>) -> bool {
    let options = request.headers().get_all(CONNECTION);
    options
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("keep-alive"))
}
