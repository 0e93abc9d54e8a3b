//! A connector over any other whose streams can be interrupted at their next read.
//!
//! What a test wants to happen in the middle of something else, and in no other moment, it does from there.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{AnyStream, boxed};

/// Opens the streams of another connector, which can be interrupted.
#[derive(Debug)]
pub struct Interrupted<C> {
    inner: C,
    next_read: NextRead,
}

impl<C> Interrupted<C> {
    /// A connector over `inner`, and the next read of any of its streams.
    pub fn new(inner: C) -> (Self, NextRead) {
        let next_read = NextRead::default();
        (Self { inner, next_read: next_read.clone() }, next_read)
    }
}

/// The next read of a stream.
#[derive(Clone, Debug, Default)]
pub struct NextRead(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    interruption: Option<Box<dyn FnOnce() + Send>>,
    waker: Option<Waker>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("interrupted", &self.interruption.is_some()).finish()
    }
}

impl NextRead {
    /// Does this in the middle of the next read, before it reads.
    pub fn interrupt(&self, interruption: impl FnOnce() + Send + 'static) {
        self.state().interruption = Some(Box::new(interruption));
    }

    /// Wakes the task that read last, as if something had come.
    ///
    /// # Panics
    ///
    /// When no task has read.
    pub fn stir(&self) {
        let waker = self.state().waker.take();
        waker.expect("a task that reads").wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<C: Connector> Connector for Interrupted<C> {
    type Address = C::Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let next_read = self.next_read.clone();
        let connected = self.inner.connect(address, options).await?;
        Ok(boxed(connected.map_stream(|stream| InterruptedStream { stream, next_read })))
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }
}

/// A stream of [`Interrupted`].
#[derive(Debug)]
struct InterruptedStream<S> {
    stream: S,
    next_read: NextRead,
}

impl<S: AsyncRead + Unpin> AsyncRead for InterruptedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let interruption = {
            let mut state = self.next_read.state();
            state.waker = Some(cx.waker().clone());
            state.interruption.take()
        };
        if let Some(interruption) = interruption {
            interruption();
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InterruptedStream<S> {
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
}
