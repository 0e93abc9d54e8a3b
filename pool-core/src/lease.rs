//! The one guard of a checked-out connection.
//!
//! A lease travels from the checkout through the request into the response body. It ends in one of two
//! ways: [`checkin`](Lease::checkin), or its connection closes. There is no third, and no flag: a lease
//! that is merely dropped drops its connection, which closes the socket and gives the permit back.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::task::coop::{has_budget_remaining, unconstrained};
use tokio::time::Instant;

use crate::body::Body;
use crate::connection::Connection;
use crate::driver::Unanswered;
use crate::error::Error;
use crate::events::Event;
use crate::evidence::Attempt;
use crate::head;
use crate::info::Visit;
use crate::informational::{self, Gate};
use crate::lane::Lane;
use crate::message::Message;
use crate::settings::Settings;
use crate::stats::Reason;
use crate::timers::Patience;
use crate::waker::Awaits;

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
    /// The request is passed by where it lies, because moving it, and futures that hold it, is a good part of
    /// what a pool costs. After a failure it is there again if it can be had again.
    ///
    /// Cancel safety: the future owns the lease, so dropping it closes the connection, and no later
    /// request can read what this one left behind.
    pub(crate) async fn send(mut self, message: &mut Message) -> Result<Response<Body>, Error> {
        let gate = match self.begin(message) {
            Ok(gate) => gate,
            Err(why) => {
                let error = Error::invalid_request(&self.lane.host.name, why);
                let body = message.request.take().map(Request::into_body);
                message.request = self.connection.take_back(body);
                self.checkin();
                return Err(error);
            }
        };
        let mut lease = GivesWay::new(self).await;
        if lease.settings().probe {
            lease.connection.kept().ask_kernel();
        }
        let mut patience =
            Patience::new(lease.settings().response_timeout, lease.connection.traffic());
        let mut response = pin!(lease.connection.send(message));
        lease.lane.host.tell(|| {
            let Visit { use_number, idle_for, .. } = lease.connection.visit();
            Event::CheckedOut { id: lease.connection.id(), use_number, idle_for }
        });
        let mut answer = None;
        let ended = poll_fn(|cx| {
            let poll_response = |cx: &mut Context<'_>| match response.as_mut().poll(cx) {
                Poll::Ready(came) => {
                    answer = Some(came);
                    Poll::Ready(())
                }
                Poll::Pending if has_budget_remaining() => Poll::Pending,
                // The answer comes through a tokio channel, which with an empty coop budget returns pending and
                // wakes nobody we hear of.
                Poll::Pending => Pin::new(&mut unconstrained(response.as_mut()))
                    .poll(cx)
                    .map(|came| answer = Some(came)),
            };
            match lease.connection.poll(cx, Awaits::Head, poll_response) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => patience.poll(cx, lease.connection.traffic()).map(Some),
            }
        })
        .await;
        match (answer, ended) {
            (Some(Ok(response)), _) => {
                if let Some(gate) = gate {
                    gate.refuse();
                }
                Ok(lease.receive(response))
            }
            (Some(Err(unanswered)), _) => Err(lease.fail(unanswered, message)),
            (None, None) => unreachable!("what is ready has come"),
            (None, Some(impatient)) => {
                let attempt = Attempt::of(&lease.connection);
                let error = impatient.into_error(&lease.lane.host.name).at(attempt);
                lease.discard(Reason::TimedOut);
                Err(error)
            }
        }
    }

    /// Makes the request fit for the connection; with the gate of a body that is not to go out at once.
    fn begin(&mut self, message: &mut Message) -> Result<Option<Arc<Gate>>, &'static str> {
        let Some(request) = &mut message.request else { unreachable!("a request is sent once") };
        self.connection.begin(request, message.attempts + 1);
        head::make_http1(request, message.told, &self.lane.naming)?;
        let patience = self.settings().expect_continue_timeout;
        let gate = informational::connect(request, message.told.expects_continue, patience);
        if gate.is_some() {
            // Behind its gate nothing of the body has ended.
            request.body_mut().begin(&self.connection.kept().traffic);
        }
        Ok(gate)
    }

    fn fail(mut self, mut unanswered: Unanswered, message: &mut Message) -> Error {
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
        let reason = if unsent { self.connection.closed_for() } else { Reason::Failed };
        self.discard(reason);
        error.at(attempt)
    }

    fn receive(mut self, response: Response<Incoming>) -> Response<Body> {
        self.connection.answered(&response);
        let Visit { use_number, idle_for, .. } = self.connection.visit();
        if use_number > 1 {
            self.lane.host.counters.reused();
            self.lane.host.horizon.prove(idle_for);
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

    /// Whether the connection is fit for a request, whose body may be of unknown length.
    pub(crate) fn can_carry(&self, chunked: bool) -> bool {
        !chunked || self.connection.can_send_chunked()
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

/// A connection whose request lets those run first whose responses have come.
///
/// After what allocates for the head, because many who allocate one after the other, and free one after the other,
/// are dear; before hyper has the request, so that the connection can go home when the request is cancelled.
struct GivesWay {
    lease: Option<Lease>,
    gives_way: bool,
}

impl GivesWay {
    fn new(lease: Lease) -> Self {
        let gives_way = lease.lane.watcher.due().is_any();
        Self { lease: Some(lease), gives_way }
    }
}

impl Future for GivesWay {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lease> {
        if std::mem::take(&mut self.gives_way) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(lease) = self.lease.take() else { unreachable!("it is not polled once more") };
        Poll::Ready(lease)
    }
}

impl Drop for GivesWay {
    fn drop(&mut self) {
        if let Some(mut lease) = self.lease.take() {
            // Nobody will want its request again.
            lease.connection.replay.forget();
            lease.checkin();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("lane", &self.lane).finish_non_exhaustive()
    }
}
