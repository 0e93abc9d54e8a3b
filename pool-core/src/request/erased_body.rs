//! A request body of any type behind one: held to its declared length, held back by a gate, and reported on.
//!
//! hyper would wait for ever for bytes that are missing from a declared length, and cut what goes beyond it without a
//! word; here both are errors of the body.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::gate::Gate;
use super::replayable::{BoxError, ReplayableBody};
use crate::io::Traffic;

pub(super) type NextFrame = Option<Result<Frame<Bytes>, BoxError>>;

/// A body that can be sent once more. Nothing is made before it is wanted.
pub(super) enum Again {
    Full(Bytes),
    /// With its declared length.
    Made(ReplayableBody, Option<u64>),
}

/// A body of any type.
pub(super) trait ErasedBody: Body<Data = Bytes, Error = BoxError> + Send {
    /// From here on it is an error if the body does not have this length.
    fn declare_length(self: Pin<&mut Self>, length: u64);

    /// What is still missing from the declared length.
    fn declared(&self) -> Option<u64>;

    /// The same body from its beginning, if it can be sent twice.
    fn again(&self) -> Option<Again>;

    /// Tells `traffic` when the last frame has been handed to hyper.
    fn report_to(self: Pin<&mut Self>, traffic: Arc<Traffic>);

    /// Gives up the gate of an attempt that has ended.
    fn release(self: Pin<&mut Self>);
}

pin_project! {
    pub(super) struct Erased<B> {
        #[pin]
        body: B,
        declared: Option<u64>,
        // A frame that was polled before its turn.
        ahead: Option<Frame<Bytes>>,
        // It has told its end, and is polled no more: it may panic, or never be ready again.
        ended: bool,
        again: Option<ReplayableBody>,
        gated: Option<Gated>,
        traffic: Option<Arc<Traffic>>,
    }
}

/// The body waits until the server asks for it, or has kept silent for a while.
pub(super) struct Gated {
    gate: Arc<Gate>,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Gated {
    pub(super) fn new(gate: Arc<Gate>, limit: Duration) -> Self {
        Self { gate, limit, timer: None }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_open(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.gate.is_refused() {
            return Poll::Pending;
        }
        let limit = self.limit;
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx));
        self.gate.open();
        Poll::Ready(())
    }
}

impl<B> Erased<B> {
    pub(super) fn new(body: B, again: Option<ReplayableBody>, gated: Option<Gated>) -> Self {
        Self { body, declared: None, ahead: None, ended: false, again, gated, traffic: None }
    }
}

impl<B> ErasedBody for Erased<B>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn declare_length(self: Pin<&mut Self>, length: u64) {
        *self.project().declared = Some(length);
    }

    fn declared(&self) -> Option<u64> {
        self.declared
    }

    fn again(&self) -> Option<Again> {
        Some(Again::Made(self.again.as_ref()?.unread()?, self.declared))
    }

    fn report_to(self: Pin<&mut Self>, traffic: Arc<Traffic>) {
        *self.project().traffic = Some(traffic);
    }

    fn release(self: Pin<&mut Self>) {
        *self.project().gated = None;
    }
}

impl<B: Body<Data = Bytes>> Erased<B>
where
    B::Error: Into<BoxError>,
{
    fn poll_counted(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let mut this = self.project();
        if let Some(ahead) = this.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        if *this.ended {
            return Poll::Ready(None);
        }
        let frame =
            ready!(this.body.as_mut().poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        *this.ended = frame.is_none();
        let Some(left) = this.declared else { return Poll::Ready(frame) };
        let frame = count_down(frame, left);
        if *left > 0 || !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
            return Poll::Ready(frame);
        }
        // hyper stops polling at the declared length, so this looks for what follows at once.
        Poll::Ready(match this.body.poll_frame(cx) {
            Poll::Ready(Some(next)) => match count_down(Some(next.map_err(Into::into)), left) {
                // Trailers, which HTTP/2 has after a body of any length.
                Some(Ok(next)) => {
                    *this.ahead = Some(next);
                    frame
                }
                broken => broken.or(frame),
            },
            Poll::Ready(None) => {
                *this.ended = true;
                frame
            }
            Poll::Pending => frame,
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
        if let Some(gated) = this.gated {
            ready!(gated.poll_open(cx));
            *this.gated = None;
        }
        let frame = ready!(self.as_mut().poll_counted(cx));
        if let Some(traffic) = &self.traffic {
            traffic.note_frame();
            let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
            if frame.is_none() || trailers || self.declared == Some(0) || self.is_end_stream() {
                traffic.end_body();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // While bytes are missing hyper must poll for the end, so that the shortfall is an error.
        let ended = self.ended || self.body.is_end_stream();
        self.declared.unwrap_or(0) == 0 && self.ahead.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts a frame against what is left of the declared length; a frame that breaks it becomes an error.
fn count_down(frame: NextFrame, left: &mut u64) -> NextFrame {
    match &frame {
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                None => return Some(Err(WrongLength::TooLong(bytes - *left).into())),
            }
        }
        None if *left > 0 => return Some(Err(WrongLength::TooShort(*left).into())),
        _ => {}
    }
    frame
}

#[derive(Debug)]
enum WrongLength {
    TooLong(u64),
    TooShort(u64),
}

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "the body goes at least {bytes} bytes beyond its content-length")
            }
            Self::TooShort(bytes) => {
                write!(f, "the body ended {bytes} bytes short of its content-length")
            }
        }
    }
}

impl StdError for WrongLength {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    /// Panics when it is polled after its end, as some streams do.
    struct Unfused(Option<Vec<&'static str>>);

    impl Body for Unfused {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let pieces = self.0.as_mut().expect("it is not polled after its end");
            let piece =
                pieces.pop().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))));
            if piece.is_none() {
                self.0 = None;
            }
            Poll::Ready(piece)
        }
    }

    #[test]
    fn a_body_that_has_told_its_end_is_polled_no_more() {
        for declared in [None, Some(4)] {
            let mut body = pin!(Erased::new(Unfused(Some(vec!["34", "12"])), None, None));
            if let Some(length) = declared {
                body.as_mut().declare_length(length);
            }
            let mut poll = || body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
            for piece in ["12", "34"] {
                let Poll::Ready(Some(Ok(frame))) = poll() else { panic!("a piece is there") };
                assert_eq!(frame.into_data().expect("data"), piece);
            }
            assert!((0..3).all(|_| matches!(poll(), Poll::Ready(None))), "{declared:?}");
            assert!(body.is_end_stream());
        }
    }
}
