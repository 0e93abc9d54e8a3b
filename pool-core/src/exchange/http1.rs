//! One request over an HTTP/1 connection: fitted, handed to hyper, and waited for up to the head of its response.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tokio::task::coop::{has_budget_remaining, unconstrained};

use super::along::Along;
use super::bookkeeping;
use super::http1_failed::{fail, fail_misframed, fail_out_of_step, give_up};
use super::http1_framing::check_framing;
use super::pending::PendingRequest;
use super::response_body::Body;
use super::timers::{HeadLimits, HeadOverrun};
use super::unfitting::check_status;
use crate::conn::http1::{SendRequest, Unanswered};
use crate::io::{Unsolicited, WaitsFor};
use crate::lanes::ConnectionLease;
use crate::report::{Error, Reason};
use crate::request::{Gate, fit_http1, route_informational};

pin_project! {
    /// The exchange of one request, pinned where its future lies, so that neither hyper's future nor the response is
    /// moved. It can be begun again after it has failed.
    ///
    /// Cancel safety: the lease is held here, so dropping this closes the connection, and no later request can read
    /// what this one left behind. As long as hyper has not been given the request, the connection is checked in.
    pub(super) struct Http1Exchange<F> {
        // The future that hyper gives for a request has no name. It is dropped before the connection that it waits for.
        #[pin]
        answer: Option<F>,
        send: SendRequest<F>,
        // None before the exchange begins, and when it has ended.
        lease: Option<ConnectionLease>,
        gate: Option<Arc<Gate>>,
        limits: HeadLimits,
        progress: Progress,
        response: Option<Response<Incoming>>,
    }

    impl<F> PinnedDrop for Http1Exchange<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if *this.progress != Progress::Sent && let Some(lease) = this.lease.take() {
                check_in_unsent(lease);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Begun,
    GaveWay,
    /// hyper has the request.
    Sent,
}

impl<F> Http1Exchange<F>
where
    F: Future<Output = Result<Response<Incoming>, Unanswered>>,
{
    pub(super) fn new(send: SendRequest<F>) -> Self {
        Self {
            answer: None,
            send,
            lease: None,
            gate: None,
            limits: HeadLimits::default(),
            progress: Progress::Begun,
            response: None,
        }
    }

    /// Fits the request to the connection, which is checked in if that cannot be done.
    ///
    /// The request is changed where it lies, because moving it is a good part of what a pool costs.
    #[inline]
    pub(super) fn begin(
        self: Pin<&mut Self>,
        mut lease: ConnectionLease,
        pending: &mut PendingRequest,
    ) -> Result<(), Error> {
        let this = self.project();
        match fit(&mut lease, pending) {
            Ok(gate) => *this.gate = gate,
            Err(why) => {
                let error = Error::invalid_request(lease.lane().name(), why);
                let body = pending.request.take().map(Request::into_body);
                pending.request = lease.connection.take_back(body);
                lease.checkin();
                return Err(error);
            }
        }
        let limit = pending.response_timeout(lease.settings());
        let max_head = lease.settings().connection.max_response_head;
        let (traffic, host) = (lease.connection.traffic(), lease.lane().host());
        *this.limits = if host.tries_idle() && host.is_tried(lease.connection.id()) {
            HeadLimits::of_trial(pending.longest_wait(lease.settings()), max_head, traffic)
        } else {
            HeadLimits::new(limit, max_head, traffic)
        };
        *this.progress = Progress::Begun;
        *this.lease = Some(lease);
        Ok(())
    }

    /// Ready when the response has come; then follows [`into_response`](Self::into_response). After a failure the
    /// request is pending again if it can be sent again.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pending: &mut PendingRequest,
    ) -> Poll<Result<(), Error>> {
        let mut this = self.project();
        let Some(lease) = this.lease else { unreachable!("it is not polled after its end") };
        if *this.progress != Progress::Sent {
            // Requests whose responses have come run first. After what allocates for the head, because many requests
            // that allocate one after the other, and free one after the other, are costly.
            if *this.progress == Progress::Begun && lease.lane().pending_reads().is_any() {
                *this.progress = Progress::GaveWay;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            *this.progress = Progress::Sent;
            probe(lease);
            bookkeeping::checked_out(lease.lane().host(), || lease.connection.info_of_next());
            pending.attempts += 1;
            if let Some(trial) = &mut pending.trial {
                trial.sent_again(lease.lane().host());
            }
            let answer = (this.send)(&mut lease.connection, &mut pending.request, pending.facts);
            this.answer.set(Some(answer));
        } else if lease.connection.progress().0 == 0 {
            // With no budget left hyper could not write the request, and much may have come since the kernel was asked.
            probe(lease);
        }
        let Some(mut answer) = this.answer.as_mut().as_pin_mut() else {
            unreachable!("the request was sent")
        };
        let (response, mut unanswered) = (this.response, None);
        let mut poll_answer = |cx: &mut Context<'_>| {
            answer.as_mut().poll(cx).map(|answer| match answer {
                Ok(answer) => *response = Some(answer),
                Err(why) => unanswered = Some(why),
            })
        };
        let polled = lease.connection.poll(cx, WaitsFor::Head, |cx| match poll_answer(cx) {
            // The answer comes through a tokio channel, which with an empty coop budget returns pending and wakes no
            // waker that we see.
            Poll::Pending if !has_budget_remaining() => {
                pin!(unconstrained(poll_fn(&mut poll_answer))).poll(cx)
            }
            answer => answer,
        });
        if let Some(unanswered) = unanswered {
            return Poll::Ready(Err(fail(
                ended(this.lease, this.limits, this.gate),
                unanswered,
                pending,
            )));
        }
        if polled.is_ready() {
            // hyper reads before it writes: with no budget left it writes a request only in the next poll, and takes
            // what has come meanwhile for its response.
            if lease.connection.traffic().unsolicited() != Unsolicited::Nothing {
                *response = None;
                return Poll::Ready(Err(fail_out_of_step(
                    ended(this.lease, this.limits, this.gate),
                    pending,
                )));
            }
            if let Some(answer) = response {
                let length = answer.body().size_hint().exact();
                let checked = check_status(answer.status(), pending.facts)
                    .and_then(|()| check_framing(answer.headers_mut(), length));
                if let Err(why) = checked {
                    *response = None;
                    let lease = ended(this.lease, this.limits, this.gate);
                    return Poll::Ready(Err(fail_misframed(lease, why)));
                }
            }
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(limit) = pending.poll_total(cx) {
            let lease = ended(this.lease, this.limits, this.gate);
            return Poll::Ready(Err(give_up(lease, HeadOverrun::Total(limit), pending)));
        }
        let overrun = ready!(this.limits.poll(cx, lease.connection.traffic()));
        let lease = ended(this.lease, this.limits, this.gate);
        Poll::Ready(Err(give_up(lease, overrun, pending)))
    }

    /// The response that has come. Nothing of the request is left here.
    // Inlined, and the response in parts, because a function that passes a response on whole moves it.
    #[inline(always)]
    pub(super) fn into_response(self: Pin<&mut Self>, along: Option<Box<Along>>) -> Response<Body> {
        let this = self.project();
        if let Some(gate) = this.gate.take() {
            gate.refuse();
        }
        let lease = ended(this.lease, this.limits, this.gate);
        let Some(response) = this.response.take() else { unreachable!("it has come") };
        let (head, incoming) = response.into_parts();
        let body = receive(lease, &head, incoming);
        let mut response = Response::from_parts(head, body);
        if let Some(along) = along {
            Body::go_on(&mut response, *along);
        }
        response
    }
}

/// The lease of an exchange that ends, and leaves neither a timer nor a gate behind.
#[inline]
fn ended(
    lease: &mut Option<ConnectionLease>,
    limits: &mut HeadLimits,
    gate: &mut Option<Arc<Gate>>,
) -> ConnectionLease {
    limits.end();
    *gate = None;
    let Some(lease) = lease.take() else { unreachable!("it ends once") };
    lease
}

/// Fits the request to the connection; gives the gate of a body that is not to go out at once.
fn fit(
    lease: &mut ConnectionLease,
    pending: &mut PendingRequest,
) -> Result<Option<Arc<Gate>>, &'static str> {
    let Some(request) = &mut pending.request else { unreachable!("a request is sent once") };
    lease.connection.begin(request, pending.attempts + 1);
    let form = lease.connection.core().absolute_form();
    fit_http1(request, pending.facts, lease.lane().default_target(), form)?;
    let limit = lease.settings().expect_continue_timeout;
    let gate = route_informational(request, pending.facts.expects_continue, limit);
    if gate.is_some() {
        // Behind its gate nothing of the body has ended.
        request.body_mut().begin(lease.connection.traffic());
    }
    Ok(gate)
}

/// Has the kernel asked whether an idle connection has been closed or written to, when hyper reads before it writes.
#[inline]
fn probe(lease: &ConnectionLease) {
    if lease.settings().probe {
        lease.connection.probe();
    }
}

/// The connection was not given the request, which its caller does not want sent any more.
fn check_in_unsent(mut lease: ConnectionLease) {
    lease.connection.forget_request();
    lease.checkin();
}

/// The head of the response has come, and its body goes on with the lease.
#[inline]
fn receive(mut lease: ConnectionLease, head: &response::Parts, incoming: Incoming) -> Body {
    lease.connection.answered(head);
    let usage = lease.connection.usage();
    let host = lease.lane().host();
    host.note_response(usage.use_number, usage.idle_for);
    if host.doubts_idle() || host.tries_idle() {
        bookkeeping::answered(&lease);
    }
    let upgrade = head.extensions.get::<OnUpgrade>().is_some();
    if upgrade && lease.connection.is_finished() {
        let info = lease.connection.info();
        lease.discard(Reason::Upgraded);
        return Body::empty(info);
    }
    Body::new(incoming, lease)
}
