//! A connector over any other whose streams fail when they have accepted so many bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{AnyStream, boxed};

/// Opens the streams of another connector, which fail when told to.
#[derive(Debug)]
pub struct Failing<C> {
    inner: C,
    left: Arc<AtomicUsize>,
}

impl<C> Failing<C> {
    /// A connector over `inner`, and how many bytes all of its streams will still accept.
    pub fn new(inner: C) -> (Self, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        (Self { inner, left: Arc::clone(&left) }, left)
    }
}

#[async_trait]
impl<C: Connector> Connector for Failing<C> {
    type Address = C::Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let left = Arc::clone(&self.left);
        let connected = self.inner.connect(address, options).await?;
        Ok(boxed(connected.map_stream(|stream| FailingStream { stream, left })))
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }
}

/// A stream of [`Failing`].
#[derive(Debug)]
struct FailingStream<S> {
    stream: S,
    left: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for FailingStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FailingStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let most = bytes.len().min(left);
        let result = Pin::new(&mut self.stream).poll_write(cx, &bytes[..most]);
        if let Poll::Ready(Ok(written)) = result {
            self.left.fetch_sub(written, Ordering::SeqCst);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
