//! The one request body that hyper sees.
//!
//! A connection outlives its requests, so its type cannot depend on theirs. Bodies whose whole content is
//! known are recognised and kept as they are; any other is boxed once. A body with a `content-length`
//! of the caller's own is held to it: hyper would wait for ever for what is missing, and cut what is
//! too much without a word.
//!
//! What must hold: a body that can be had [`again`](RequestBody::again) is had again whole, whatever was read
//! of the first.

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

use crate::exchange::OpenStream;
use crate::informational::Gate;
use crate::promise::keep_promise;
use crate::replayable::ReplayableBody;
use crate::stream::Traffic;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The body of a request, whatever type it had when it was handed to the pool.
///
/// Comes back from [`Error::into_request`](crate::Error::into_request), and may be sent as it is.
pub struct RequestBody(Content);

/// As large as the content of the first variant, and no larger: it is moved about with every request.
enum Content {
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

    /// The same body from its beginning, if it can be had twice.
    fn again(&self) -> Option<Again>;

    /// Tells `traffic` when the last frame has been handed to hyper.
    fn report_to(self: Pin<&mut Self>, traffic: Arc<Traffic>);

    /// Keeps the place of a stream until the body has been sent, or given up.
    fn hold(self: Pin<&mut Self>, stream: OpenStream);

    /// Waits no longer for a gate; see [`RequestBody::behind`].
    fn let_go(self: Pin<&mut Self>);
}

/// A body that can be had once more; nothing is made before it is wanted.
pub(crate) enum Again {
    Full(Bytes),
    Made(ReplayableBody, Option<u64>),
}

impl From<Again> for RequestBody {
    fn from(again: Again) -> Self {
        match again {
            Again::Full(bytes) => Self(Content::Full(bytes)),
            Again::Made(replayable, promised) => {
                let mut body = Self::new(replayable);
                if let Some(length) = promised {
                    body.promise(length);
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

    fn streaming<B>(body: B, again: Option<ReplayableBody>, held: Option<Held>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let outgoing = Erased { body, promised: None, again, held, traffic: None, stream: None };
        Self(Content::Streaming(Box::pin(outgoing)))
    }

    /// The same body, held back until the gate opens or `patience` has passed since hyper asked for it.
    pub(crate) fn behind(self, gate: Arc<Gate>, patience: Duration) -> Self {
        let promised = match &self.0 {
            Content::Streaming(body) => body.promised(),
            Content::Full(_) => None,
        };
        let mut body = Self::streaming(self, None, Some(Held { gate, patience, timer: None }));
        if let Some(length) = promised {
            body.promise(length);
        }
        body
    }

    /// Its length, if that is known before it is read.
    pub(crate) fn exact_len(&self) -> Option<u64> {
        match &self.0 {
            Content::Streaming(body) => body.promised().or_else(|| body.size_hint().exact()),
            Content::Full(bytes) => Some(bytes.len() as u64),
        }
    }

    /// Holds a streaming body to a `content-length`, the caller's or one that hyper makes of its own hint.
    pub(crate) fn promise(&mut self, length: u64) {
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().promise(length);
        }
    }

    /// The same body from its beginning, if it can be had twice.
    pub(crate) fn again(&self) -> Option<Again> {
        match &self.0 {
            Content::Full(bytes) => Some(Again::Full(bytes.clone())),
            Content::Streaming(body) => body.again(),
        }
    }

    /// The request came back: the gate that its body was behind is that of an attempt which has ended.
    pub(crate) fn come_back(mut self) -> Self {
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().let_go();
        }
        self
    }

    /// The request goes out over `stream`, whose place it keeps while it streams.
    pub(crate) fn hold(&mut self, stream: &OpenStream) {
        if let Content::Streaming(body) = &mut self.0 {
            body.as_mut().hold(stream.clone());
        }
    }

    /// The request goes out over the connection of `traffic`, which is told how far the body has come.
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

type NextFrame = Option<Result<Frame<Bytes>, BoxError>>;

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Content::Streaming(_) => f.write_str("Streaming"),
        }
    }
}

pin_project! {
    // `promised` is what is still owed of the promised length.
    struct Erased<B> {
        #[pin]
        body: B,
        promised: Option<u64>,
        again: Option<ReplayableBody>,
        held: Option<Held>,
        traffic: Option<Arc<Traffic>>,
        stream: Option<OpenStream>,
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
        let frame = ready!(self.as_mut().poll_promised(cx));
        let promise_kept = self.promised == Some(0);
        if (frame.is_none() || promise_kept || self.is_end_stream())
            && let Some(traffic) = &self.traffic
        {
            traffic.end_body();
        }
        Poll::Ready(frame)
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
