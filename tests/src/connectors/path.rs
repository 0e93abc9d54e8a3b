//! A connector over any other whose path can lose the connections that are open.
//!
//! A path that has forgotten a connection says nothing: it swallows what is written, and no end and no error comes. Later the
//! kernel gives the connection up, and then a read fails.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{AnyStream, boxed};

/// Opens the streams of another connector over a path that can lose them.
#[derive(Debug)]
pub struct OverPath<C> {
    inner: C,
    path: Path,
}

impl<C> OverPath<C> {
    /// A connector over `inner`, and the path of its streams.
    pub fn new(inner: C) -> (Self, Path) {
        let path = Path::default();
        (Self { inner, path: path.clone() }, path)
    }
}

/// The path of streams, which are numbered from 1 in the order in which they were opened.
#[derive(Clone, Debug, Default)]
pub struct Path(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    opened: usize,
    open: usize,
    most_open: usize,
    /// Bytes that were read from all streams.
    read: usize,
    /// What was opened up to then is forgotten.
    forgotten: usize,
    /// How the kernel gives up a connection that is forgotten and written to.
    gives_up: Option<io::ErrorKind>,
    failed: HashMap<usize, io::ErrorKind>,
    readers: HashMap<usize, Waker>,
}

impl Path {
    /// How many streams were opened.
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// How many streams were open at once, at most.
    pub fn most_open(&self) -> usize {
        self.state().most_open
    }

    /// Bytes that were read from all streams so far.
    pub fn read(&self) -> usize {
        self.state().read
    }

    /// Forgets all streams that are open.
    pub fn forget(&self) {
        let mut state = self.state();
        state.forgotten = state.opened;
    }

    /// Forgets all streams that are open; the kernel gives each of them up as soon as it is written to.
    pub fn forget_and_fail(&self, kind: io::ErrorKind) {
        self.forget();
        self.state().gives_up = Some(kind);
    }

    /// Fails one stream, and tells the task that reads it.
    pub fn fail(&self, number: usize, kind: io::ErrorKind) {
        let reader = {
            let mut state = self.state();
            state.failed.insert(number, kind);
            state.readers.remove(&number)
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<C: Connector> Connector for OverPath<C> {
    type Address = C::Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let connected = self.inner.connect(address, options).await?;
        let mut state = self.path.state();
        state.opened += 1;
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        let (path, number) = (self.path.clone(), state.opened);
        Ok(boxed(connected.map_stream(|stream| PathStream { stream, path, number })))
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }
}

/// A stream of [`OverPath`].
#[derive(Debug)]
struct PathStream<S> {
    stream: S,
    path: Path,
    number: usize,
}

impl<S> Drop for PathStream<S> {
    fn drop(&mut self) {
        self.path.state().open -= 1;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PathStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        {
            let mut state = self.path.state();
            if let Some(kind) = state.failed.get(&self.number) {
                return Poll::Ready(Err((*kind).into()));
            }
            state.readers.insert(self.number, cx.waker().clone());
            if self.number <= state.forgotten {
                return Poll::Pending;
            }
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.path.state().read += buffer.filled().len() - before;
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PathStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (forgotten, gives_up) = {
            let state = self.path.state();
            (self.number <= state.forgotten, state.gives_up)
        };
        if !forgotten {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if let Some(kind) = gives_up {
            self.path.fail(self.number, kind);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
