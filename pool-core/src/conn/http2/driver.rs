//! What the task of an HTTP/2 connection drives, in a cell from which any thread can take it to close it.
//!
//! Request bodies that are not sent at once, and streams that are read to their end though no request waits, run in the same
//! task, so that none outlives the connection. A thread that closes the connection takes the driver out of its cell and
//! drops it there and then; the task ends when it finds the cell empty.
//!
//! What must hold: one thread at a time polls or drops the driver. A thread that wants to close the connection in the
//! middle of a poll, perhaps from within that very poll, sets a flag, and who polls checks the flag afterwards.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use super::wire::Wire;
use crate::conn::Hold;
use crate::report::Reason;
use crate::sync::{self, Mutex};

/// As many streams as h2 is told are allowed before the server has said; no server says so many.
pub(super) const UNSAID: usize = usize::MAX - 1;

/// h2's connection, whatever stream it is over.
pub(super) trait Drive: Send {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>>;

    /// How many streams the server allows at once, by its last SETTINGS.
    fn streams(&self) -> usize;
}

/// A future that the task of a connection runs beside it.
type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands futures to the task of the connection.
pub(super) type Spawner = mpsc::UnboundedSender<Spawned>;

pub(super) struct DriverCell {
    driver: Mutex<Option<Driver>>,
    spawner: Spawner,
    /// A thread wants the cell empty.
    closing: AtomicBool,
    streams: AtomicUsize,
    /// Notified when the server changes how many streams it allows, and when the dial or the task ends.
    changed: Notify,
    ended: AtomicBool,
    /// What has ended the connection.
    error: Mutex<Option<h2::Error>>,
    reason: Mutex<Option<Reason>>,
    task: OnceLock<AbortHandle>,
    /// Of the task, which is polled with it from other threads too.
    waker: OnceLock<Waker>,
}

impl DriverCell {
    pub(super) fn new(driver: Driver, spawner: Spawner) -> Arc<Self> {
        Arc::new(Self {
            streams: AtomicUsize::new(driver.streams()),
            driver: Mutex::new(Some(driver)),
            spawner,
            closing: AtomicBool::new(false),
            changed: Notify::new(),
            ended: AtomicBool::new(false),
            error: Mutex::default(),
            reason: Mutex::default(),
            task: OnceLock::new(),
            waker: OnceLock::new(),
        })
    }

    pub(super) fn set_task(&self, task: AbortHandle) {
        self.task.get_or_init(|| task);
    }

    /// Has the task run a future to its end.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // Where the task has ended, so has the connection.
        self.spawner.send(Box::pin(future)).ok();
    }

    /// Has the task look at the connection.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// The first reason counts.
    pub(super) fn closing(&self, reason: Reason) {
        self.reason.lock().get_or_insert(reason);
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
        self.waker.get_or_init(|| cx.waker().clone());
        let streams = {
            let mut cell = self.driver.lock();
            let driver = cell.as_mut()?;
            if driver.poll(cx, &self.error).is_ready() {
                return None;
            }
            driver.streams()
        };
        fence(Ordering::SeqCst);
        (!self.closing.load(Ordering::SeqCst)).then_some(Polled { streams })
    }

    /// Reads what has come, on behalf of the task and with its waker. The task is woken, to report what that has changed.
    pub(super) fn read_now(&self) {
        let Some(waker) = self.waker.get() else { return };
        if let Some(mut cell) = self.driver.try_lock()
            && let Some(driver) = cell.as_mut()
        {
            // The task finds out by itself when the driver has ended.
            let _ = driver.poll(&mut Context::from_waker(waker), &self.error);
        }
        fence(Ordering::SeqCst);
        if self.closing.load(Ordering::SeqCst) {
            self.close();
        }
        waker.wake_by_ref();
    }

    /// How many streams the server allows at once, as of the last poll of the connection; none before it has said.
    pub(super) fn streams(&self) -> usize {
        match self.streams.load(Ordering::SeqCst) {
            UNSAID => 0,
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

    /// Waits until the server has allowed a stream, or has shown that it will not.
    pub(super) async fn allows_streams(&self, wire: &Wire) -> io::Result<()> {
        let has_ended = || self.ended.load(Ordering::SeqCst);
        let allows = || self.streams() > 0 || wire.is_greeted() && wire.is_ending();
        self.wait_until(|| has_ended() || allows()).await;
        if wire.is_greeted() { Ok(()) } else { Err(self.ended_silent()) }
    }

    pub(super) async fn wait_until(&self, is_so: impl Fn() -> bool) {
        sync::wait_until(&self.changed, is_so).await;
    }

    pub(super) fn notify_changed(&self) {
        self.changed.notify_waiters();
    }

    fn ended_silent(&self) -> io::Error {
        let silent = "the server has closed the connection before it said anything in HTTP/2";
        let why = match &*self.error.lock() {
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
}

/// A connection, and all that runs on its account.
pub(super) struct Driver {
    // Before the hold: a limit must not be free while the socket is still open.
    http2: Option<Box<dyn Drive>>,
    running: FuturesUnordered<Spawned>,
    spawned: mpsc::UnboundedReceiver<Spawned>,
    wire: Arc<Wire>,
    hold: Box<dyn Hold>,
}

impl Driver {
    pub(super) fn new(
        http2: Box<dyn Drive>,
        wire: Arc<Wire>,
        hold: Box<dyn Hold>,
    ) -> (Self, Spawner) {
        let (spawner, spawned) = mpsc::unbounded_channel();
        let (http2, running) = (Some(http2), FuturesUnordered::new());
        (Self { http2, running, spawned, wire, hold }, spawner)
    }

    fn streams(&self) -> usize {
        self.http2.as_ref().map_or(0, |http2| http2.streams())
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>, error: &Mutex<Option<h2::Error>>) -> Poll<()> {
        while let Poll::Ready(Some(spawned)) = self.spawned.poll_recv(cx) {
            self.running.push(spawned);
        }
        // Before the connection, which sends what they have written.
        while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
        let Some(http2) = &mut self.http2 else { return Poll::Ready(()) };
        match http2.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(end) => {
                *error.lock() = end.err();
                self.http2 = None;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.http2 = None;
        self.running.clear();
        self.hold.closed(self.wire.carried());
    }
}
