//! A request on its way through the pool: it gets a lease, goes over its connection, and comes back to go over another.
//!
//! ```text
//!   Begins ─► an idle connection ───────► Http1 ─► the head of the response
//!     ▲          │ none                   ▲  │
//!     │          └─► Waits ─► a lease ────┘  │ or over a stream: Http2
//!     └──────────── may be sent again ◄──────┘
//! ```
//!
//! What must hold: it ends, because a fresh connection is never followed by another turn, and a request that has failed
//! twice on other connections insists on a fresh one; only an HTTP/2 server can refuse it there, as often as turns are
//! allowed.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::along::Along;
use super::http1::Http1Exchange;
use super::http2;
use super::pending::PendingRequest;
use super::response_body::Body;
use crate::conn::http1::{Connection, Unanswered};
use crate::connector::Connector;
use crate::lanes::{Held, Hosts, Lease, Needs, Position, Trust, Unused, Wants, take_idle};
use crate::policy::Host;
use crate::report::Error;
use crate::request::check_secure;

type Sent = Result<Response<Body>, Error>;

/// Sends a request to `address`, over as many connections as the rule in `request/retry.rs` allows.
///
/// Not an async function: each of those around the response would move it once more, and the request as well.
#[inline(always)]
pub(crate) fn send<'a, C: Connector>(
    hosts: &'a Arc<Hosts<C>>,
    address: &'a C::Address,
    pending: PendingRequest,
    position: Option<Position>,
) -> impl Future<Output = Sent> + Send + use<'a, C> {
    let http1 = Http1Exchange::new(Connection::send);
    RequestFuture { hosts, address, http1, stage: Stage::Begins, pending, position }
}

/// Sends a request over this lease, and over no other.
pub(crate) async fn send_over(unused: Unused, mut pending: PendingRequest) -> Sent {
    let host = Arc::clone(unused.lane().host());
    send_once(unused, &mut pending).await.map_err(|error| end(&host, &mut pending, error))
}

/// Sends a request over the connection that its caller holds, and over no other.
pub(crate) async fn send_over_held(held: &mut Held, mut pending: PendingRequest) -> Sent {
    let host = Arc::clone(held.lane().host());
    try_over_held(held, &mut pending).await.map_err(|error| end(&host, &mut pending, error))
}

/// A request that goes over one connection at most ends in this error.
fn end(host: &Host, pending: &mut PendingRequest, error: Error) -> Error {
    host.counters().failed(error.kind());
    pending.end(error, host.server(), &host.settings().observed)
}

/// A request to `address` ends in this error.
pub(crate) fn fail<C: Connector>(
    hosts: &Hosts<C>,
    address: Option<&C::Address>,
    pending: &mut PendingRequest,
    error: Error,
) -> Error {
    match pending.counted_at.take() {
        Some(host) => end(&host, pending, error),
        None => {
            let server = hosts.note_failed(address, error.kind());
            pending.end(error, &server, &hosts.pool().settings().observed)
        }
    }
}

async fn try_over_held(held: &mut Held, pending: &mut PendingRequest) -> Sent {
    let lane = Arc::clone(held.lane());
    pending.check().map_err(|why| Error::invalid_request(lane.name(), why))?;
    pending.begin(lane.host());
    let lease = {
        let mut lease = pin!(held.lease());
        poll_fn(|cx| match lease.as_mut().poll(cx) {
            Poll::Pending => {
                pending.poll_total(cx).map(|limit| Err(Error::total_timeout(lane.name(), limit)))
            }
            ready => ready,
        })
        .await?
    };
    send_once(Unused::new(lease), pending).await
}

pin_project! {
    #[project = Projected]
    struct RequestFuture<'a, C: Connector, F> {
        hosts: &'a Arc<Hosts<C>>,
        address: &'a C::Address,
        #[pin]
        http1: Http1Exchange<F>,
        stage: Stage<'a>,
        pending: PendingRequest,
        // Where its service stands in line, until it looks for a connection itself.
        position: Option<Position>,
    }
}

enum Stage<'a> {
    /// Nothing has been sent, or an attempt has failed.
    Begins,
    /// For a lease. Boxed, so that a request that need not wait does not carry the size of this.
    Waits(Pin<Box<dyn Future<Output = Result<Lease, Error>> + Send + 'a>>),
    /// `http1` has the lease.
    Http1,
    /// Boxed, so that requests over HTTP/1 do not carry the size of this.
    Http2(Pin<Box<dyn Future<Output = (PendingRequest, Sent)> + Send>>),
    Ended,
}

impl<C, F> Future for RequestFuture<'_, C, F>
where
    C: Connector,
    F: Future<Output = Result<Response<Incoming>, Unanswered>>,
{
    type Output = Sent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            let mut this = self.as_mut().project();
            let went_on = match this.stage {
                Stage::Begins => this.begin(),
                Stage::Waits(lease) => match lease.as_mut().poll(cx) {
                    Poll::Ready(lease) => lease.and_then(|lease| this.go_over(lease)),
                    Poll::Pending => {
                        let limit = ready!(this.pending.poll_total(cx));
                        let name = format!("{:?}", this.address).into();
                        Err(Error::total_timeout(&name, limit))
                    }
                },
                Stage::Http1 => match ready!(this.http1.as_mut().poll(cx, this.pending)) {
                    Err(error) => Err(error),
                    Ok(()) => {
                        *this.stage = Stage::Ended;
                        if let Some(trial) = this.pending.trial.take() {
                            trial.answered();
                        }
                        let along = this.pending.along.take();
                        this.pending.let_go();
                        return Poll::Ready(Ok(this.http1.into_response(along)));
                    }
                },
                Stage::Http2(exchange) => match ready!(exchange.as_mut().poll(cx)) {
                    (back, Err(error)) => {
                        *this.pending = back;
                        Err(error)
                    }
                    (back, mut done) => {
                        this.end();
                        go_on(&mut done, back.along);
                        return Poll::Ready(done);
                    }
                },
                Stage::Ended => unreachable!("it is not polled after its end"),
            };
            let Err(error) = went_on else { continue };
            match this.pending.retry(error) {
                Ok(()) => *this.stage = Stage::Begins,
                Err(error) => {
                    let error = fail(this.hosts, Some(this.address), this.pending, error);
                    this.end();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl<'a, C, F> Projected<'_, 'a, C, F>
where
    C: Connector,
    F: Future<Output = Result<Response<Incoming>, Unanswered>>,
{
    /// Looks for a connection.
    #[inline]
    fn begin(&mut self) -> Result<(), Error> {
        self.pending
            .check()
            .map_err(|why| Error::invalid_request(&format!("{:?}", self.address).into(), why))?;
        let http1_only = self.pending.needs_http1();
        let mut lane = self.hosts.lane_for(self.address, http1_only)?;
        check_secure(self.pending.facts, lane.default_target())
            .map_err(|why| Error::invalid_request(lane.name(), why))?;
        self.pending.begin(lane.host());
        if let Some(limit) = self.pending.is_overdue() {
            return Err(Error::total_timeout(lane.name(), limit));
        }
        self.pending.count(lane.host());
        // By value: the pending request itself is not to be shared while this waits.
        let (chunks, wants) = (self.pending.facts.needs_chunks, self.pending.wants());
        let pause = self.pending.take_pause();
        if wants == Wants::Any && pause.is_none() {
            let trust = Trust::of(lane.host(), || self.pending.may_try(lane.settings()));
            match take_idle(lane, chunks, trust) {
                Ok(lease) => {
                    *self.position = None;
                    return self.go_over(lease);
                }
                Err(back) => lane = back,
            }
        }
        let needs = Needs { wants, chunks, http1_only, pause, first_is_for_all: false };
        *self.stage = Stage::Waits(Box::pin(self.hosts.wait(
            self.address,
            lane,
            needs,
            self.position.take(),
        )));
        Ok(())
    }

    /// Sends the request over what it was lent.
    #[inline]
    fn go_over(&mut self, lease: Lease) -> Result<(), Error> {
        *self.stage = match lease {
            Lease::Connection(lease) => {
                self.http1.as_mut().begin(lease, self.pending)?;
                Stage::Http1
            }
            // The address has come to speak HTTP/2, and has a lane beside for such requests.
            Lease::Stream(stream) if self.pending.needs_http1() && stream.goes_beside() => {
                Stage::Begins
            }
            Lease::Stream(stream) => {
                Stage::Http2(Box::pin(http2::exchange(*stream, std::mem::take(self.pending))))
            }
        };
        Ok(())
    }

    /// A future that has ended may be kept for long, and keeps nothing of its request.
    fn end(&mut self) {
        *self.position = None;
        *self.stage = Stage::Ended;
        self.pending.let_go();
    }
}

/// What went along with a request goes on with the body of its response.
#[inline]
fn go_on(sent: &mut Sent, along: Option<Box<Along>>) {
    if let (Ok(response), Some(along)) = (sent, along) {
        Body::go_on(response, *along);
    }
}

async fn send_once(unused: Unused, pending: &mut PendingRequest) -> Sent {
    let lane = Arc::clone(unused.lane());
    let refuse = |why| Error::invalid_request(lane.name(), why);
    pending.check().map_err(refuse)?;
    check_secure(pending.facts, lane.default_target()).map_err(refuse)?;
    if !unused.can_carry(pending.facts.needs_chunks) {
        return Err(refuse("its server speaks HTTP/1.0, which knows no body of unknown length"));
    }
    pending.begin(lane.host());
    if let Some(limit) = pending.is_overdue() {
        return Err(Error::total_timeout(lane.name(), limit));
    }
    pending.count(lane.host());
    send_over_lease(unused.use_now(), pending).await.inspect_err(|error| pending.note(error))
}

/// Sends a request that was checked over this lease, once.
pub(super) async fn send_over_lease(lease: Lease, pending: &mut PendingRequest) -> Sent {
    let mut sent = match lease {
        Lease::Connection(lease) => {
            let mut http1 = pin!(Http1Exchange::new(Connection::send));
            http1.as_mut().begin(lease, pending)?;
            match poll_fn(|cx| http1.as_mut().poll(cx, pending)).await {
                Ok(()) => Ok(http1.into_response(None)),
                Err(error) => Err(error),
            }
        }
        Lease::Stream(stream) => {
            let exchange = http2::exchange(*stream, std::mem::take(pending));
            let (back, sent) = Box::pin(exchange).await;
            *pending = back;
            sent
        }
    };
    if sent.is_ok() {
        go_on(&mut sent, pending.along.take());
    }
    sent
}
