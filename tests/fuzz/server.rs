//! A server that sends what it is told, as soon as it has been asked: it runs within the reads and writes of its client.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::changes::{End, Pace};

/// What is sent at one time.
#[derive(Clone, Debug)]
pub(super) struct Burst {
    pub(super) bytes: Vec<u8>,
    pub(super) pace: Pace,
    pub(super) end: End,
}

/// Says what a server sends.
pub(super) trait Script: Send + 'static {
    /// What comes first, on a new connection.
    fn greeting(&mut self, connection: usize) -> Option<Burst>;

    /// What comes when these bytes were received; those that are no whole request yet come again.
    fn answer(&mut self, connection: usize, received: &mut Vec<u8>) -> Option<Burst>;
}

/// Opens connections to such a server.
pub(super) struct Server<S>(Arc<Shared<S>>);

struct Shared<S> {
    script: Mutex<S>,
    opened: AtomicUsize,
    open: AtomicUsize,
    read: AtomicUsize,
}

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Script> Server<S> {
    pub(super) fn new(script: S) -> Self {
        Self(Arc::new(Shared {
            script: Mutex::new(script),
            opened: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
        }))
    }

    pub(super) fn script<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.0.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn opened(&self) -> usize {
        self.0.opened.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// How many bytes were read since this was asked last.
    pub(super) fn take_read(&self) -> usize {
        self.0.read.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl<S: Script> Connector for Server<S> {
    type Address = &'static str;
    type Stream = Stream<S>;

    async fn connect(
        &self,
        _: &&'static str,
        _: &ConnectOptions,
    ) -> io::Result<Connected<Stream<S>>> {
        let number = self.0.opened.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let mut stream = Stream {
            server: self.clone(),
            number,
            received: Vec::new(),
            sending: VecDeque::new(),
            halted: false,
            end: End::Open,
            reader: None,
        };
        let greeting = self.script(|script| script.greeting(number));
        stream.send(greeting);
        Ok(Connected::new(stream))
    }

    fn target(&self, name: &&'static str) -> Target {
        Target::http(name.parse().expect("a valid authority"))
    }
}

/// The client's end of a connection.
pub(super) struct Stream<S: Script> {
    server: Server<S>,
    number: usize,
    received: Vec<u8>,
    sending: VecDeque<(Pace, VecDeque<u8>)>,
    halted: bool,
    end: End,
    reader: Option<Waker>,
}

impl<S: Script> Stream<S> {
    fn send(&mut self, burst: Option<Burst>) {
        let Some(Burst { bytes, pace, end }) = burst else { return };
        if self.end != End::Open {
            return;
        }
        self.sending.push_back((pace, bytes.into()));
        self.end = end;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl<S: Script> Drop for Stream<S> {
    fn drop(&mut self) {
        self.server.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Script> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sending.front().is_some_and(|(_, bytes)| bytes.is_empty()) {
            self.sending.pop_front();
        }
        let halted = std::mem::take(&mut self.halted);
        let Some((pace, bytes)) = self.sending.front_mut() else {
            return match self.end {
                End::Closed => Poll::Ready(Ok(())),
                End::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                End::Open => {
                    self.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        };
        let most = match *pace {
            Pace::Whole => usize::MAX,
            Pace::Pieces(length) => usize::from(length).max(1),
            Pace::Halting(length) if halted => usize::from(length).max(1),
            Pace::Halting(_) => {
                self.halted = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        };
        let length = most.min(bytes.len()).min(buffer.remaining());
        let part: Vec<u8> = bytes.drain(..length).collect();
        buffer.put_slice(&part);
        self.server.0.read.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: Script> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.end != End::Open && self.sending.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut received = std::mem::take(&mut self.received);
        received.extend_from_slice(bytes);
        let (server, number) = (self.server.clone(), self.number);
        let answer = server.script(|script| script.answer(number, &mut received));
        self.received = received;
        self.send(answer);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
