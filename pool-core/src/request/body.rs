//! The one request body that hyper sees.
//!
//! A connection outlives its requests, so its type cannot depend on theirs. Bodies whose whole content is
//! known are recognised and kept as they are; any other is boxed once, as an [`ErasedBody`].
//!
//! What must hold: a body that can be replayed ([`again`](RequestBody::again)) is replayed whole, whatever was read of
//! it.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::erased_body::{Again, Erased, ErasedBody, Gated, NextFrame};
use super::gate::Gate;
use super::replayable::{BoxError, ReplayableBody};
use crate::io::Traffic;

/// With a head of any usual size this fits into the buffer that hyper has for heads.
const MOST_COPIED: u64 = 4 * 1024;

/// The body of a request, whatever type it had when it was handed to the pool.
///
/// Comes back from [`Error::into_request`](crate::Error::into_request), and may be sent as it is.
pub struct RequestBody(Content);

/// As large as the content of the first variant, and no larger: it is moved about with every request.
enum Content {
    /// All of it at hand; empty once it is sent.
    Full(Bytes),
    /// Read frame by frame.
    Streaming(Pin<Box<dyn ErasedBody>>),
}

impl From<Again> for RequestBody {
    fn from(again: Again) -> Self {
        match again {
            Again::Full(bytes) => Self(Content::Full(bytes)),
            Again::Made(replayable, declared) => {
                let mut body = Self::new(replayable);
                if let Some(length) = declared {
                    body.declare_length(length);
                }
                body
            }
        }
    }
}

impl RequestBody {
    pub(crate) const EMPTY: Self = Self(Content::Full(Bytes::new()));

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
            return Self::whole(full);
        }
        if let Some(string) = any.downcast_mut::<String>() {
            return Self::whole(string);
        }
        if let Some(given_back) = any.downcast_mut::<Self>() {
            return std::mem::replace(given_back, Self::EMPTY);
        }
        let mut again = None;
        if let Some(replayable) = any.downcast_mut::<ReplayableBody>() {
            again = replayable.unread();
            replayable.make();
        }
        Self::streaming(body, again, None)
    }

    /// The content of a body that gives it in one frame, at once.
    fn whole<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Self {
        match Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => {
                frame.into_data().map_or(Self::EMPTY, |data| Self(Content::Full(data)))
            }
            _ => Self::EMPTY,
        }
    }

    fn streaming<B>(body: B, again: Option<ReplayableBody>, gated: Option<Gated>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Content::Streaming(Box::pin(Erased::new(body, again, gated))))
    }

    /// The same body, held back until the gate opens or `limit` has passed since hyper asked for the body.
    pub(super) fn gated(self, gate: Arc<Gate>, limit: Duration) -> Self {
        let declared = match &self.0 {
            Content::Streaming(body) => body.declared(),
            Content::Full(_) => None,
        };
        let mut body = Self::streaming(self, None, Some(Gated::new(gate, limit)));
        if let Some(length) = declared {
            body.declare_length(length);
        }
        body
    }

    /// In place of a body that has panicked: it fails whenever it is polled.
    pub(crate) fn panicked() -> Self {
        struct Panicked;

        impl Body for Panicked {
            type Data = Bytes;
            type Error = BoxError;

            fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<NextFrame> {
                Poll::Ready(Some(Err("the body panicked".into())))
            }
        }

        Self::streaming(Panicked, None, None)
    }

    /// Its length, if that is known before it is read.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match &self.0 {
            Content::Streaming(body) => body.declared().or_else(|| body.size_hint().exact()),
            Content::Full(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Whether it is more than hyper should copy.
    pub(crate) fn is_large(&self) -> bool {
        self.exact_len().is_none_or(|length| length > MOST_COPIED)
    }

    /// Holds a streaming body to a `content-length`, the caller's or one that hyper makes of its own hint.
    pub(super) fn declare_length(&mut self, length: u64) {
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().declare_length(length);
        }
    }

    /// Whether it can be sent twice.
    pub(crate) fn is_replayable(&self) -> bool {
        self.again().is_some()
    }

    /// The same body from its beginning, if it can be sent twice.
    pub(super) fn again(&self) -> Option<Again> {
        match &self.0 {
            Content::Full(bytes) => Some(Again::Full(bytes.clone())),
            Content::Streaming(body) => body.again(),
        }
    }

    /// All of the body if it is at hand and no longer than `limit`; else the body.
    pub(crate) fn into_whole(self, limit: u64) -> Result<Bytes, Self> {
        match self.0 {
            Content::Full(bytes) if bytes.len() as u64 <= limit => Ok(bytes),
            content => Err(Self(content)),
        }
    }

    /// The same body without the gate of an attempt that has ended.
    pub(crate) fn without_gate(mut self) -> Self {
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().release();
        }
        self
    }

    /// The request goes out over the connection of `traffic`; the body reports there how far it has come.
    pub(crate) fn begin(&mut self, traffic: &Arc<Traffic>) {
        traffic.begin_request(matches!(self.0, Content::Full(_)));
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().report_to(Arc::clone(traffic));
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        match &mut self.get_mut().0 {
            Content::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Content::Streaming(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Full(bytes) => bytes.is_empty(),
            Content::Streaming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Streaming(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Content::Streaming(_) => f.write_str("Streaming"),
        }
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
            assert!(matches!(&body.0, Content::Full(bytes) if bytes == "word"), "{body:?}");
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
            assert!(matches!(&body.0, Content::Full(bytes) if bytes.is_empty()), "{body:?}");
            assert!(body.is_end_stream());
        }
    }
}
