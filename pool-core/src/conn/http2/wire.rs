//! What goes over the wire of an HTTP/2 connection, read off the heads of its frames.
//!
//! h2 does not show which of its frames the stream has accepted, when the server was last heard, or what it sends beside
//! responses. The adapter around the stream looks at the nine bytes that begin each frame (RFC 9113 4.1), and at nothing
//! behind them.
//!
//! What must hold: only the poll that drives the connection writes these facts, so they need no read-modify-write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flood::Flood;
use super::frames::{Frames, Kind};
use crate::io::Turn;
use crate::report::Carried;

/// What has gone over the wire since the connection was opened.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    read: AtomicU64,
    written: AtomicU64,
    turn: Turn,
    messages: AtomicU64,
    /// The server has said SETTINGS.
    greeted: AtomicBool,
    /// The highest stream of which the stream below has accepted the head of a frame; h2 opens them in their order.
    opened: AtomicU32,
    /// Of the next head it has accepted some bytes.
    partial: AtomicBool,
    flushed: AtomicBool,
    /// The server has said, or shown, that it takes no further stream.
    ending: AtomicBool,
    flooded: AtomicBool,
    /// How the stream below has failed, if it has.
    failure: OnceLock<io::ErrorKind>,
}

impl Wire {
    /// The bytes read.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What the present poll of the connection has read.
    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// What the connection has carried; a client has the odd streams, and opens them in their order.
    pub(super) fn carried(&self) -> Carried {
        let requests = u64::from(self.opened().div_ceil(2));
        Carried { requests, written: self.written.load(Ordering::Relaxed), read: self.read() }
    }

    /// How many frames of responses were read.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// Whether the stream below has accepted anything of a request, as far as that is known: the beginning of a head may be
    /// of any.
    pub(crate) fn has_opened(&self, stream: u32) -> bool {
        self.opened() >= stream || self.partial.load(Ordering::Relaxed)
    }

    /// The last stream of which the stream below has accepted the head of a frame.
    pub(super) fn opened(&self) -> u32 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Whether a request has gone out, or may still: what the stream below does not take h2 keeps, and writes even when the
    /// connection ends.
    pub(crate) fn may_have_sent(&self, stream: u32) -> bool {
        self.has_opened(stream) || !self.is_flushed()
    }

    /// How many streams up to this one are still to be opened; a client has the odd numbers.
    pub(super) fn unopened_until(&self, stream: u32) -> usize {
        (stream.div_ceil(2) - self.opened().min(stream).div_ceil(2)) as usize
    }

    /// Whether the stream below has accepted all that h2 had to write.
    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// Whether the server speaks HTTP/2 at all.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Whether the server has sent a GOAWAY, or closed its side.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// How the stream below has failed, if it has; that it ended is no failure.
    pub(crate) fn failure(&self) -> Option<io::ErrorKind> {
        self.failure.get().copied()
    }

    fn failed(&self, error: &io::Error) {
        self.failure.get_or_init(|| error.kind());
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Whether the server was taken for an attacker.
    pub(super) fn is_flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    fn note_read(&self, frames: &mut Frames, flood: &mut Flood, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            self.ending.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.read.store(self.read() + bytes.len() as u64, Ordering::Relaxed);
        frames.scan(bytes, |head| match head.kind {
            Kind::Headers | Kind::Data => {
                self.messages.store(self.messages() + 1, Ordering::Relaxed);
                flood.read(head);
            }
            Kind::GoAway => self.ending.store(true, Ordering::Relaxed),
            Kind::Settings => {
                self.greeted.store(true, Ordering::Relaxed);
                flood.read(head);
            }
            Kind::Other => flood.read(head),
        });
        if flood.is_over() {
            self.flooded.store(true, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, FLOODED));
        }
        Ok(())
    }

    /// What h2 has to write stays where it is, and may go out later.
    fn unless_held_up<T>(&self, written: Poll<T>) -> Poll<T> {
        if written.is_pending() {
            self.flushed.store(false, Ordering::Relaxed);
        }
        written
    }

    fn note_written(&self, frames: &mut Frames, flood: &mut Flood, bytes: &[u8]) {
        self.flushed.store(false, Ordering::Relaxed);
        let written = self.written.load(Ordering::Relaxed) + bytes.len() as u64;
        self.written.store(written, Ordering::Relaxed);
        frames.scan(bytes, |head| {
            if head.kind == Kind::Headers && self.opened() < head.stream {
                self.opened.store(head.stream, Ordering::Relaxed);
            }
            flood.written(head);
        });
        self.partial.store(frames.is_within_head(), Ordering::Relaxed);
    }
}

const FLOODED: &str = "the server sends frames that serve no request, without end";

/// The adapter around the stream of a connection.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    wire: Arc<Wire>,
    incoming: Frames,
    outgoing: Frames,
    flood: Flood,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Arc<Wire>) {
        let wire = Arc::<Wire>::default();
        let (incoming, outgoing) = (Frames::default(), Frames::after_preface());
        let watched =
            Self { stream, wire: Arc::clone(&wire), incoming, outgoing, flood: Flood::default() };
        (watched, wire)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, wire, incoming, flood, .. } = self.get_mut();
        if wire.turn.is_over() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = ready!(Pin::new(stream).poll_read(cx, buffer));
        wire.turn.note_read(buffer.filled().len() - before);
        Poll::Ready(match result {
            Ok(()) => wire.note_read(incoming, flood, &buffer.filled()[before..]),
            Err(error) => {
                wire.failed(&error);
                Err(error)
            }
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, wire, outgoing, flood, .. } = self.get_mut();
        let result = Pin::new(stream).poll_write(cx, bytes);
        let result = ready!(wire.unless_held_up(result));
        let accepted = result.inspect_err(|error| wire.failed(error))?;
        wire.note_written(outgoing, flood, &bytes[..accepted]);
        Poll::Ready(Ok(accepted))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, wire, outgoing, flood, .. } = self.get_mut();
        let result = Pin::new(stream).poll_write_vectored(cx, buffers);
        let result = ready!(wire.unless_held_up(result));
        let accepted = result.inspect_err(|error| wire.failed(error))?;
        let mut left = accepted;
        for buffer in buffers {
            let bytes = &buffer[..left.min(buffer.len())];
            wire.note_written(outgoing, flood, bytes);
            left -= bytes.len();
        }
        Poll::Ready(Ok(accepted))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wire.flushed.store(matches!(result, Poll::Ready(Ok(()))), Ordering::Relaxed);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
