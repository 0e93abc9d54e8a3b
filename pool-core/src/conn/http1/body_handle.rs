//! What hyper sees of a request body over HTTP/1: a handle as small as a pointer, and nothing where there is no body.
//!
//! hyper moves a request about a dozen times. With the body within, each move would be of more than 256 bytes, for
//! which the machine has no short way.
//!
//! What must hold: a body that has panicked has not ended, because hyper may poll on after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::io::Traffic;
use crate::request::{BoxError, RequestBody};

#[derive(Debug)]
pub(crate) struct BodyHandle(Option<Box<Held>>);

#[derive(Debug)]
struct Held {
    body: RequestBody,
    /// Of the connection, which is told when the body has been handed to hyper.
    traffic: Arc<Traffic>,
}

impl BodyHandle {
    pub(super) fn new(body: RequestBody, traffic: &Arc<Traffic>) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        traffic.begin_request(false);
        Self(Some(Box::new(Held { body, traffic: Arc::clone(traffic) })))
    }

    /// The body itself, as far as it was not read.
    pub(crate) fn into_body(self) -> RequestBody {
        self.0.map_or(RequestBody::EMPTY, |held| held.body)
    }
}

impl Body for BodyHandle {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(Held { body, traffic }) = self.get_mut().0.as_deref_mut() else {
            return Poll::Ready(None);
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *body).poll_frame(cx))) {
            Ok(frame) => {
                if body.is_end_stream() {
                    traffic.end_body();
                }
                frame
            }
            Err(panic) => {
                *body = RequestBody::panicked();
                resume_unwind(panic)
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|held| held.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |held| held.body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::io::Counted;

    fn content(text: &'static str) -> RequestBody {
        RequestBody::new(Full::new(Bytes::from_static(text.as_bytes())))
    }

    fn handle(body: RequestBody) -> BodyHandle {
        BodyHandle::new(body, &Arc::default())
    }

    #[test]
    fn a_handle_is_small() {
        assert_eq!(size_of::<BodyHandle>(), size_of::<usize>());
    }

    #[tokio::test]
    async fn the_body_is_read_through_its_handle() {
        let handle = handle(content("word"));
        assert_eq!((handle.size_hint().exact(), handle.is_end_stream()), (Some(4), false));
        assert_eq!(handle.collect().await.unwrap().to_bytes(), "word");
    }

    #[tokio::test]
    async fn what_hyper_was_given_is_not_written_before_it_is_flushed() {
        let trailers = || async { Some(Ok(http::HeaderMap::new())) };
        let streaming = Full::new(Bytes::from_static(b"word")).with_trailers(trailers());
        for mut body in [content("word"), RequestBody::new(streaming)] {
            let (mut stream, traffic) = Counted::new(tokio::io::sink());
            body.begin(&traffic);
            let mut handle = BodyHandle::new(body, &traffic);
            stream.flush().await.unwrap();
            assert!(!traffic.is_all_written(), "the body is still to come");
            // As hyper does, which asks for nothing more after trailers.
            while let Some(Ok(frame)) = handle.frame().await
                && frame.is_data()
            {}
            assert!(!traffic.is_flushed(), "the body is still to be flushed");
            stream.flush().await.unwrap();
            assert!(traffic.is_all_written());
        }
    }

    #[test]
    fn a_body_that_was_not_read_comes_back_whole() {
        assert_eq!(handle(content("word")).into_body().exact_len(), Some(4));
        assert_eq!(handle(RequestBody::EMPTY).into_body().exact_len(), Some(0));
    }
}
