//! The one guard of a checked-out connection.
//!
//! A lease travels from the checkout through the request into the response body. It ends in one of two
//! ways: [`checkin`](Lease::checkin), or its connection closes. There is no third, and no flag: a lease
//! that is merely dropped drops its connection, which closes the socket and gives the permit back.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use http::{Response, response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use crate::body::Body;
use crate::connection::Connection;
use crate::driver::Unanswered;
use crate::error::Error;
use crate::events::Event;
use crate::evidence::Attempt;
use crate::info::Visit;
use crate::lane::Lane;
use crate::message::Message;
use crate::sending::Sending;
use crate::settings::Settings;
use crate::stats::Reason;

pub(crate) struct Lease {
    pub(crate) connection: Box<Connection>,
    pub(crate) lane: Arc<Lane>,
}

impl Lease {
    pub(crate) fn new(connection: Box<Connection>, lane: Arc<Lane>) -> Self {
        Self { connection, lane }
    }

    /// Sends the request and waits for the head of its response.
    ///
    /// After a failure the request is in the message again if it can be had again.
    ///
    /// Cancel safety: as [`Sending`].
    pub(crate) async fn send(self, message: &mut Message) -> Result<Response<Body>, Error> {
        let mut sending = Sending::begin(self, message)?;
        let mut answer = pin!(None);
        let mut come = None;
        poll_fn(|cx| sending.poll(cx, message, answer.as_mut(), Connection::send, &mut come))
            .await?;
        Ok(sending.answered().receive(come))
    }

    /// There is no response, and the connection closes.
    pub(crate) fn fail(mut self, mut unanswered: Unanswered, message: &mut Message) -> Error {
        let attempt = Attempt::of(&self.connection);
        let back = unanswered.take_message().map(|request| request.into_body().into_body());
        let (unsent, name) = (back.is_some() || !attempt.reached_wire(), &self.lane.host.name);
        let error = unanswered.into_error();
        let user = error.is_user();
        let error =
            if unsent && !user { Error::unsent(name, error) } else { Error::exchange(name, error) };
        if !user && !attempt.is_fresh() && attempt.is_unanswered() {
            let idle_for = self.connection.visit().idle_for;
            self.lane.host.note_stale(idle_for, Instant::now());
        }
        if !user {
            message.request = self.connection.take_back(back);
        }
        message.failed_at = Some(Arc::clone(&self.lane.host));
        let reason = if unsent { self.connection.closed_for() } else { Reason::Failed };
        self.discard(reason);
        error.at(attempt)
    }

    /// What has come as the response had come before the request was written, and the connection closes.
    #[cold]
    pub(crate) fn fail_out_of_step(mut self, message: &mut Message) -> Error {
        let attempt = Attempt::of(&self.connection).unanswered();
        message.request = self.connection.take_back(None);
        message.failed_at = Some(Arc::clone(&self.lane.host));
        let error = Error::out_of_step(&self.lane.host.name).at(attempt);
        let reason = self.connection.closed_for();
        self.discard(reason);
        error
    }

    /// The response that has come.
    // Inlined, and the response in parts, because whatever is passed on whole is moved.
    #[inline(always)]
    pub(crate) fn receive(self, come: Option<Response<Incoming>>) -> Response<Body> {
        let Some(response) = come else { unreachable!("it has come") };
        let (head, incoming) = response.into_parts();
        let body = self.body(&head, incoming);
        Response::from_parts(head, body)
    }

    fn body(mut self, head: &response::Parts, incoming: Incoming) -> Body {
        self.connection.answered(head);
        let Visit { use_number, idle_for, .. } = self.connection.visit();
        if use_number > 1 {
            self.lane.host.counters.reused();
            self.lane.host.horizon.prove(idle_for);
        }
        let upgrade = head.extensions.get::<OnUpgrade>().is_some();
        if upgrade && self.connection.is_finished() {
            let info = self.connection.info();
            self.discard(Reason::Upgraded);
            return Body::empty(info);
        }
        Body::new(incoming, self)
    }

    /// Has the stream asked whether it is still quiet, when hyper reads it before it writes.
    #[inline]
    pub(crate) fn probe(&self) {
        if self.settings().probe {
            let kept = self.connection.kept();
            // A stream may know of its end before it says so.
            kept.waker.read_anew();
            kept.ask_kernel();
        }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.lane.shared().settings
    }

    /// Whether the connection is fit for a request, whose body may be of unknown length.
    pub(crate) fn can_carry(&self, chunked: bool) -> bool {
        !chunked || self.connection.can_send_chunked()
    }

    /// The message has ended and hyper is ready for the next: the connection goes home.
    #[inline]
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
