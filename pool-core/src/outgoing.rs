//! A request body of any type, behind one: held to its length, held back by a gate, and told of.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::exchange::OpenStream;
use crate::informational::Gate;
use crate::promise::keep_promise;
use crate::replayable::ReplayableBody;
use crate::request_body::{Again, BoxError};
use crate::stream::Traffic;

type NextFrame = Option<Result<Frame<Bytes>, BoxError>>;

/// A body of any type, held to what was promised of it.
pub(crate) trait Outgoing: Body<Data = Bytes, Error = BoxError> + Send {
    /// From here on it is an error if the body does not have this length.
    fn promise(self: Pin<&mut Self>, length: u64);

    fn promised(&self) -> Option<u64>;

    /// The same body from its beginning, if it can be had twice.
    fn again(&self) -> Option<Again>;

    /// Tells `traffic` when the last frame has been handed to hyper.
    fn report_to(self: Pin<&mut Self>, traffic: Arc<Traffic>);

    /// Keeps the place of a stream until the body has been sent, or given up.
    fn hold(self: Pin<&mut Self>, stream: OpenStream);

    /// Waits no longer for a gate; see [`RequestBody::behind`](crate::RequestBody).
    fn let_go(self: Pin<&mut Self>);
}

pin_project! {
    // `promised` is what is still owed of the promised length.
    pub(crate) struct Erased<B> {
        #[pin]
        body: B,
        promised: Option<u64>,
        // What was looked at before its turn.
        ahead: Option<Frame<Bytes>>,
        again: Option<ReplayableBody>,
        held: Option<Held>,
        traffic: Option<Arc<Traffic>>,
        stream: Option<OpenStream>,
    }
}

impl<B> Erased<B> {
    pub(crate) fn new(body: B, again: Option<ReplayableBody>, held: Option<Held>) -> Self {
        Self { body, promised: None, ahead: None, again, held, traffic: None, stream: None }
    }
}

/// The server has first to say that it wants the body, or to keep silent for a while.
pub(crate) struct Held {
    gate: Arc<Gate>,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Held {
    pub(crate) fn new(gate: Arc<Gate>, patience: Duration) -> Self {
        Self { gate, patience, timer: None }
    }

    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_open(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.gate.is_refused() {
            return Poll::Pending;
        }
        let patience = self.patience;
        self.timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }
}

impl<B> Outgoing for Erased<B>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn promise(self: Pin<&mut Self>, length: u64) {
        *self.project().promised = Some(length);
    }

    fn promised(&self) -> Option<u64> {
        self.promised
    }

    fn again(&self) -> Option<Again> {
        Some(Again::Made(self.again.as_ref()?.unread()?, self.promised))
    }

    fn report_to(self: Pin<&mut Self>, traffic: Arc<Traffic>) {
        *self.project().traffic = Some(traffic);
    }

    fn hold(self: Pin<&mut Self>, stream: OpenStream) {
        *self.project().stream = Some(stream);
    }

    fn let_go(self: Pin<&mut Self>) {
        let this = self.project();
        *this.held = None;
        *this.stream = None;
    }
}

impl<B: Body<Data = Bytes>> Erased<B>
where
    B::Error: Into<BoxError>,
{
    fn poll_promised(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let mut this = self.project();
        if let Some(ahead) = this.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        let frame =
            ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        let Some(left) = this.promised else { return Poll::Ready(frame) };
        let frame = keep_promise(frame, left);
        if *left > 0 || !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            return Poll::Ready(frame);
        }
        // hyper stops polling at the promised length, so what follows at once is looked for here.
        Poll::Ready(match this.body.poll_frame(cx) {
            Poll::Ready(Some(next)) => {
                match keep_promise(Some(next.map_err(Into::into)), left) {
                    // Trailers, which HTTP/2 has after a body of any length.
                    Some(Ok(next)) => {
                        *this.ahead = Some(next);
                        frame
                    }
                    broken => broken.or(frame),
                }
            }
            _ => frame,
        })
    }
}

impl<B> Body for Erased<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let this = self.as_mut().project();
        if let Some(held) = this.held {
            ready!(held.poll_release(cx));
            *this.held = None;
        }
        if self.stream.as_ref().is_some_and(|stream| stream.is_given_up(cx)) {
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        let frame = if self.stream.is_none() {
            ready!(self.as_mut().poll_promised(cx))
        } else {
            // Polled by the task of a shared connection, and a body that panics must not take all streams along.
            let polled = catch_unwind(AssertUnwindSafe(|| self.as_mut().poll_promised(cx)));
            ready!(polled.unwrap_or_else(|_| Poll::Ready(Some(Err("the body panicked".into())))))
        };
        if let Some(traffic) = &self.traffic {
            traffic.note_frame();
        }
        let promise_kept = self.promised == Some(0);
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        if (frame.is_none() || promise_kept || trailers || self.is_end_stream())
            && let Some(traffic) = &self.traffic
        {
            traffic.end_body();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // While bytes are owed the end must be polled for, so that the shortfall is an error.
        self.promised.unwrap_or(0) == 0 && self.ahead.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
