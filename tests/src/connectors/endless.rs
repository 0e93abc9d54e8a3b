//! A server that always has more to read: a beginning, and then the same over and over.
//!
//! It has no task, so it never makes its reader wait, as a peer in a fast network may. It ends after far more than any
//! reader should take, so that a test of one who takes it all ends too.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects to it, in memory.
#[derive(Clone, Debug)]
pub struct Endless {
    beginning: Bytes,
    then: Bytes,
}

impl Endless {
    /// How much it sends at most.
    pub const ALL: usize = 32 * 1024 * 1024;

    /// It sends `beginning` as soon as anything was written, and then repeats what follows.
    pub fn new(beginning: impl AsRef<[u8]>, then: impl AsRef<[u8]>) -> Self {
        let copy = Bytes::copy_from_slice;
        Self { beginning: copy(beginning.as_ref()), then: copy(then.as_ref()) }
    }
}

#[async_trait]
impl Connector for Endless {
    type Address = &'static str;
    type Stream = EndlessStream;

    async fn connect(
        &self,
        _: &&'static str,
        _: &ConnectOptions,
    ) -> io::Result<Connected<EndlessStream>> {
        let Self { beginning, then } = self.clone();
        let stream =
            EndlessStream { next: beginning, then, left: Self::ALL, asked: false, reader: None };
        Ok(Connected::new(stream))
    }

    fn target(&self, address: &&'static str) -> Target {
        Target::http(address.parse().expect("a valid authority"))
    }
}

/// What [`Endless`] opens.
#[derive(Debug)]
pub struct EndlessStream {
    next: Bytes,
    then: Bytes,
    left: usize,
    asked: bool,
    reader: Option<Waker>,
}

impl AsyncRead for EndlessStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while self.left > 0 && buffer.remaining() > 0 {
            if self.next.is_empty() {
                self.next = self.then.clone();
            }
            let most = buffer.remaining().min(self.left).min(self.next.len());
            buffer.put_slice(&self.next.split_to(most));
            self.left -= most;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for EndlessStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
