//! A stream of a service, as a tokio stream that can be made to ask the kernel.
//!
//! Whose bytes are those of the socket reads them from there, as our own TCP stream does. Where they are coded, as below
//! TLS, only the stream of the service can read them, and it believes its runtime. So the kernel is asked whether
//! something is there of which the stream does not know. Over HTTP/1 that ends a connection which has carried a request:
//! nobody asked for it, and most often it is the server's farewell. Before the first request it is more likely the tickets
//! of a TLS handshake, and over HTTP/2 it may be anything. So there nothing is written before the stream has read it:
//! requests that are held back so are not sent, should it turn out that the server has gone.

use std::fmt;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::rt;
use hyper_util::rt::TokioIo;
use pool_core::KernelCheck;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::LentSocket;

/// What lends the socket below a stream.
pub(super) type Lend<S> = Arc<dyn Fn(&S) -> Option<LentSocket<'_>> + Send + Sync>;

/// As much at a time as our own TCP stream reads past its runtime.
const READ: usize = 512;

/// What is coded goes out in records of TLS of so many bytes at most, RFC 8446 5.1.
///
/// A stream that takes several at once says nothing of those that went out before one has failed, so a request that a
/// server has read would pass for unsent. Nobody can read a part of one.
const RECORD: usize = 16 * 1024;

/// How what HTTP/2 writes first begins, and no request of HTTP/1 does, RFC 9113 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// A connection of a [`ServiceConnector`](crate::ServiceConnector), as a tokio stream.
pub struct ServiceStream<S> {
    stream: TokioIo<S>,
    lend: Lend<S>,
    check: KernelCheck,
    /// What it is given is coded before it goes out, as far as is known.
    is_coded: bool,
    /// Bytes may come at any time: it speaks HTTP/2.
    is_shared: bool,
    /// It has taken something of a request; what was held back is none.
    has_written: bool,
    /// The kernel has something that the stream has not come to read yet.
    is_behind: bool,
    /// Who wants to write meanwhile.
    writer: Option<Waker>,
}

/// What the kernel has.
enum Found {
    Nothing,
    End,
    Bytes,
}

impl<S> ServiceStream<S> {
    pub(super) fn new(stream: S, lend: Lend<S>, check: KernelCheck, is_shared: bool) -> Self {
        let is_coded = lend(&stream).is_none_or(|lent| lent.is_coded);
        Self {
            stream: TokioIo::new(stream),
            lend,
            is_coded,
            check,
            is_shared,
            has_written: false,
            is_behind: false,
            writer: None,
        }
    }

    /// The stream of the service.
    pub fn inner(&self) -> &S {
        self.stream.inner()
    }

    fn caught_up(&mut self) {
        self.is_behind = false;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    #[inline]
    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.has_written |= matches!(written, Poll::Ready(Ok(1..)));
        written
    }

    /// Whether something must be read before these bytes are written.
    #[inline]
    fn holds_back(&mut self, cx: &Context<'_>, bytes: &[u8]) -> bool {
        if !self.has_written {
            // HTTP/2 that was not negotiated but assumed.
            self.is_shared |= bytes.starts_with(PREFACE);
        }
        if self.is_behind {
            self.writer = Some(cx.waker().clone());
        }
        if self.check.is_open() && !self.is_shared && !self.is_behind {
            // What comes from here on may be the answer to it.
            self.check.settle();
        }
        self.is_behind
    }
}

fn look(lent: &LentSocket<'_>) -> io::Result<Found> {
    loop {
        return match lent.socket.peek(&mut [MaybeUninit::uninit()]) {
            Ok(0) => Ok(Found::End),
            Ok(_) => Ok(Found::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

/// Reads what the kernel has; pending if that is gone.
#[inline(never)] // so that its buffer is not on the stack of every read
fn read(lent: &LentSocket<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let mut bytes = [0; READ];
    let room = buffer.remaining().min(READ);
    loop {
        return match (&*lent.socket).read(&mut bytes[..room]) {
            Ok(read) => {
                buffer.put_slice(&bytes[..read]);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Poll::Ready(Err(error)),
        };
    }
}

impl<S: rt::Read + rt::Write + Unpin> ServiceStream<S> {
    /// Reads while the question is open; pending when the kernel has nothing, which settles it.
    #[cold]
    fn ask_kernel(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let lend = Arc::clone(&self.lend);
        let Some(lent) = lend(self.stream.inner()) else {
            self.check.settle();
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        };
        if !lent.is_coded {
            let found = match look(&lent) {
                Ok(Found::Nothing) => Poll::Pending,
                Ok(Found::End) => return Poll::Ready(Ok(())),
                Ok(Found::Bytes) => read(&lent, buffer),
                Err(error) => Poll::Ready(Err(error)),
            };
            if found.is_ready() {
                return found;
            }
            self.check.settle();
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() || buffer.filled().len() > before {
            self.caught_up();
            return read;
        }
        // After the read: it may have taken what was there, and found nothing in it for us.
        let found = lend(self.stream.inner()).map_or(Ok(Found::Nothing), |lent| look(&lent));
        match found {
            Ok(Found::Nothing) => {
                self.check.settle();
                self.caught_up();
                Poll::Pending
            }
            // The runtime is about to hear of it.
            Ok(Found::Bytes) if self.is_shared || !self.has_written => {
                self.is_behind = true;
                Poll::Pending
            }
            Ok(Found::Bytes | Found::End) => {
                self.caught_up();
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.caught_up();
                Poll::Ready(Err(error))
            }
        }
    }
}

// Inlined, because each only forwards a call into another crate, several times for every request.
impl<S: rt::Read + rt::Write + Unpin> AsyncRead for ServiceStream<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.check.is_open() {
            return self.ask_kernel(cx, buffer);
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: rt::Read + rt::Write + Unpin> AsyncWrite for ServiceStream<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.holds_back(cx, bytes) {
            return Poll::Pending;
        }
        let most = if self.is_coded { RECORD } else { usize::MAX };
        let written = Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(most)]);
        self.note(written)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.holds_back(cx, buffers.first().map_or(&[], |buffer| buffer)) {
            return Poll::Pending;
        }
        if !self.is_coded {
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
            return self.note(written);
        }
        let mut room = RECORD;
        let fits = |buffer: &&io::IoSlice<'_>| match room.checked_sub(buffer.len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        let written = match buffers.iter().take_while(fits).count() {
            0 => {
                let first = buffers.first().map_or(&[][..], |buffer| buffer);
                let most = first.len().min(RECORD);
                Pin::new(&mut self.stream).poll_write(cx, &first[..most])
            }
            whole => Pin::new(&mut self.stream).poll_write_vectored(cx, &buffers[..whole]),
        };
        self.note(written)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for ServiceStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}
