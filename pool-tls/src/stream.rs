//! The stream of a verified connection.
//!
//! A type of our own, so that tokio-rustls and its version stay out of the public interface. Each call is passed on to
//! what it wraps, so a question to the kernel reaches the socket below. What it adds is the `close_notify` when it is
//! dropped, which tokio-rustls leaves to callers that can wait for it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;
use tokio_rustls::client;

use crate::wire::Wire;

/// A stream over which a server has proved its name; made by [`TlsConnector`](crate::TlsConnector).
///
/// Dropping it sends `close_notify` to the server, if that can be done without waiting.
pub struct TlsStream<S: AsyncRead + AsyncWrite + Unpin> {
    tls: client::TlsStream<Wire<S>>,
    /// Why a write has failed of which something had gone out. The session holds all of it, so no further write
    /// may follow.
    failed: Option<io::ErrorKind>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(crate) fn new(stream: client::TlsStream<Wire<S>>) -> Self {
        Self { tls: stream, failed: None }
    }

    fn written(&self) -> u64 {
        let (wire, _) = self.tls.get_ref();
        wire.written()
    }

    /// A write that fails after something of it went out counts as accepted, and the next write fails. So a caller that
    /// counts what was accepted never takes such a request for unsent.
    fn poll_write_with(
        &mut self,
        write: impl FnOnce(Pin<&mut client::TlsStream<Wire<S>>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.not_failed()?;
        let before = self.written();
        match write(Pin::new(&mut self.tls)) {
            Poll::Ready(Err(error)) if self.written() > before => {
                self.failed = Some(error.kind());
                Poll::Ready(Ok(1))
            }
            result => result,
        }
    }

    fn not_failed(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for TlsStream<S> {
    /// A client that closes must say so before, RFC 9112 9.8, and need not wait for an answer. A pool closes
    /// connections where nothing can be awaited, so it tries once: an idle socket nearly always takes the few bytes,
    /// and where it does not, the server sees an end without `close_notify`.
    fn drop(&mut self) {
        let (_, session) = self.tls.get_ref();
        if session.wants_write() || self.failed.is_some() {
            // What is left of a request that was given up must not go out after all.
            return;
        }
        let farewell = poll_fn(|cx| Pin::new(&mut self.tls).poll_shutdown(cx));
        // Outside the budget of the task that drops it, if any, which may be spent.
        let farewell = pin!(unconstrained(farewell));
        let _ = farewell.poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, session) = self.tls.get_ref();
        f.debug_struct("TlsStream")
            .field("version", &session.protocol_version())
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (wire, _) = self.tls.get_mut();
        wire.begin_read();
        Pin::new(&mut self.tls).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(|tls| tls.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.not_failed()?;
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(|tls| tls.poll_write_vectored(cx, buffers))
    }
}
