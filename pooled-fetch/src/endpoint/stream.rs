//! A stream to a server of any kind.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pool_tcp::TcpStream;
use pool_tls::TlsStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What an [`EndpointConnector`](crate::EndpointConnector) opens.
#[derive(Debug)]
pub struct EndpointStream(Kind);

#[cfg(unix)]
type UnixStream = <pool_tcp::UnixConnector as pool_core::Connector>::Stream;

#[derive(Debug)]
enum Kind {
    Http(TcpStream),
    // Boxed, because it is far larger than the others.
    Https(Box<TlsStream<TcpStream>>),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl EndpointStream {
    pub(super) fn http(stream: TcpStream) -> Self {
        Self(Kind::Http(stream))
    }

    pub(super) fn https(stream: TlsStream<TcpStream>) -> Self {
        Self(Kind::Https(Box::new(stream)))
    }

    #[cfg(unix)]
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self(Kind::Unix(stream))
    }
}

/// Calls a method of the stream within, whatever its kind.
macro_rules! within {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.0 {
            Kind::Http($stream) => $call,
            Kind::Https($stream) => $call,
            #[cfg(unix)]
            Kind::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for EndpointStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        within!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for EndpointStream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        within!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        within!(self, stream => Pin::new(stream).poll_write_vectored(cx, buffers))
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Http(stream) => stream.is_write_vectored(),
            Kind::Https(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Kind::Unix(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        within!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        within!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
