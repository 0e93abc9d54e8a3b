//! The adapter around every stream: counts what goes through it, and notes what came unasked.
//!
//! hyper does not tell an idle connection that was closed from one on which bytes arrived unasked; the adapter does: a
//! byte that arrives after a message has ended, and before the stream has accepted a byte of the next request, belongs
//! to no request. Only the poll that drives the connection writes these counters, so they need no read-modify-write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::turn::Turn;

/// What has gone through a stream since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    written: AtomicU64,
    read: AtomicU64,
    last_read: AtomicU64,
    turn: Turn,
    flushed: AtomicBool,
    body_ended: AtomicBool,
    asked: AtomicBool,
    unsolicited: AtomicU8,
}

/// What arrived on a connection while it was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsolicited {
    Nothing,
    /// The server says that it closes because no request came: a clean close, as Go has it.
    RequestTimeout,
    Bytes,
}

const NOTHING: u8 = 0;
const REQUEST_TIMEOUT: u8 = 1;
const BYTES: u8 = 2;

impl Traffic {
    /// Bytes that the stream has accepted.
    #[inline]
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes that the stream has delivered.
    #[inline]
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes that the stream had delivered before its last read.
    pub(crate) fn read_before_last(&self) -> u64 {
        self.read() - self.last_read.load(Ordering::Relaxed)
    }

    /// What the present poll of the connection has read.
    #[inline]
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// A request is about to go out; its body has ended already, or [`end_body`](Self::end_body) follows.
    #[inline]
    pub(crate) fn begin_request(&self, body_ended: bool) {
        self.flushed.store(false, Ordering::Relaxed);
        self.body_ended.store(body_ended, Ordering::Relaxed);
    }

    /// A frame of the request body has been handed to hyper.
    pub(crate) fn note_frame(&self) {
        // What was flushed before is not all of it.
        self.flushed.store(false, Ordering::Relaxed);
    }

    /// The last frame of the request body has been handed to hyper.
    pub(crate) fn end_body(&self) {
        // The end is written too, if only that of the chunks.
        self.flushed.store(false, Ordering::Relaxed);
        self.body_ended.store(true, Ordering::Relaxed);
    }

    /// Whether the stream has accepted all that hyper had to write.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// Whether the stream has accepted the whole request: hyper flushes a stream only when it has nothing
    /// left to write.
    pub(crate) fn is_all_written(&self) -> bool {
        self.body_ended.load(Ordering::Relaxed) && self.flushed.load(Ordering::Relaxed)
    }

    /// From here on no byte is expected, until the stream has accepted one of the next request.
    #[inline]
    pub(crate) fn expect_nothing(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// What has arrived since [`expect_nothing`](Self::expect_nothing) without being asked for.
    #[inline]
    pub(crate) fn unsolicited(&self) -> Unsolicited {
        match self.unsolicited.load(Ordering::Relaxed) {
            NOTHING => Unsolicited::Nothing,
            REQUEST_TIMEOUT => Unsolicited::RequestTimeout,
            _ => Unsolicited::Bytes,
        }
    }

    #[inline]
    fn note_read(&self, bytes: &[u8]) {
        count(&self.read, bytes.len());
        self.last_read.store(bytes.len() as u64, Ordering::Relaxed);
        self.turn.note_read(bytes.len());
        if !bytes.is_empty() && !self.asked.load(Ordering::Relaxed) {
            let timeout = bytes.starts_with(b"HTTP/1.1 408") || bytes.starts_with(b"HTTP/1.0 408");
            let what = if timeout { REQUEST_TIMEOUT } else { BYTES };
            self.unsolicited.store(what, Ordering::Relaxed);
        }
    }

    #[inline]
    fn note_written(&self, bytes: usize) {
        count(&self.written, bytes);
        self.asked.store(true, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
    }
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
}

#[derive(Debug)]
pub(crate) struct Counted<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<Traffic>) {
        let traffic = Arc::<Traffic>::default();
        (Self { stream, traffic: Arc::clone(&traffic) }, traffic)
    }

    #[inline]
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn accepted(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.traffic.note_written(bytes);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_ready() {
            self.traffic.note_read(&buffer.filled()[before..]);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.accepted(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.accepted(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.traffic.flushed.store(matches!(result, Poll::Ready(Ok(()))), Ordering::Relaxed);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
