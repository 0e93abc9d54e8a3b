//! A request on its way through the pool: it is lent a connection, goes over it, and comes back to go over another.
//!
//! ```text
//!   begins ─► an idle connection ─────────────► sends ─► the head of the response
//!     ▲          │ none                         ▲  │
//!     │          └─► waits ─► whatever comes ───┘  │ or over a stream: shares
//!     └────────────── may be sent again ◄──────────┘
//! ```
//!
//! What must hold: it ends, because a fresh connection is never followed by another turn, and a request that has
//! failed twice on others insists on one; only an HTTP/2 server can refuse it there, as often as turns are allowed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::body::Body;
use crate::connection::Connection;
use crate::connector::Connector;
use crate::driver::Unanswered;
use crate::error::Error;
use crate::lane::Lane;
use crate::lent::Lent;
use crate::message::Message;
use crate::pool::{Inner, name, take_idle};
use crate::queue::Wants;
use crate::sending::Sending;

type Sent = Result<Response<Body>, Error>;

/// The future of a request.
///
/// Not an async function: each of those around the response would move it once more, and the request as well.
pub(crate) fn request<'a, C: Connector>(
    inner: &'a Inner<C>,
    address: &'a C::Address,
    message: Message,
) -> impl Future<Output = Sent> + Send + use<'a, C> {
    let (send, answer, stage) = (Connection::send, None, Stage::Begins);
    Requesting { inner, address, send, answer, stage, message }
}

pin_project! {
    #[project = RequestingProjection]
    struct Requesting<'a, C: Connector, S, F> {
        inner: &'a Inner<C>,
        address: &'a C::Address,
        send: S,
        // What hyper gives for a request has no name. It goes before the connection that it waits for.
        #[pin]
        answer: Option<F>,
        stage: Stage<'a>,
        message: Message,
    }
}

enum Stage<'a> {
    /// Nothing has been sent; so it is again after a failure.
    Begins,
    /// For a connection. In a box, so that those who need not wait do not move what waiting takes about.
    Waits(Pin<Box<dyn Future<Output = Result<Lent, Error>> + Send + 'a>>),
    /// Over HTTP/1.
    Sends(Sending),
    /// Over HTTP/2. In a box, so that requests over HTTP/1 do not pay for the size of this.
    Shares(Pin<Box<dyn Future<Output = (Message, Sent)> + Send>>),
    Ended,
}

impl<C, S, F> Future for Requesting<'_, C, S, F>
where
    C: Connector,
    S: Fn(&mut Connection, &mut Message) -> F + Copy,
    F: Future<Output = Result<Response<Incoming>, Unanswered>>,
{
    type Output = Sent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent> {
        loop {
            let RequestingProjection { inner, address, send, mut answer, stage, message } =
                self.as_mut().project();
            let gone_on = match stage {
                Stage::Begins => begin(inner, address, message, stage),
                Stage::Waits(lent) => {
                    ready!(lent.as_mut().poll(cx)).and_then(|lent| go(lent, message, stage))
                }
                Stage::Sends(sending) => {
                    let mut come = None;
                    match ready!(sending.poll(cx, message, answer.as_mut(), *send, &mut come)) {
                        Err(error) => Err(error),
                        Ok(()) => {
                            let lease = sending.answered();
                            message.let_go();
                            return Poll::Ready(Ok(lease.receive(come)));
                        }
                    }
                }
                Stage::Shares(sent) => match ready!(sent.as_mut().poll(cx)) {
                    (back, Err(error)) => {
                        *message = back;
                        Err(error)
                    }
                    (_, done) => {
                        self.end();
                        return Poll::Ready(done);
                    }
                },
                Stage::Ended => unreachable!("it is not polled after its end"),
            };
            let Err(error) = gone_on else { continue };
            match message.retry(error) {
                Ok(()) => *stage = Stage::Begins,
                Err(error) => {
                    let error = message.explain(error);
                    self.end();
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl<C: Connector, S, F> Requesting<'_, C, S, F> {
    /// A future that has ended may be kept for long, and keeps nothing of its request.
    fn end(self: Pin<&mut Self>) {
        let this = self.project();
        *this.stage = Stage::Ended;
        this.message.let_go();
    }
}

/// Looks for a connection.
fn begin<'a, C: Connector>(
    inner: &'a Inner<C>,
    address: &'a C::Address,
    message: &mut Message,
    stage: &mut Stage<'a>,
) -> Result<(), Error> {
    message.check().map_err(|why| Error::invalid_request(&name(address), why))?;
    // By value: the message itself is not to be shared while this waits.
    let chunked = message.chunked;
    let trusts_idle = message.trusts_idle();
    let lane = inner.lane(address)?;
    if !(trusts_idle && go_on_idle(lane, message, stage)?) {
        let wants = if trusts_idle { Wants::Any } else { Wants::Fresh };
        let suits = move |lent: &Lent| lent.can_carry(chunked);
        *stage = Stage::Waits(Box::pin(inner.wait(address, wants, suits)));
    }
    Ok(())
}

/// Sends the request over the newest idle connection; false if there is none.
#[inline]
fn go_on_idle(
    lane: Arc<Lane>,
    message: &mut Message,
    stage: &mut Stage<'_>,
) -> Result<bool, Error> {
    match take_idle(lane, |lent| lent.can_carry(message.chunked)) {
        Some(lent) => go(lent, message, stage).map(|()| true),
        None => Ok(false),
    }
}

/// Sends the request over what it was lent.
fn go(lent: Lent, message: &mut Message, stage: &mut Stage<'_>) -> Result<(), Error> {
    *stage = match lent {
        Lent::Connection(lease) => Stage::Sends(Sending::begin(lease, message)?),
        Lent::Stream(slot) => Stage::Shares(Box::pin(slot.send(std::mem::take(message)))),
    };
    Ok(())
}
