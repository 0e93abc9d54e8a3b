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
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Empty, Full};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::informational::Gate;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

pub(crate) enum RequestBody {
    /// Nothing, or all of it sent.
    Empty,
    /// All of it at hand.
    Full(Bytes),
    /// It comes as it comes.
    Streaming { body: BoxBody, promised: Option<u64> },
    /// The server has first to say that it wants it, or to keep silent for a while.
    Waiting(Box<Waiting>),
}

pub(crate) struct Waiting {
    gate: Arc<Gate>,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    body: RequestBody,
}

impl RequestBody {
    pub(crate) fn new<B>(mut body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Self::Empty;
        }
        let any: &mut dyn Any = &mut body;
        if any.is::<Empty<Bytes>>() {
            Self::Empty
        } else if let Some(full) = any.downcast_mut::<Full<Bytes>>() {
            Self::whole(full)
        } else if let Some(string) = any.downcast_mut::<String>() {
            Self::whole(string)
        } else {
            Self::Streaming { body: Box::pin(Erased { body }), promised: None }
        }
    }

    /// The content of a body that gives it in one frame, at once.
    fn whole<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Self {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().map_or(Self::Empty, Self::Full),
            _ => Self::Empty,
        }
    }

    /// The same body, held back until the gate opens or `patience` has passed since hyper asked for it.
    pub(crate) fn behind(self, gate: Arc<Gate>, patience: Duration) -> Self {
        Self::Waiting(Box::new(Waiting { gate, patience, timer: None, body: self }))
    }

    /// Its length, if that is known before it is read.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match self {
            Self::Streaming { promised: Some(length), .. } => Some(*length),
            _ => self.size_hint().exact(),
        }
    }

    /// Holds a streaming body to the `content-length` that the caller wrote into the head.
    pub(crate) fn promise(&mut self, length: u64) {
        if let Self::Streaming { promised, .. } = self {
            *promised = Some(length);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match this {
            Self::Waiting(waiting) => {
                std::task::ready!(waiting.poll(cx));
                let body = std::mem::replace(&mut waiting.body, Self::Empty);
                *this = body;
                Pin::new(this).poll_frame(cx)
            }
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Streaming { body, promised } => {
                let frame = std::task::ready!(body.as_mut().poll_frame(cx));
                let Some(left) = promised else { return Poll::Ready(frame) };
                let frame = keep_promise(frame, left);
                if *left > 0 || !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
                    return Poll::Ready(frame);
                }
                // hyper stops polling at the promised length, so what follows at once is looked for here.
                Poll::Ready(match body.as_mut().poll_frame(cx) {
                    Poll::Ready(Some(next)) => {
                        keep_promise(Some(next), left).filter(Result::is_err).or(frame)
                    }
                    _ => frame,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Waiting(waiting) => waiting.body.is_end_stream(),
            // While bytes are owed the end must be polled for, so that the shortfall is an error.
            Self::Streaming { body, promised } => {
                promised.unwrap_or(0) == 0 && body.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming { body, .. } => body.size_hint(),
            Self::Waiting(waiting) => waiting.body.size_hint(),
        }
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gate.poll_open(cx).is_ready() {
            return Poll::Ready(());
        }
        let patience = self.patience;
        self.timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
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
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Streaming { .. } => f.write_str("Streaming"),
            Self::Waiting(waiting) => write!(f, "Waiting({:?})", waiting.body),
        }
    }
}

pin_project! {
    /// A body of any type, with its error boxed.
    struct Erased<B> {
        #[pin]
        body: B,
    }
}

impl<B> Body for Erased<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
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
    fn empty_bodies_of_every_kind_are_empty() {
        for body in [
            RequestBody::new(Empty::<Bytes>::new()),
            RequestBody::new(Full::new(Bytes::new())),
            RequestBody::new(String::new()),
        ] {
            assert!(matches!(&body, RequestBody::Empty), "{body:?}");
            assert!(body.is_end_stream());
        }
    }
}
