//! A stream that has become a tunnel, RFC 9113 8.5: bytes both ways, for as long as both sides like.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) struct Tunnel {
    outgoing: SendStream<Bytes>,
    incoming: RecvStream,
    /// What has come and was not read.
    unread: Bytes,
}

impl Tunnel {
    pub(super) fn new(outgoing: SendStream<Bytes>, incoming: RecvStream) -> Self {
        Self { outgoing, incoming, unread: Bytes::new() }
    }

    /// Says that nothing more is written, and reads what comes to its end.
    pub(crate) async fn end(mut self) {
        // It may have said so before, or the stream may have ended.
        self.outgoing.send_data(Bytes::new(), true).ok();
        while let Some(Ok(data)) = self.incoming.data().await {
            self.incoming.flow_control().release_capacity(data.len()).ok();
        }
    }

    /// Why the stream takes nothing any more.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.outgoing.poll_reset(cx).map(|reset| match reset {
            Ok(reason) => reset_for(reason),
            Err(error) => failed(error),
        })
    }
}

fn reset_for(reason: h2::Reason) -> io::Error {
    let why = format!("the server has reset the tunnel: {reason}");
    io::Error::new(io::ErrorKind::ConnectionReset, why)
}

fn failed(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(reason) if error.is_reset() => reset_for(reason),
        _ if error.is_io() => error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        _ => io::Error::new(io::ErrorKind::ConnectionAborted, error),
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() {
            match ready!(this.incoming.poll_data(cx)) {
                Some(Ok(data)) => this.unread = data,
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.unread[..length]);
        this.unread.advance(length);
        // The window grows as the caller reads. A stream that has ended has none.
        this.incoming.flow_control().release_capacity(length).ok();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.outgoing.reserve_capacity(bytes.len());
        let mut capacity = this.outgoing.capacity();
        if capacity == 0 {
            capacity = match this.outgoing.poll_capacity(cx) {
                Poll::Ready(Some(Ok(capacity))) => capacity,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(failed(error))),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(match this.poll_closed(cx) {
                        Poll::Ready(error) => error,
                        Poll::Pending => io::ErrorKind::BrokenPipe.into(),
                    }));
                }
                Poll::Pending => return Poll::Pending,
            };
        }
        let length = capacity.min(bytes.len());
        let piece = Bytes::copy_from_slice(&bytes[..length]);
        Poll::Ready(this.outgoing.send_data(piece, false).map(|()| length).map_err(failed))
    }

    /// The task of the connection writes what it was given.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Err(error) = self.outgoing.send_data(Bytes::new(), true) else {
            return Poll::Ready(Ok(()));
        };
        match self.poll_closed(cx) {
            // It was shut down before.
            Poll::Pending => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(failed(error))),
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}
