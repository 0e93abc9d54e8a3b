//! The one guard of a checked-out connection.
//!
//! A lease travels from the checkout through the request into the response body. It ends in one of two
//! ways: [`checkin`](Lease::checkin), or its connection closes. There is no third, and no flag: a lease
//! that is merely dropped drops its connection, which closes the socket and gives the permit back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::body::Body;
use crate::connection::Connection;
use crate::error::Error;
use crate::host::Lane;
use crate::request_body::RequestBody;
use crate::stats::Reason;

pub(crate) struct Lease {
    pub(crate) connection: Box<Connection>,
    pub(crate) lane: Arc<Lane>,
}

/// How a request on a lease went.
pub(crate) enum Outcome {
    Response(Response<Body>),
    /// The connection was closed before the request was written; here it is, whole.
    Unsent(Request<RequestBody>, hyper::Error),
    Failed(Error),
}

impl Lease {
    pub(crate) fn new(connection: Box<Connection>, lane: Arc<Lane>) -> Self {
        Self { connection, lane }
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// Cancel safety: the future owns the lease, so dropping it closes the connection, and no later
    /// request can read what this one left behind.
    pub(crate) async fn send(mut self, request: Request<RequestBody>) -> Outcome {
        let mut response = pin!(self.connection.send(request));
        let answer = poll_fn(|cx| self.connection.poll(cx, |cx| response.as_mut().poll(cx))).await;
        match answer {
            Ok(response) => Outcome::Response(self.receive(response)),
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    self.discard(Reason::ClosedByPeer);
                    Outcome::Unsent(request, error.into_error())
                }
                None => {
                    let error = Error::exchange(&self.lane.host.name, error.into_error());
                    self.discard(Reason::Failed);
                    Outcome::Failed(error)
                }
            },
        }
    }

    fn receive(mut self, response: Response<Incoming>) -> Response<Body> {
        self.connection.note_version(response.version());
        let upgrade = response.extensions().get::<OnUpgrade>().is_some();
        if upgrade && self.connection.is_finished() {
            self.discard(Reason::Upgraded);
            return response.map(|_| Body::empty());
        }
        response.map(|incoming| Body::new(incoming, self))
    }

    /// The message has ended and hyper is ready for the next: the connection goes home.
    pub(crate) fn checkin(self) {
        self.lane.checkin(self.connection);
    }

    /// The connection must not come back.
    pub(crate) fn discard(self, reason: Reason) {
        self.connection.discard(reason);
    }
}
