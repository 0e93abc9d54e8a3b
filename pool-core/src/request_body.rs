//! The one request body that hyper sees.
//!
//! A connection outlives its requests, so its type cannot depend on theirs. Bodies whose whole content is
//! known are recognised and kept as they are; any other is boxed once. A body with a `content-length`
//! of the caller's own is held to it: hyper would wait for ever for what is missing, and cut what is
//! too much without a word.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::informational::Gate;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// As large as the content of the first variant, and no larger: it is moved about with every request.
pub(crate) enum RequestBody {
    /// All of it at hand; nothing, once it is sent.
    Full(Bytes),
    /// It comes as it comes.
    Streaming(Pin<Box<dyn Outgoing>>),
}

/// A body of any type, held to what was promised of it.
pub(crate) trait Outgoing: Body<Data = Bytes, Error = BoxError> + Send {
    /// From here on it is an error if the body does not have this length.
    fn promise(self: Pin<&mut Self>, length: u64);

    fn promised(&self) -> Option<u64>;
}

impl RequestBody {
    pub(crate) const EMPTY: Self = Self::Full(Bytes::new());

    pub(crate) fn new<B>(mut body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::EMPTY;
        }
        let any: &mut dyn Any = &mut body;
        if let Some(full) = any.downcast_mut::<Full<Bytes>>() {
            Self::whole(full)
        } else if let Some(string) = any.downcast_mut::<String>() {
            Self::whole(string)
        } else {
            Self::Streaming(Box::pin(Erased { body, promised: None, held: None }))
        }
    }

    /// The content of a body that gives it in one frame, at once.
    fn whole<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Self {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map_or(Self::EMPTY, Self::Full),
            _ => Self::EMPTY,
        }
    }

    /// The same body, held back until the gate opens or `patience` has passed since hyper asked for it.
    pub(crate) fn behind(self, gate: Arc<Gate>, patience: Duration) -> Self {
        let promised = match &self {
            Self::Streaming(body) => body.promised(),
            Self::Full(_) => None,
        };
        let held = Some(Held { gate, patience, timer: None });
        Self::Streaming(Box::pin(Erased { body: self, promised, held }))
    }

    /// Its length, if that is known before it is read.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match self {
            Self::Streaming(body) => body.promised().or_else(|| body.size_hint().exact()),
            Self::Full(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Holds a streaming body to a `content-length`, the caller's or one that hyper makes of its own hint.
    pub(crate) fn promise(&mut self, length: u64) {
        if let Self::Streaming(body) = self {
            body.as_mut().promise(length);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streaming(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(body) => body.size_hint(),
        }
    }
}

type NextFrame = Option<Result<Frame<Bytes>, BoxError>>;

fn keep_promise(frame: NextFrame, left: &mut u64) -> NextFrame {
    match &frame {
        Some(Ok(frame)) => {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(bytes) {
                Some(rest) => *left = rest,
                None => return Some(Err(BrokenPromise::TooLong(bytes - *left).into())),
            }
        }
        None if *left > 0 => return Some(Err(BrokenPromise::TooShort(*left).into())),
        _ => {}
    }
    frame
}

#[derive(Debug)]
enum BrokenPromise {
    TooLong(u64),
    TooShort(u64),
}

impl fmt::Display for BrokenPromise {
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

impl StdError for BrokenPromise {}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Streaming(_) => f.write_str("Streaming"),
        }
    }
}

pin_project! {
    // `promised` is what is still owed of the promised length.
    struct Erased<B> {
        #[pin]
        body: B,
        promised: Option<u64>,
        held: Option<Held>,
    }
}

/// The server has first to say that it wants the body, or to keep silent for a while.
struct Held {
    gate: Arc<Gate>,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Held {
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
}

impl<B> Body for Erased<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let mut this = self.project();
        if let Some(held) = this.held {
            ready!(held.poll_release(cx));
            *this.held = None;
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
                keep_promise(Some(next.map_err(Into::into)), left).filter(Result::is_err).or(frame)
            }
            _ => frame,
        })
    }

    fn is_end_stream(&self) -> bool {
        // While bytes are owed the end must be polled for, so that the shortfall is an error.
        self.promised.unwrap_or(0) == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;

    #[test]
    fn bodies_whose_content_is_at_hand_are_not_boxed() {
        for body in [
            RequestBody::new(Full::new(Bytes::from_static(b"word"))),
            RequestBody::new(String::from("word")),
        ] {
            assert!(matches!(&body, RequestBody::Full(bytes) if bytes == "word"), "{body:?}");
            assert_eq!(body.exact_len(), Some(4));
        }
    }

    #[test]
    fn a_request_is_moved_about_without_more_than_its_content() {
        assert_eq!(size_of::<RequestBody>(), size_of::<Bytes>());
    }

    #[test]
    fn empty_bodies_of_every_kind_are_empty() {
        for body in [
            RequestBody::new(Empty::<Bytes>::new()),
            RequestBody::new(Full::new(Bytes::new())),
            RequestBody::new(String::new()),
        ] {
            assert!(matches!(&body, RequestBody::Full(bytes) if bytes.is_empty()), "{body:?}");
            assert!(body.is_end_stream());
        }
    }
}
