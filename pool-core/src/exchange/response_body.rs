//! The response body: it drives its connection while the message lasts, and checks it in at the end.
//!
//! ```text
//!   Streaming ── hyper is ready again ──► Arrived         the connection is checked in; the rest is at hand
//!       │ └───── hyper has closed ──────► Disconnected    what the connection had delivered is left
//!       └─────── dropped early ─────────► the watcher drains a little, or the connection closes
//! ```
//!
//! What must hold: the connection is checked in at the end of the message, not when the caller has done with the body;
//! and it takes no byte of this message along. hyper is ready for another request only when it has parsed the whole
//! message, so what is then left in its channel is taken out first.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::along::{Along, Followers};
use super::body_state::State;
use super::bounds::BodyBounds;
use super::drain;
use super::open_stream::OpenStream;
use super::stream_body::{Left, StreamBody};
use super::unfitting::unfitting;
use crate::io::WaitsFor;
use crate::lanes::ConnectionLease;
use crate::report::{Attempt, ConnectionInfo, Error, Reason};

/// The body of a response.
///
/// Its connection is checked in as soon as the message has ended, even while the body is still held. A body that is
/// dropped early is drained by the pool within the [drain limit](crate::Builder::drain_limit), else its connection
/// closes; over HTTP/2 its stream is reset. While it is held and not polled, nothing is read from the server, and what
/// is left of the request body is not sent.
///
/// A server may answer before it has read the whole request. When the response has ended, or was dropped, what is left
/// of the request body is sent on as long as the server takes it in without a pause longer than the time of the drain
/// limit; then the connection closes.
///
/// A frame fails with [`ErrorKind::ResponseBody`](crate::ErrorKind::ResponseBody) if the body does not arrive whole, if its
/// chunks bring 32 KiB of framing more than their content allows, or if its trailers hold a field that frames or routes a
/// message. It fails with [`BodyTimeout`](crate::ErrorKind::BodyTimeout) after the
/// [`body_timeout`](crate::Builder::body_timeout), with [`TotalTimeout`](crate::ErrorKind::TotalTimeout) after the
/// [`total_timeout`](crate::Builder::total_timeout), with [`SlowBody`](crate::ErrorKind::SlowBody) below the
/// [`least_rate`](crate::Builder::least_rate), and with [`RequestBody`](crate::ErrorKind::RequestBody) if the request body
/// that is still going out fails.
///
/// Framing is measured by Go's rule: sixteen bytes for each chunk and twice its content are allowed, and what goes beyond adds
/// up. Go ends it at 16 KiB; as much again is for trailers.
///
/// # Cancel safety
///
/// A future that reads frames can be dropped and made again; no frame is lost.
pub struct Body {
    state: State,
    connection: ConnectionInfo,
    bounds: BodyBounds,
    followers: Followers,
}

type NextFrame = Option<Result<Frame<Bytes>, Error>>;

impl Body {
    pub(super) fn new(incoming: Incoming, lease: ConnectionLease) -> Self {
        let connection = lease.connection.info();
        let bounds = BodyBounds::new(lease.settings().body_timeout);
        Self {
            state: State::of(incoming, lease),
            connection,
            bounds,
            followers: Followers::default(),
        }
    }

    /// The body of a response over a stream of a shared connection, whose lease it keeps to its end.
    pub(super) fn shared(
        incoming: RecvStream,
        stream: OpenStream,
        attempt: Attempt,
        fields: &HeaderMap,
    ) -> Self {
        let connection = attempt.connection().clone();
        let bounds = BodyBounds::new(stream.lease().lane().settings().body_timeout);
        let state = if incoming.is_end_stream() {
            stream.response_ended();
            State::NOTHING
        } else {
            State::Stream(Box::new(StreamBody::new(incoming, stream, attempt, fields)))
        };
        Self { state, connection, bounds, followers: Followers::default() }
    }

    pub(super) fn empty(connection: ConnectionInfo) -> Self {
        let bounds = BodyBounds::default();
        Self { state: State::NOTHING, connection, bounds, followers: Followers::default() }
    }

    /// What went along with a request goes on with the body of its response.
    #[cold]
    pub(super) fn go_on(response: &mut Response<Self>, mut along: Along) {
        along.followers.answer(response, response.body().connection());
        let body = response.body_mut();
        body.bounds.add(along.bounds);
        body.followers = along.followers;
        body.end_if_arrived();
    }

    /// The connection that carried this response, as it was then.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }

    /// Lets the connection go if hyper has done with it.
    fn settle(&mut self) {
        let State::Streaming { lease, .. } = &self.state else { return };
        if (lease.connection.is_ready() || lease.connection.is_finished())
            && let State::Streaming { incoming, lease } = self.take()
        {
            self.state = State::of(incoming, lease);
        }
    }

    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::NOTHING)
    }

    fn fail(&mut self, reason: Reason) {
        match self.take() {
            State::Streaming { lease, .. } => lease.discard(reason),
            State::Stream(stream) => stream.abandon(),
            State::Arrived { .. } | State::Disconnected(_) => {}
        }
    }

    #[cold]
    fn fail_mostly_framing(&mut self) -> Error {
        let State::Streaming { lease, .. } = &self.state else { unreachable!("it is framed") };
        let attempt = lease.connection.attempt();
        let error = Error::mostly_framing(lease.lane().name()).at(attempt);
        self.fail(Reason::Failed);
        error
    }

    /// The caller does not read on, or only the request body is still going out.
    fn leave_unfinished(&mut self) {
        match self.take() {
            State::Streaming { incoming, lease } => {
                drain::leave_to_watcher(incoming, lease);
            }
            State::Stream(stream) => stream.abandon(),
            State::Arrived { .. } | State::Disconnected(_) => {}
        }
    }

    // Out of line, because small messages have arrived by the time that the caller polls for them.
    #[inline(never)]
    fn poll_unfinished(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame> {
        match &mut self.state {
            State::Arrived { .. } => Poll::Ready(None),
            State::Streaming { .. } => self.poll_streaming(cx),
            State::Disconnected(rest) => rest.poll_frame(cx),
            State::Stream(stream) => {
                let (frame, left) = ready!(stream.poll_frame(cx, &mut self.bounds));
                match left {
                    Left::More => {}
                    Left::Nothing => self.state = State::NOTHING,
                    Left::Unread => self.leave_unfinished(),
                }
                Poll::Ready(frame)
            }
        }
    }

    /// Of a message that is whole nothing more is heard, however much of it is still to be read.
    fn end_if_arrived(&mut self) {
        if let State::Arrived { data, .. } = &self.state {
            self.followers.end(data.as_ref().map_or(0, Bytes::len));
        } else if self.is_end_stream() {
            // Only the request is still on its way.
            self.followers.end(0);
        }
    }

    fn poll_streaming(&mut self, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let State::Streaming { incoming, lease } = &mut self.state else {
            return Poll::Ready(None);
        };
        let next = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
        let polled =
            self.bounds.poll_within(cx, |cx| lease.connection.poll(cx, WaitsFor::Rest, next));
        let frame = match polled {
            Poll::Pending if lease.connection.is_mostly_framing(None) => {
                return Poll::Ready(Some(Err(self.fail_mostly_framing())));
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(frame)) => frame,
            Poll::Ready(Err(overrun)) => {
                let attempt = lease.connection.attempt();
                let error = overrun.into_error(lease.lane().name()).at(attempt);
                self.fail(Reason::TimedOut);
                return Poll::Ready(Some(Err(error)));
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if lease.connection.is_mostly_framing(Some(bytes)) {
                    return Poll::Ready(Some(Err(self.fail_mostly_framing())));
                }
                if let Some(why) = unfitting(frame.trailers_ref()) {
                    let attempt = lease.connection.attempt();
                    let error = Error::unfitting_trailers(lease.lane().name(), why).at(attempt);
                    self.fail(Reason::Failed);
                    return Poll::Ready(Some(Err(error)));
                }
                self.settle();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(end)) => {
                let attempt = lease.connection.attempt();
                let error = lease.connection.take_error().unwrap_or(end);
                let error = Error::response_body(lease.lane().name(), error).at(attempt);
                self.fail(Reason::Failed);
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.settle();
                self.leave_unfinished();
                Poll::Ready(None)
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextFrame> {
        let this = self.get_mut();
        if let State::Arrived { data, trailers } = &mut this.state {
            return Poll::Ready(match data.take() {
                Some(data) => Some(Ok(Frame::data(data))),
                None => trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))),
            });
        }
        let frame = ready!(this.poll_unfinished(cx));
        if let Some(Err(error)) = &frame {
            this.connection.note_failed(error.kind());
        }
        if this.followers.are_any() {
            this.followers.hear(&frame);
            this.end_if_arrived();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Arrived { data, trailers } => data.is_none() && trailers.is_none(),
            State::Streaming { incoming, .. } => incoming.is_end_stream(),
            State::Disconnected(_) => false,
            State::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Arrived { data, .. } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            State::Streaming { incoming, .. } => incoming.size_hint(),
            State::Disconnected(rest) => rest.size_hint(),
            State::Stream(stream) => stream.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !matches!(self.state, State::Arrived { .. }) {
            if self.followers.are_any() {
                self.end_if_arrived();
            }
            self.leave_unfinished();
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Streaming { .. } => "streaming",
            State::Arrived { .. } => "arrived",
            State::Disconnected(_) => "disconnected",
            State::Stream(_) => "stream",
        };
        f.debug_struct("Body").field("state", &state).finish_non_exhaustive()
    }
}
