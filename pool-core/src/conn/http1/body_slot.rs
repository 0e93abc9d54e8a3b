//! What hyper sees of a request body over HTTP/1: a handle, while the body lies in a slot of its connection.
//!
//! hyper moves a request about a dozen times. With the body within, each move would be of more than 256 bytes, for
//! which the machine has no short way.
//!
//! What must hold: a body lives as long as its handle, and a slot has one handle at most. The slot is not locked
//! while the body, which is the caller's, is polled; and one that panics has not ended.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::io::Traffic;
use crate::request::{BoxError, RequestBody};
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub(super) struct BodySlot(Arc<Shelf>);

#[derive(Debug)]
struct Shelf {
    body: Mutex<RequestBody>,
    traffic: Arc<Traffic>,
}

/// None where there is no content at all.
#[derive(Debug)]
pub(crate) struct BodyHandle(Option<Arc<Shelf>>);

impl BodySlot {
    /// The slot of the connection of `traffic`, which is facts when the body has been handed to hyper.
    pub(super) fn new(traffic: Arc<Traffic>) -> Self {
        Self(Shelf::new(RequestBody::EMPTY, traffic))
    }

    /// Takes the body in.
    pub(super) fn hold(&mut self, body: RequestBody) -> BodyHandle {
        if body.is_end_stream() {
            return BodyHandle(None);
        }
        self.0.traffic.begin_request(false);
        match Arc::get_mut(&mut self.0) {
            Some(slot) => *slot.body.get_mut() = body,
            // The handle of the last body is still in use.
            None => self.0 = Shelf::new(body, Arc::clone(&self.0.traffic)),
        }
        BodyHandle(Some(Arc::clone(&self.0)))
    }
}

impl Shelf {
    fn new(body: RequestBody, traffic: Arc<Traffic>) -> Arc<Self> {
        Arc::new(Self { body: Mutex::new(body), traffic })
    }

    fn body(&self) -> MutexGuard<'_, RequestBody> {
        self.body.lock()
    }

    fn take(&self) -> RequestBody {
        std::mem::replace(&mut *self.body(), RequestBody::EMPTY)
    }
}

impl BodyHandle {
    /// The body itself, as far as it was not read.
    pub(crate) fn into_body(mut self) -> RequestBody {
        self.0.take().map_or(RequestBody::EMPTY, |slot| slot.take())
    }
}

impl Drop for BodyHandle {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            drop(slot.take());
        }
    }
}

impl Body for BodyHandle {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(slot) = &self.0 else { return Poll::Ready(None) };
        let mut body = slot.take();
        // hyper may poll on after a panic, and an empty slot would tell it that the body has ended.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut body).poll_frame(cx))) {
            Ok(frame) => {
                if body.is_end_stream() {
                    slot.traffic.end_body();
                }
                *slot.body() = body;
                frame
            }
            Err(panic) => {
                *slot.body() = RequestBody::panicked();
                resume_unwind(panic)
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|slot| slot.body().is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(slot) => slot.body().size_hint(),
            None => SizeHint::with_exact(0),
        }
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

    #[test]
    fn a_handle_is_small() {
        assert_eq!(size_of::<BodyHandle>(), size_of::<usize>());
    }

    #[tokio::test]
    async fn the_body_is_read_through_its_handle() {
        let handle = BodySlot::new(Arc::default()).hold(content("word"));
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
            let mut handle = BodySlot::new(Arc::clone(&traffic)).hold(body);
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
        let mut slot = BodySlot::new(Arc::default());
        assert_eq!(slot.hold(content("word")).into_body().exact_len(), Some(4));
        assert_eq!(slot.hold(RequestBody::EMPTY).into_body().exact_len(), Some(0));
    }

    #[test]
    fn a_body_is_dropped_with_its_handle_and_the_slot_serves_again() {
        let witness = Arc::new(());
        struct Counted(#[expect(dead_code, reason = "it is counted")] Arc<()>);
        impl AsRef<[u8]> for Counted {
            fn as_ref(&self) -> &[u8] {
                b"word"
            }
        }
        let mut slot = BodySlot::new(Arc::default());
        let place = Arc::as_ptr(&slot.0);
        for _ in 0..2 {
            let bytes = Bytes::from_owner(Counted(Arc::clone(&witness)));
            let handle = slot.hold(RequestBody::new(Full::new(bytes)));
            assert_eq!(Arc::strong_count(&witness), 2);
            drop(handle);
            assert_eq!((Arc::strong_count(&witness), Arc::as_ptr(&slot.0)), (1, place));
        }
    }

    #[test]
    fn a_handle_that_is_left_keeps_its_own_body() {
        let mut slot = BodySlot::new(Arc::default());
        let first = slot.hold(content("first"));
        let second = slot.hold(content("second one"));
        assert_eq!(first.into_body().exact_len(), Some(5));
        assert_eq!(second.into_body().exact_len(), Some(10));
    }
}
