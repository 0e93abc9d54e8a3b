//! What hyper holds of a message when it has done with it, or with its connection: taken out of hyper's channel.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::report::{Attempt, Error};

pub(super) struct Arrived {
    pub(super) data: Option<Bytes>,
    pub(super) trailers: Option<Box<HeaderMap>>,
    pub(super) end: End,
}

/// What follows.
pub(super) enum End {
    /// Nothing: the message is whole.
    Reached,
    Failed(hyper::Error),
    /// More than hyper has parsed yet.
    ToCome,
}

impl End {
    pub(super) fn into_error(self) -> Option<hyper::Error> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Reached | Self::ToCome => None,
        }
    }
}

impl Arrived {
    // Inlined, because every small message comes this way.
    #[inline(always)]
    pub(super) fn of(incoming: &mut Incoming) -> Self {
        let (mut data, mut trailers) = (None, None);
        let mut cx = Context::from_waker(Waker::noop());
        let end = loop {
            if incoming.is_end_stream() {
                break End::Reached;
            }
            match Pin::new(&mut *incoming).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => data = Some(join(data, bytes)),
                    Err(frame) => trailers = frame.into_trailers().ok().map(Box::new),
                },
                Poll::Ready(Some(Err(error))) => break End::Failed(error),
                Poll::Ready(None) => break End::Reached,
                Poll::Pending => break End::ToCome,
            }
        };
        Self { data, trailers, end }
    }
}

/// hyper keeps one frame at most in its channel; should it ever keep more, none is lost.
#[inline]
fn join(before: Option<Bytes>, after: Bytes) -> Bytes {
    match before {
        None => after,
        Some(before) => [before.as_ref(), after.as_ref()].concat().into(),
    }
}

/// What there is of a message that its connection did not bring to its end.
pub(super) struct Disconnected {
    pub(super) data: Option<Bytes>,
    pub(super) incoming: Incoming,
    pub(super) address: Arc<str>,
    pub(super) attempt: Attempt,
    pub(super) error: Option<Error>,
}

impl Disconnected {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let next = Pin::new(&mut self.incoming).poll_frame(cx);
        next.map_err(|error| Error::response_body(&self.address, error).at(self.attempt.clone()))
    }

    /// What the message promised beyond what was taken out already.
    pub(super) fn size_hint(&self) -> SizeHint {
        let at_hand = self.data.as_ref().map_or(0, |data| data.len() as u64);
        let promised = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = promised.upper() {
            hint.set_upper(upper + at_hand);
        }
        hint.set_lower(promised.lower() + at_hand);
        hint
    }
}
