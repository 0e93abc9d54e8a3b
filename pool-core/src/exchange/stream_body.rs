//! The body of a response over one stream of a shared connection, which the task of that connection drives.
//!
//! What must hold: the window of the stream grows as the caller reads, so what is held unread never exceeds it; and a body
//! is whole only with `END_STREAM`, RFC 9113 8.1, whatever length it announced.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::bounds::BodyBounds;
use super::open_stream::OpenStream;
use super::unfitting::unfitting;
use crate::report::{Attempt, Error};

/// A frame or the end, and what is left after it.
type Polled = (Option<Result<Frame<Bytes>, Error>>, Left);

/// What is left of a body.
pub(super) enum Left {
    More,
    Nothing,
    /// It is not read on.
    Unread,
}

pub(super) struct StreamBody {
    incoming: RecvStream,
    stream: OpenStream,
    attempt: Attempt,
    /// What is left of the length that was announced.
    length: Option<u64>,
    /// Only trailers can follow.
    data_ended: bool,
    /// What had been read of the connection when the wait for this frame began.
    read_before: Option<u64>,
}

impl StreamBody {
    pub(super) fn new(
        incoming: RecvStream,
        stream: OpenStream,
        attempt: Attempt,
        fields: &HeaderMap,
    ) -> Self {
        // h2 has checked that it is a number, and the same wherever it stands twice.
        let length =
            fields.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self { incoming, stream, attempt, length, data_ended: false, read_before: None }
    }

    /// The next frame, and what is left: if nothing is, the stream is to be given back.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        bounds: &mut BodyBounds,
    ) -> Poll<Polled> {
        let Poll::Ready(polled) = bounds.poll_within(cx, |cx| self.poll_incoming(cx)) else {
            self.read_before.get_or_insert(self.stream.lease().connection.wire().read());
            return Poll::Pending;
        };
        let read_before = self.read_before.take();
        let lease = self.stream.lease();
        let name = lease.lane().name();
        Poll::Ready(match polled {
            Ok(Some(Ok(frame))) => {
                let ended = self.incoming.is_end_stream();
                if ended {
                    self.stream.response_ended();
                }
                match unfitting(frame.trailers_ref()) {
                    None => (Some(Ok(frame)), if ended { Left::Nothing } else { Left::More }),
                    Some(why) => {
                        let error = Error::unfitting_trailers(name, why).at(self.attempt.clone());
                        (Some(Err(error)), Left::Nothing)
                    }
                }
            }
            Ok(Some(Err(error))) => {
                let error = match self.stream.take_upload_failure() {
                    Some(why) => Error::request_body(name, why),
                    None => Error::stream_body(name, error),
                };
                (Some(Err(error.at(self.attempt.clone()))), Left::Nothing)
            }
            Ok(None) => {
                self.stream.response_ended();
                (None, Left::Nothing)
            }
            Err(overrun) => {
                if read_before == Some(lease.connection.wire().read()) {
                    lease.connection.doubt();
                }
                (Some(Err(overrun.into_error(name).at(self.attempt.clone()))), Left::Unread)
            }
        })
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.data_ended {
            match ready!(self.incoming.poll_data(cx)) {
                // The end of the stream alone.
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    // A stream that has ended has no window.
                    self.incoming.flow_control().release_capacity(data.len()).ok();
                    self.length = self.length.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.incoming.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    /// The caller does not read on.
    pub(super) fn abandon(self) {
        self.stream.abandon(self.incoming);
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
