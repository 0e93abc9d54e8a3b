//! The body of a response over one stream of a shared connection, which its task drives.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::error::Error;
use crate::evidence::Attempt;
use crate::exchange::OpenStream;
use crate::timers::FrameTimer;

pub(crate) struct SharedBody {
    incoming: Incoming,
    stream: OpenStream,
    attempt: Attempt,
}

type NextFrame = Option<Result<Frame<Bytes>, Error>>;

impl SharedBody {
    pub(crate) fn new(incoming: Incoming, stream: OpenStream, attempt: Attempt) -> Self {
        Self { incoming, stream, attempt }
    }

    /// The next frame, and whether it is the last: then the slot is to be given back.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Option<Box<FrameTimer>>,
    ) -> Poll<(NextFrame, bool)> {
        let Self { incoming, stream, attempt } = self;
        let name = &stream.0.lane.host.name;
        let frame = match (Pin::new(&mut *incoming).poll_frame(cx), timer.as_mut()) {
            (Poll::Ready(frame), _) => frame,
            (Poll::Pending, None) => return Poll::Pending,
            (Poll::Pending, Some(timer)) => {
                let limit = std::task::ready!(timer.poll(cx));
                let error = Error::body_timeout(name, limit).at(attempt.clone());
                stream.times_out();
                return Poll::Ready((Some(Err(error)), true));
            }
        };
        if let Some(timer) = timer {
            timer.stop();
        }
        let ended = !matches!(&frame, Some(Ok(_))) || incoming.is_end_stream();
        let told = |error| Error::response_body(name, error).at(attempt.clone());
        Poll::Ready((frame.map(|frame| frame.map_err(told)), ended))
    }

    /// Nobody reads on.
    pub(crate) fn abandon(self) {
        self.stream.abandon(self.incoming);
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
