//! The body of a response over one stream of a shared connection, which the task of that connection drives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::open_stream::OpenStream;
use super::timers::FrameTimer;
use crate::report::{Attempt, Error};

/// A frame or the end, and whether it is the last.
type Polled = (Option<Result<Frame<Bytes>, Error>>, bool);

pub(super) struct StreamBody {
    incoming: Incoming,
    stream: OpenStream,
    attempt: Attempt,
}

impl StreamBody {
    pub(super) fn new(incoming: Incoming, stream: OpenStream, attempt: Attempt) -> Self {
        Self { incoming, stream, attempt }
    }

    /// The next frame, and whether it is the last: then the stream is to be given back.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut FrameTimer,
    ) -> Poll<Polled> {
        let Self { incoming, stream, attempt } = self;
        let next = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
        let polled = ready!(timer.poll_within(cx, next));
        let name = stream.lease().lane().name();
        Poll::Ready(match polled {
            Ok(Some(Ok(frame))) => (Some(Ok(frame)), incoming.is_end_stream()),
            Ok(Some(Err(error))) => {
                (Some(Err(Error::response_body(name, error).at(attempt.clone()))), true)
            }
            Ok(None) => (None, true),
            Err(limit) => {
                stream.times_out();
                (Some(Err(Error::body_timeout(name, limit).at(attempt.clone()))), true)
            }
        })
    }

    /// The caller does not read on.
    pub(super) fn abandon(self) {
        self.stream.abandon(self.incoming);
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
