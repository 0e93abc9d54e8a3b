//! A connector over any other that counts what the pool opens, and can hold it up.
//!
//! Tests run side by side in one process, so its open sockets say nothing about one of them. The probe
//! counts the streams of one pool, from connect to drop.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use pool_core::{ConnectOptions, Connected, Connector, Fault, Resolving, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fate::{Fate, Fates};
use super::{AnyStream, boxed};

/// Opens the streams of another connector under watch.
#[derive(Debug)]
pub struct Probe<C> {
    inner: C,
    watch: Watch,
}

impl<C> Probe<C> {
    /// A probe over `inner`, its gate open.
    pub fn new(inner: C) -> (Self, Watch) {
        let watch = Watch(Arc::new(State {
            opened: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            gathered: AtomicU64::new(0),
            open: watch::Sender::new(0),
            waiting: watch::Sender::new(0),
            held: watch::Sender::new(0),
            peak: AtomicUsize::new(0),
            gate: watch::Sender::new(true),
            failure: Mutex::new(None),
            fates: Fates::default(),
        }));
        (Self { inner, watch: watch.clone() }, watch)
    }
}

/// What a [`Probe`] sees, and its gate.
#[derive(Clone, Debug)]
pub struct Watch(Arc<State>);

#[derive(Debug)]
struct State {
    opened: AtomicU64,
    written: AtomicU64,
    read: AtomicU64,
    reads: AtomicU64,
    gathered: AtomicU64,
    open: watch::Sender<usize>,
    waiting: watch::Sender<usize>,
    held: watch::Sender<usize>,
    peak: AtomicUsize,
    gate: watch::Sender<bool>,
    failure: Mutex<Option<io::ErrorKind>>,
    fates: Fates,
}

impl Watch {
    /// Streams opened so far.
    pub fn opened(&self) -> u64 {
        self.0.opened.load(Ordering::Acquire)
    }

    /// Streams open now.
    pub fn open(&self) -> usize {
        *self.0.open.borrow()
    }

    /// Streams being opened or open now: what a limit on connections is about.
    pub fn held(&self) -> usize {
        *self.0.held.borrow()
    }

    /// The most streams that ever were being opened or open at one time.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Acquire)
    }

    /// Bytes written to all streams so far.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Acquire)
    }

    /// Bytes read from all streams so far.
    pub fn read(&self) -> u64 {
        self.0.read.load(Ordering::Acquire)
    }

    /// How often any stream was read from so far, whether there was anything or not.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Acquire)
    }

    /// How often several buffers were written to any stream at once so far.
    pub fn gathered(&self) -> u64 {
        self.0.gathered.load(Ordering::Acquire)
    }

    /// Waits until this many streams are open.
    pub async fn until_open(&self, streams: usize) {
        until(&self.0.open, streams).await;
    }

    /// Holds up every connect from now on.
    pub fn close_gate(&self) {
        self.0.gate.send_replace(false);
    }

    /// Lets the connects go that were held up.
    pub fn open_gate(&self) {
        self.0.gate.send_replace(true);
    }

    /// Waits until this many connects are held up at the gate.
    pub async fn until_waiting(&self, connects: usize) {
        until(&self.0.waiting, connects).await;
    }

    /// What becomes of the connects to `address` that begin from now on.
    pub fn set_fate(&self, address: &impl Debug, fate: Fate) {
        self.0.fates.set(address, fate);
    }

    /// What becomes of the next connect, to whatever address.
    pub fn set_next_fate(&self, fate: Fate) {
        self.0.fates.set_next(fate);
    }

    /// When each connect has begun.
    pub fn connects(&self) -> Vec<Instant> {
        self.0.fates.connects()
    }

    /// Makes the next connect fail that passes the gate.
    pub fn fail_next(&self, kind: io::ErrorKind) {
        *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(kind);
    }
}

async fn until(number: &watch::Sender<usize>, wanted: usize) {
    let mut numbers = number.subscribe();
    let reached = numbers.wait_for(|now| *now == wanted).await;
    assert!(reached.is_ok(), "the sender is borrowed, so it lives");
}

/// One more, until it is dropped.
#[derive(Debug)]
struct Counted {
    watch: Watch,
    number: fn(&State) -> &watch::Sender<usize>,
}

impl Counted {
    fn new(watch: &Watch, number: fn(&State) -> &watch::Sender<usize>) -> Self {
        number(&watch.0).send_modify(|now| *now += 1);
        Self { watch: watch.clone(), number }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.number)(&self.watch.0).send_modify(|now| *now -= 1);
    }
}

#[async_trait]
impl<C: Connector> Connector for Probe<C> {
    type Address = C::Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let state = &self.watch.0;
        state.held.send_modify(|now| {
            *now += 1;
            state.peak.fetch_max(*now, Ordering::AcqRel);
        });
        let held = Counted { watch: self.watch.clone(), number: |state| &state.held };
        let waiting = Counted::new(&self.watch, |state| &state.waiting);
        let panics = state.fates.meet(address).await?;
        let mut gate = state.gate.subscribe();
        let opened = gate.wait_for(|open| *open).await.is_ok();
        assert!(opened, "the sender is borrowed, so it lives");
        drop(waiting);
        assert!(!panics, "the test wants it");

        let failure = state.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kind) = failure {
            return Err(kind.into());
        }
        let connected = self.inner.connect(address, options).await?;
        state.opened.fetch_add(1, Ordering::AcqRel);
        let open = Counted::new(&self.watch, |state| &state.open);
        Ok(boxed(connected.map_stream(|stream| ProbeStream { stream, open, _held: held })))
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        self.inner.resolve(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }

    fn forget(&self, address: &Self::Address) {
        self.inner.forget(address);
    }
}

/// A stream that is counted for as long as it is open.
///
/// The fields are dropped in their order: the stream is closed before it is counted as closed.
#[derive(Debug)]
struct ProbeStream<S> {
    stream: S,
    open: Counted,
    _held: Counted,
}

impl<S> ProbeStream<S> {
    fn count(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = result {
            self.open.watch.0.written.fetch_add(bytes as u64, Ordering::AcqRel);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ProbeStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.open.watch.0.reads.fetch_add(1, Ordering::AcqRel);
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len() - before;
        self.open.watch.0.read.fetch_add(read as u64, Ordering::AcqRel);
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ProbeStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if buffers.len() > 1 {
            self.open.watch.0.gathered.fetch_add(1, Ordering::AcqRel);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
