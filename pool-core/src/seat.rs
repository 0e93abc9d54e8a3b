//! What drives an HTTP/2 connection: one task, and a seat in which the connection sits while it lives.
//!
//! hyper hands its executor a future for each request; the task runs them itself, so that none outlives the
//! connection. Whoever closes the connection takes it out of its seat and drops it there and then; the task
//! ends when it finds the seat empty.
//!
//! What must hold: the connection is polled and dropped by one at a time. Somebody who wants to close it in the
//! middle of a poll, perhaps from within that very poll, says so, and the task looks after each poll.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError, Weak};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

use crate::host::Permit;
use crate::lane::Lane;
use crate::linger::Linger;
use crate::multiplex::Multiplex;
use crate::runner::{Errand, Runner};
use crate::stats::Reason;

/// As many streams as hyper is told to take for allowed before the server has said; no server says so many.
pub(crate) const UNSAID: usize = usize::MAX - 1;

/// hyper's connection, whatever stream it is over.
pub(crate) trait Speak: Send {
    /// Ready when it takes no further request.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// How many streams the server allows at once, by its last word.
    fn streams(&self) -> usize;
}

#[derive(Default)]
pub(crate) struct Seat {
    driver: Mutex<Option<Driver>>,
    /// Somebody wants the seat empty.
    doomed: AtomicBool,
    streams: AtomicUsize,
    /// Told when the server has said how many streams it allows, or never will.
    settling: Notify,
    ended: AtomicBool,
    /// A stream has become a tunnel, which goes on without a slot.
    tunnelled: AtomicBool,
    /// What has ended it. The requests that were on it are told by hyper.
    fault: Mutex<Option<hyper::Error>>,
    reason: Mutex<Option<Reason>>,
    task: OnceLock<AbortHandle>,
    errands: OnceLock<Runner>,
}

impl Seat {
    /// The first reason counts.
    pub(crate) fn closing(&self, reason: Reason) {
        lock(&self.reason).get_or_insert(reason);
    }

    /// A stream has become a tunnel.
    pub(crate) fn holds_tunnel(&self) {
        self.tunnelled.store(true, Ordering::SeqCst);
    }

    /// Drops the connection.
    pub(crate) fn clear(&self) {
        self.doomed.store(true, Ordering::SeqCst);
        let driver = match self.driver.try_lock() {
            Ok(mut driver) => driver.take(),
            Err(TryLockError::Poisoned(driver)) => driver.into_inner().take(),
            // Whoever polls it looks afterwards.
            Err(TryLockError::WouldBlock) => return,
        };
        self.end(driver);
    }

    /// How many streams the server allows at once, as it had said when the connection was polled last. Before
    /// it has said anything one may be opened, so that none is beyond what it then says.
    pub(crate) fn streams(&self) -> usize {
        match self.streams.load(Ordering::SeqCst) {
            UNSAID => 1,
            streams => streams,
        }
    }

    /// Waits until the server has said how many streams it allows.
    ///
    /// # Errors
    ///
    /// When the connection has ended instead, for instance because the server lets in nobody without a client
    /// certificate.
    pub(crate) async fn settled(&self) -> io::Result<()> {
        let has_ended = || self.ended.load(Ordering::SeqCst);
        self.settles(|| has_ended() || self.streams.load(Ordering::SeqCst) != UNSAID).await;
        if has_ended() { Err(self.ended_unsettled()) } else { Ok(()) }
    }

    /// Waits until it is so.
    pub(crate) async fn settles(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut settling = pin!(self.settling.notified());
            // Before the look, so that what happens between look and wait is not missed.
            settling.as_mut().enable();
            if is_so() {
                return;
            }
            settling.await;
        }
    }

    pub(crate) fn tell_settled(&self) {
        self.settling.notify_waiters();
    }

    fn ended_unsettled(&self) -> io::Error {
        let said_nothing = "the server has closed the connection before it said anything in HTTP/2";
        let fault = lock(&self.fault);
        let first = fault.as_ref().and_then(StdError::source);
        let why = match std::iter::successors(first, |error| (*error).source()).last() {
            Some(cause) => format!("{said_nothing}: {cause}"),
            None => said_nothing.to_owned(),
        };
        io::Error::new(io::ErrorKind::ConnectionAborted, why)
    }

    pub(crate) fn run(&self, errand: Errand) {
        if let Some(runner) = self.errands.get() {
            runner.start(errand);
        }
    }

    fn end(&self, driver: Option<Driver>) {
        let Some(mut driver) = driver else { return };
        let reason = lock(&self.reason).unwrap_or(Reason::ClosedByPeer);
        driver.permit.closing(reason);
        drop(driver);
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("streams", &self.streams()).finish_non_exhaustive()
    }
}

/// A connection, and all that runs on its account.
pub(crate) struct Driver {
    // Before the permit: a limit must not be free while the socket is still open.
    http2: Option<Box<dyn Speak>>,
    running: FuturesUnordered<Errand>,
    errands: mpsc::UnboundedReceiver<Errand>,
    permit: Permit,
}

impl Driver {
    pub(crate) fn new(
        http2: Box<dyn Speak>,
        errands: mpsc::UnboundedReceiver<Errand>,
        permit: Permit,
    ) -> Self {
        Self { http2: Some(http2), running: FuturesUnordered::new(), errands, permit }
    }

    fn streams(&self) -> usize {
        self.http2.as_ref().map_or(0, |http2| http2.streams())
    }

    /// Whether nothing is left but last words. A tunnel is one of what hyper runs; another reads and writes.
    fn is_over(&self, tunnelled: bool) -> bool {
        self.http2.is_none() && !(tunnelled && self.running.len() > 1)
    }

    /// Ready when nothing is left of the connection.
    fn poll(&mut self, cx: &mut Context<'_>, fault: &Mutex<Option<hyper::Error>>) -> Poll<()> {
        loop {
            // First what reads, so that hyper's connection hears of a GOAWAY in the same poll.
            while let Poll::Ready(Some(())) = Pin::new(&mut self.running).poll_next(cx) {}
            if let Some(http2) = &mut self.http2
                && let Poll::Ready(end) = http2.poll(cx)
            {
                *lock(fault) = end.err();
                // Streams that are still open go on without it.
                self.http2 = None;
            }
            let Poll::Ready(Some(errand)) = self.errands.poll_recv(cx) else { break };
            self.running.push(errand);
        }
        if self.http2.is_none() && self.running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// The task of a connection.
pub(crate) struct Task {
    seat: Arc<Seat>,
    multiplex: Weak<Multiplex>,
    lane: Weak<Lane>,
    linger: Linger,
}

impl Task {
    /// Seats the connection and starts its task.
    pub(crate) fn start(
        driver: Driver,
        runner: Runner,
        multiplex: &Arc<Multiplex>,
        seat: &Arc<Seat>,
        lane: &Arc<Lane>,
    ) {
        seat.streams.store(driver.streams(), Ordering::SeqCst);
        *lock(&seat.driver) = Some(driver);
        seat.errands.get_or_init(|| runner);
        let task = Self {
            seat: Arc::clone(seat),
            multiplex: Arc::downgrade(multiplex),
            lane: Arc::downgrade(lane),
            linger: Linger::default(),
        };
        let handle = tokio::spawn(task).abort_handle();
        seat.task.get_or_init(|| handle);
    }

    /// Says what a poll has changed.
    fn tell(&self, streams: usize) {
        let before = self.seat.streams.swap(streams, Ordering::SeqCst);
        if streams != before {
            self.seat.tell_settled();
        }
        let (Some(multiplex), Some(lane)) = (self.multiplex.upgrade(), self.lane.upgrade()) else {
            return;
        };
        if multiplex.is_leaving() {
            lane.stop_using(&multiplex, Reason::ClosedByPeer);
        }
        if before == UNSAID || streams > before {
            lane.serve_streams();
        }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let tunnelled = self.seat.tunnelled.load(Ordering::SeqCst);
        let (polled, streams, is_over) = match &mut *lock(&self.seat.driver) {
            Some(driver) => {
                let polled = driver.poll(cx, &self.seat.fault);
                (polled, driver.streams(), driver.is_over(tunnelled))
            }
            None => return Poll::Ready(()),
        };
        if polled.is_ready() || self.seat.doomed.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        self.tell(streams);
        while is_over && self.linger.poll_over(cx).is_ready() {
            if self.multiplex.upgrade().is_none_or(|multiplex| multiplex.open() == 0) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let driver = lock(&self.seat.driver).take();
        self.seat.end(driver);
        self.seat.ended.store(true, Ordering::SeqCst);
        self.seat.tell_settled();
        if let (Some(multiplex), Some(lane)) = (self.multiplex.upgrade(), self.lane.upgrade()) {
            lane.stop_using(&multiplex, Reason::ClosedByPeer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
