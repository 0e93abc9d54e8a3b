//! One request over an HTTP/1 connection: begun, handed to hyper, and waited for up to the head of its response.

use std::future::Future;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{Request, Response, Version, response};
use hyper::body::Incoming;
use tokio::task::coop::{has_budget_remaining, unconstrained};

use crate::connection::Connection;
use crate::driver::Unanswered;
use crate::error::Error;
use crate::events::Event;
use crate::evidence::Attempt;
use crate::head;
use crate::info::Visit;
use crate::informational::{self, Gate};
use crate::keep_alive::Hint;
use crate::lease::Lease;
use crate::message::Message;
use crate::request_body::RequestBody;
use crate::stats::Reason;
use crate::stream::Unasked;
use crate::timers::Patience;
use crate::waker::{Awaits, Unheard};

/// A request that goes over a connection.
///
/// Not an async function, each of which would move the response once more.
///
/// Cancel safety: the lease is held here, so dropping this closes the connection, and no later request can read
/// what this one left behind. As long as hyper has not been given the request, the connection goes home.
pub(crate) struct Sending {
    /// None when it is over.
    lease: Option<Lease>,
    gate: Option<Arc<Gate>>,
    patience: Patience,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begun,
    GaveWay,
    /// hyper has the request.
    Started,
}

impl Sending {
    /// Makes the request fit for the connection, which goes home if that cannot be.
    ///
    /// The request is changed where it lies, because moving it is a good part of what a pool costs.
    #[inline]
    pub(crate) fn begin(mut lease: Lease, message: &mut Message) -> Result<Self, Error> {
        match begin(&mut lease, message) {
            Ok(gate) => {
                let limit = lease.settings().response_timeout;
                let patience = Patience::new(limit, lease.connection.traffic());
                Ok(Self { lease: Some(lease), gate, patience, progress: Progress::Begun })
            }
            Err(why) => {
                let error = Error::invalid_request(&lease.lane.host.name, why);
                let body = message.request.take().map(Request::into_body);
                message.request = lease.connection.take_back(body);
                lease.checkin();
                Err(error)
            }
        }
    }

    /// Ready when the response has `come`; then follows [`answered`](Self::answered), at once. After a failure the
    /// request is in the message again if it can be had again.
    ///
    /// The `answer` is what hyper gives for a request, and lies where it need not be moved; `send` makes it. Nor is
    /// the response moved.
    pub(crate) fn poll<F>(
        &mut self,
        cx: &mut Context<'_>,
        message: &mut Message,
        mut answer: Pin<&mut Option<F>>,
        send: impl Fn(&mut Connection, &mut Message) -> F,
        come: &mut Option<Response<Incoming>>,
    ) -> Poll<Result<(), Error>>
    where
        F: Future<Output = Result<Response<Incoming>, Unanswered>>,
    {
        let Some(lease) = &mut self.lease else { unreachable!("it is not polled after its end") };
        if self.progress != Progress::Started {
            // Those run first whose responses have come. After what allocates for the head, because many who
            // allocate one after the other, and free one after the other, are dear.
            if self.progress == Progress::Begun && lease.lane.watcher.due().is_any() {
                self.progress = Progress::GaveWay;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.progress = Progress::Started;
            start(lease);
            answer.set(Some(send(&mut lease.connection, message)));
        } else if lease.connection.progress().0 == 0 {
            // With no budget left hyper could not write the request, and much may have come since the kernel was asked.
            lease.probe();
        }
        let Some(mut answer) = answer.as_mut().as_pin_mut() else { unreachable!("it was started") };
        let mut unanswered = None;
        let mut poll_answer = |cx: &mut Context<'_>| {
            answer.as_mut().poll(cx).map(|answer| match answer {
                Ok(response) => *come = Some(response),
                Err(why) => unanswered = Some(why),
            })
        };
        let polled = lease.connection.poll(cx, Awaits::Head, |cx| match poll_answer(cx) {
            // The answer comes through a tokio channel, which with an empty coop budget returns pending and
            // wakes nobody we hear of.
            Poll::Pending if !has_budget_remaining() => {
                pin!(unconstrained(poll_fn(&mut poll_answer))).poll(cx)
            }
            answer => answer,
        });
        if let Some(unanswered) = unanswered {
            return Poll::Ready(Err(self.end().fail(unanswered, message)));
        }
        if polled.is_ready() {
            // hyper reads before it writes: with no budget left it writes a request only in the next poll, and takes
            // whatever has come meanwhile for its response.
            return Poll::Ready(match lease.connection.traffic().unasked() {
                Unasked::Nothing => Ok(()),
                _ => Err(self.end().fail_out_of_step(message)),
            });
        }
        let impatient = ready!(self.patience.poll(cx, lease.connection.traffic()));
        let attempt = Attempt::of(&lease.connection);
        let error = impatient.into_error(&lease.lane.host.name).at(attempt);
        self.end().discard(Reason::TimedOut);
        Poll::Ready(Err(error))
    }

    /// The response has come: its connection, to [receive](Lease::receive) it. Nothing of the request is left here.
    #[inline]
    pub(crate) fn answered(&mut self) -> Lease {
        if let Some(gate) = self.gate.take() {
            gate.refuse();
        }
        self.patience.end();
        self.end()
    }

    #[inline]
    fn end(&mut self) -> Lease {
        let Some(lease) = self.lease.take() else { unreachable!("it ends once") };
        lease
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.progress != Progress::Started
            && let Some(mut lease) = self.lease.take()
        {
            // Nobody will want its request again.
            lease.connection.replay.forget();
            lease.checkin();
        }
    }
}

/// Makes the request fit for the connection; with the gate of a body that is not to go out at once.
fn begin(lease: &mut Lease, message: &mut Message) -> Result<Option<Arc<Gate>>, &'static str> {
    let Some(request) = &mut message.request else { unreachable!("a request is sent once") };
    lease.connection.begin(request, message.attempts + 1);
    head::make_http1(request, message.told, &lease.lane.naming)?;
    let patience = lease.settings().expect_continue_timeout;
    let gate = informational::connect(request, message.told.expects_continue, patience);
    if gate.is_some() {
        // Behind its gate nothing of the body has ended.
        request.body_mut().begin(&lease.connection.kept().traffic);
    }
    Ok(gate)
}

/// The request is about to be given to hyper.
#[inline]
fn start(lease: &Lease) {
    lease.probe();
    lease.lane.host.tell(|| {
        let Visit { use_number, idle_for, .. } = lease.connection.visit();
        Event::CheckedOut { id: lease.connection.id(), use_number: use_number + 1, idle_for }
    });
}

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

    /// From here on hyper does not copy what it writes; unless it has learnt that the server speaks HTTP/1.0, which it
    /// would forget. Should the stream not be quiet any more, hyper takes no request.
    #[cold]
    fn gather(&mut self) {
        if self.kept.speaks_http10 {
            return;
        }
        self.kept.gathers = true;
        if let Some(sender) = self.driver.open_anew(&self.kept) {
            self.sender = sender;
        }
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
        let Some(request) = &message.request else { unreachable!("a request is sent once") };
        message.attempts += 1;
        self.kept.use_number += 1;
        self.fresh = false;
        self.begun = true;
        if !self.kept.gathers && (message.chunked || request.body().is_large()) {
            self.gather();
        }
        if message.told.upgrade {
            self.driver.allow_upgrade();
            self.last_use = true;
        }
        self.last_use |= request.version() == Version::HTTP_10 && !asks_to_stay(request);
        // Not before it was looked at where it lies, which saves a move.
        let Some(request) = message.request.take() else { unreachable!("it was there") };
        let request = request.map(|body| self.body_slot.hold(body));
        // That there is a request wakes the connection, which is about to be polled for it anyway.
        let _unheard = Unheard::begin();
        self.sender.try_send_request(request)
    }

    /// The head of the response is there: remembers what it says of the connection.
    pub(crate) fn answered(&mut self, head: &response::Parts) {
        self.replay.forget();
        self.kept.speaks_http10 = head.version == Version::HTTP_10;
        // A server that gives hints does so from the first, and so the others cost no look-up.
        if self.kept.use_number == 1 || self.kept.hint.is_some() {
            self.kept.hint = Hint::of(&head.headers);
        }
    }

    /// The bytes written and read since the last request began.
    #[inline]
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
