//! The one guard of a checked-out connection.
//!
//! A lease travels from the checkout through the request into the response body. It ends in one of two
//! ways: [`checkin`](Lease::checkin), or its connection closes. There is no third, and no flag: a lease
//! that is merely dropped drops its connection, which closes the socket and gives the permit back.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::task::coop::unconstrained;

use crate::body::Body;
use crate::connection::Connection;
use crate::driver::TrySendError;
use crate::error::Error;
use crate::events::Event;
use crate::info::Visit;
use crate::informational::Gate;
use crate::lane::Lane;
use crate::request_body::RequestBody;
use crate::settings::Settings;
use crate::stats::Reason;
use crate::timers::Patience;

pub(crate) struct Lease {
    pub(crate) connection: Box<Connection>,
    pub(crate) lane: Arc<Lane>,
}

/// What a request needs of its connection.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// The server must understand a body of unknown length.
    pub(crate) chunked: bool,
    /// The connection may become something else.
    pub(crate) upgrade: bool,
    /// The body waits here for the server to want it.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// How a request on a lease went.
#[expect(clippy::large_enum_variant, reason = "the response is what it is nearly always")]
pub(crate) enum Outcome {
    Response(Response<Body>),
    /// The connection was closed before the request was written, which is back where it was, whole.
    Unsent(hyper::Error),
    Failed(Error),
}

impl Lease {
    pub(crate) fn new(connection: Box<Connection>, lane: Arc<Lane>) -> Self {
        Self { connection, lane }
    }

    /// Sends the request and waits for the head of its response.
    ///
    /// The request is passed by where it lies, because moving it, and futures that hold it, is a good part of
    /// what a pool costs.
    ///
    /// Cancel safety: the future owns the lease, so dropping it closes the connection, and no later
    /// request can read what this one left behind.
    pub(crate) async fn send(
        mut self,
        unsent: &mut Option<Request<RequestBody>>,
        needs: &Needs,
    ) -> Outcome {
        let Some(request) = unsent.take() else { unreachable!("a request is sent once") };
        if self.settings().probe {
            self.connection.kept().ask_kernel();
        }
        let mut patience =
            Patience::new(self.settings().response_timeout, self.connection.traffic());
        // The answer comes through a tokio channel, which with an empty coop budget would return pending
        // and wake nobody we hear of.
        let mut response = pin!(unconstrained(self.connection.send(request, needs)));
        self.lane.host.tell(|| {
            let Visit { use_number, idle_for, .. } = self.connection.visit();
            Event::CheckedOut { id: self.connection.id(), use_number, idle_for }
        });
        let answer =
            poll_fn(|cx| match self.connection.poll(cx, |cx| response.as_mut().poll(cx)) {
                Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                Poll::Pending => patience.poll(cx, self.connection.traffic()).map(Err),
            })
            .await;
        match answer {
            Ok(Ok(response)) => {
                if let Some(gate) = &needs.gate {
                    gate.refuse();
                }
                Outcome::Response(self.receive(response))
            }
            Ok(Err(error)) => self.refuse(error, unsent),
            Err(impatient) => {
                let error = impatient.into_error(&self.lane.host.name);
                self.discard(Reason::TimedOut);
                Outcome::Failed(error)
            }
        }
    }

    fn refuse(
        self,
        mut error: TrySendError<Request<RequestBody>>,
        unsent: &mut Option<Request<RequestBody>>,
    ) -> Outcome {
        *unsent = error.take_message();
        match unsent {
            Some(_) => {
                let reason = self.connection.closed_for();
                self.discard(reason);
                Outcome::Unsent(error.into_error())
            }
            None => {
                let error = Error::exchange(&self.lane.host.name, error.into_error());
                self.discard(Reason::Failed);
                Outcome::Failed(error)
            }
        }
    }

    fn receive(mut self, response: Response<Incoming>) -> Response<Body> {
        self.connection.note_version(response.version());
        if self.connection.visit().use_number > 1 {
            self.lane.host.counters.reused();
        }
        let upgrade = response.extensions().get::<OnUpgrade>().is_some();
        if upgrade && self.connection.is_finished() {
            let info = self.connection.info();
            self.discard(Reason::Upgraded);
            return response.map(|_| Body::empty(info));
        }
        response.map(|incoming| Body::new(incoming, self))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.lane.shared().settings
    }

    /// Whether the connection is fit for what a request needs.
    pub(crate) fn can_carry(&self, needs: &Needs) -> bool {
        !needs.chunked || self.connection.can_send_chunked()
    }

    /// The message has ended and hyper is ready for the next: the connection goes home.
    pub(crate) fn checkin(self) {
        self.lane.host.tell(|| Event::CheckedIn { id: self.connection.id() });
        self.lane.checkin(self.connection);
    }

    /// The connection must not come back.
    pub(crate) fn discard(self, reason: Reason) {
        self.connection.discard(reason);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("lane", &self.lane).finish_non_exhaustive()
    }
}

/// A lease that has carried nothing yet, and goes back to the pool unless it is used.
#[derive(Debug)]
pub(crate) struct Held {
    lane: Arc<Lane>,
    lease: Option<Lease>,
}

impl Held {
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lane: Arc::clone(&lease.lane), lease: Some(lease) }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn can_carry(&self, needs: &Needs) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.can_carry(needs))
    }

    /// The lease, which is now to be used.
    pub(crate) fn release(mut self) -> Lease {
        let Some(lease) = self.lease.take() else { unreachable!("only this and the drop take it") };
        lease
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.checkin();
        }
    }
}
