//! The stream of a connection as hyper sees it: not read again while it is armed, that is, while it holds the
//! connection's waker.
//!
//! hyper reads two or three times in each poll, to find out whether there is more; one read is enough to be woken when
//! more comes. The waker itself tells whether the stream is armed (`io/waker.rs`). Nor is it read when a poll has read
//! enough (`io/turn.rs`): the connection is woken then, so the stream does not count as armed.
//!
//! What must hold: a stream that is polled with any other waker, as an upgraded stream is, is always read. No poll of a
//! connection begins a turn there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake as _, Waker};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::io::{ConnectionWaker, Counted};

pub(super) struct ArmedIo<S> {
    stream: TokioIo<Counted<S>>,
    connection: Arc<ConnectionWaker>,
    /// The same, as streams know it.
    waker: Waker,
}

impl<S> ArmedIo<S> {
    pub(super) fn new(
        stream: Counted<S>,
        connection: &Arc<ConnectionWaker>,
        waker: &Waker,
    ) -> Self {
        let (connection, waker) = (Arc::clone(connection), waker.clone());
        Self { stream: TokioIo::new(stream), connection, waker }
    }

    pub(super) fn into_inner(self) -> Counted<S> {
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + Unpin> Read for ArmedIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, connection, waker } = self.get_mut();
        if !waker.will_wake(cx.waker()) {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        connection.read(|| {
            if stream.inner().traffic().turn().is_over() {
                connection.wake_by_ref();
                return Poll::Pending;
            }
            Pin::new(stream).poll_read(cx, buffer)
        })
    }
}

impl<S: AsyncWrite + Unpin> Write for ArmedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }
}
