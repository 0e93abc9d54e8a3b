//! What a connection does for one request: begins it, hands it to hyper, and tells how far it came.

use std::future::Future;

use http::header::CONNECTION;
use http::{Request, Response, Version};
use hyper::body::Incoming;

use crate::connection::Connection;
use crate::driver::Unanswered;
use crate::keep_alive::Hint;
use crate::message::Message;
use crate::request_body::RequestBody;
use crate::waker::unheard;

/// What is of the last request that went over a connection.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) attempt: u32,
    fresh: bool,
    written_before: u64,
    read_before: u64,
}

impl Connection {
    /// A request is about to go over the connection, as its caller's attempt of that number.
    pub(crate) fn begin(&mut self, request: &mut Request<RequestBody>, attempt: u32) {
        // It may have come here straight from another request.
        self.begun = false;
        self.replay.record(request);
        let traffic = &self.kept.traffic;
        request.body_mut().begin(traffic);
        let (written_before, read_before) = (traffic.written(), traffic.read());
        self.sent = Sent { attempt, fresh: self.fresh, written_before, read_before };
    }

    /// The request that failed, if it can be had again or has come back.
    pub(crate) fn take_back(&mut self, back: Option<RequestBody>) -> Option<Request<RequestBody>> {
        self.replay.take(back.map(RequestBody::come_back))
    }

    /// Hands a request to hyper, after [`begin`](Self::begin). The response comes from the returned future,
    /// polled by way of [`poll`](Self::poll).
    pub(crate) fn send(
        &mut self,
        message: &mut Message,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + use<> {
        let Some(request) = message.request.take() else { unreachable!("a request is sent once") };
        message.attempts += 1;
        self.kept.use_number += 1;
        self.fresh = false;
        self.begun = true;
        if message.told.upgrade {
            self.driver.allow_upgrade();
            self.last_use = true;
        }
        self.last_use |= request.version() == Version::HTTP_10 && !asks_to_stay(&request);
        let request = request.map(|body| self.body_slot.hold(body));
        // That there is a request wakes the connection, which is about to be polled for it anyway.
        unheard(|| self.sender.try_send_request(request))
    }

    /// The head of the response is there: remembers what it says of the connection.
    pub(crate) fn answered(&mut self, response: &Response<Incoming>) {
        self.replay.forget();
        self.kept.speaks_http10 = response.version() == Version::HTTP_10;
        // A server that gives hints does so from the first, and so the others cost no look-up.
        if self.kept.use_number == 1 || self.kept.hint.is_some() {
            self.kept.hint = Hint::of(response.headers());
        }
    }

    /// The bytes written and read since the last request began.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let traffic = &self.kept.traffic;
        (traffic.written() - self.sent.written_before, traffic.read() - self.sent.read_before)
    }

    /// Whether the last request went over it straight from its dial.
    pub(crate) fn began_fresh(&self) -> bool {
        self.sent.fresh
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
