//! What the task of an HTTP/2 connection drives, in a cell from which any thread can take it to close it.
//!
//! hyper hands its executor a future for each request; the task runs these itself, so that none outlives the
//! connection. A thread that closes the connection takes the driver out of its cell and drops it there and then; the
//! task ends when it finds the cell empty.
//!
//! What must hold: one thread at a time polls or drops the driver. A thread that wants to close the connection in the
//! middle of a poll, perhaps from within that very poll, sets a flag, and the task checks the flag after each poll.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::executor::Spawned;
use crate::conn::Hold;
use crate::report::Reason;
use crate::sync::{self, Mutex};

/// As many streams as hyper is told are allowed before the server has said; no server says so many.
pub(super) const UNSAID: usize = usize::MAX - 1;

/// hyper's connection, whatever stream it is over.
pub(super) trait Drive: Send {
    /// Ready when the connection takes no further request.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// How many streams the server allows at once, by its last SETTINGS.
    fn streams(&self) -> usize;
}

#[derive(Default)]
pub(super) struct DriverCell {
    driver: Mutex<Option<Driver>>,
    /// A thread wants the cell empty.
    closing: AtomicBool,
    streams: AtomicUsize,
    /// Notified when the server changes how many streams it allows, and when the dial or the task ends.
    changed: Notify,
    ended: AtomicBool,
    /// A stream has become a tunnel, which goes on without a lease.
    tunnelled: AtomicBool,
    /// What has ended the connection. hyper tells it to the requests that were on the connection.
    error: Mutex<Option<hyper::Error>>,
    reason: Mutex<Option<Reason>>,
    task: OnceLock<AbortHandle>,
}

impl DriverCell {
    pub(super) fn new(driver: Driver) -> Arc<Self> {
        let streams = AtomicUsize::new(driver.streams());
        Arc::new(Self { driver: Mutex::new(Some(driver)), streams, ..Self::default() })
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        self.task.get_or_init(|| task);
    }

    /// The first reason counts.
    pub(super) fn closing(&self, reason: Reason) {
        self.reason.lock().get_or_insert(reason);
    }

    /// A stream has become a tunnel.
    pub(super) fn set_tunnelled(&self) {
        self.tunnelled.store(true, Ordering::SeqCst);
    }

    /// Drops the driver.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        // Between the flag and the lock here, and between the lock and the flag in `poll`: one of the two sees the other.
        fence(Ordering::SeqCst);
        // The thread that polls checks the flag afterwards.
        let Some(driver) = self.driver.try_lock().map(|mut driver| driver.take()) else { return };
        self.end(driver);
    }

    /// The task has ended.
    pub(super) fn task_ended(&self) {
        let driver = self.driver.lock().take();
        self.end(driver);
        self.ended.store(true, Ordering::SeqCst);
        self.notify_changed();
    }

    fn end(&self, driver: Option<Driver>) {
        let Some(mut driver) = driver else { return };
        let reason = self.reason.lock().unwrap_or(Reason::ClosedByPeer);
        driver.hold.closing(reason);
        drop(driver);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Polls the driver; none if the cell is empty or has to be.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Option<Polled> {
        let tunnelled = self.tunnelled.load(Ordering::SeqCst);
        let polled = {
            let mut cell = self.driver.lock();
            let driver = cell.as_mut()?;
            if driver.poll(cx, &self.error).is_ready() {
                return None;
            }
            Polled { streams: driver.streams(), is_over: driver.is_over(tunnelled) }
        };
        fence(Ordering::SeqCst);
        (!self.closing.load(Ordering::SeqCst)).then_some(polled)
    }

    /// How many streams the server allows at once, as of the last poll of the connection. Before the server has said
    /// anything, one may be opened, so that none is beyond what the server then says.
    pub(super) fn streams(&self) -> usize {
        match self.streams.load(Ordering::SeqCst) {
            UNSAID => 1,
            streams => streams,
        }
    }

    /// Notes how many streams the server allows; gives the number that was noted before.
    pub(super) fn set_streams(&self, streams: usize) -> usize {
        let before = self.streams.swap(streams, Ordering::SeqCst);
        if streams != before {
            self.notify_changed();
        }
        before
    }

    /// Waits until the server has said how many streams it allows.
    pub(super) async fn settings_received(&self) -> io::Result<()> {
        let has_ended = || self.ended.load(Ordering::SeqCst);
        self.wait_until(|| has_ended() || self.streams.load(Ordering::SeqCst) != UNSAID).await;
        if has_ended() { Err(self.ended_silent()) } else { Ok(()) }
    }

    pub(super) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        sync::wait_until(&self.changed, is_so).await;
    }

    pub(super) fn notify_changed(&self) {
        self.changed.notify_waiters();
    }

    fn ended_silent(&self) -> io::Error {
        let silent = "the server has closed the connection before it said anything in HTTP/2";
        let error = self.error.lock();
        let first = error.as_ref().and_then(StdError::source);
        let why = match std::iter::successors(first, |error| (*error).source()).last() {
            Some(cause) => format!("{silent}: {cause}"),
            None => silent.to_owned(),
        };
        io::Error::new(io::ErrorKind::ConnectionAborted, why)
    }
}

impl fmt::Debug for DriverCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverCell").field("streams", &self.streams()).finish_non_exhaustive()
    }
}

/// What a poll that did not end the connection has found.
pub(super) struct Polled {
    /// How many streams the server allows at once.
    pub(super) streams: usize,
    /// Whether only last frames are left to be written.
    pub(super) is_over: bool,
}

/// A connection, and all that runs on its account.
pub(super) struct Driver {
    // Before the hold: a limit must not be free while the socket is still open.
    http2: Option<Box<dyn Drive>>,
    running: FuturesUnordered<Spawned>,
    spawned: mpsc::UnboundedReceiver<Spawned>,
    hold: Box<dyn Hold>,
}

impl Driver {
    pub(super) fn new(
        http2: Box<dyn Drive>,
        spawned: mpsc::UnboundedReceiver<Spawned>,
        hold: Box<dyn Hold>,
    ) -> Self {
        Self { http2: Some(http2), running: FuturesUnordered::new(), spawned, hold }
    }

    fn streams(&self) -> usize {
        self.http2.as_ref().map_or(0, |http2| http2.streams())
    }

    /// A tunnel is one of the futures that hyper spawns; another one reads and writes.
    fn is_over(&self, tunnelled: bool) -> bool {
        self.http2.is_none() && !(tunnelled && self.running.len() > 1)
    }

    /// Ready when nothing is left of the connection.
    fn poll(&mut self, cx: &mut Context<'_>, error: &Mutex<Option<hyper::Error>>) -> Poll<()> {
        loop {
            // First what reads, so that hyper's connection sees a GOAWAY in the same poll.
            while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
            if let Some(http2) = &mut self.http2
                && let Poll::Ready(end) = http2.poll(cx)
            {
                *error.lock() = end.err();
                // Streams that are still open go on without it.
                self.http2 = None;
            }
            let Poll::Ready(Some(spawned)) = self.spawned.poll_recv(cx) else { break };
            self.running.push(spawned);
        }
        if self.http2.is_none() && self.running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}
