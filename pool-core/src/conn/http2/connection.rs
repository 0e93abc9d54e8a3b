//! One HTTP/2 connection: shared by many requests, each with a stream of its own.
//!
//! ```text
//!   dial ─► in use (in the lane's list, a lease for each stream) ─► last lease ends ─► idle (in the idle store)
//!               │ GOAWAY, age, refusals: leaving, no further lease          ▲ │ checked out again
//!               ▼                                                          └─┘
//!           ends with its last lease
//! ```
//!
//! What must hold: no stream is opened beyond the live limit of the server. A lease keeps the connection alive. A
//! connection that is leaving gives no further lease.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::driver::DriverCell;
use super::executor::InlineExecutor;
use super::reset_rate::ResetRate;
use super::sender::{Sender, Unanswered};
use crate::conn::Lifetime;
use crate::io::Traffic;
use crate::report::{Established, Reason};
use crate::request::RequestBody;
use crate::sync::Mutex;

/// How many streams are refused before the connection is given up: a server that refuses twice means it, as
/// OkHttp has it.
const REFUSALS: u32 = 2;

pub(crate) struct Connection {
    sender: Sender,
    established: Arc<Established>,
    lifetime: Lifetime,
    max_streams: usize,
    traffic: Arc<Traffic>,
    /// Changes under the lock of the lane's list, so that the last stream is seen to be the last.
    open: AtomicUsize,
    uses: AtomicU64,
    refusals: AtomicU32,
    /// A response has come, or the connection has been idle.
    has_served: AtomicBool,
    leaving: AtomicBool,
    /// Its dial still waits for the first SETTINGS of the server. Changes under the lock of the lane's list too.
    opening: AtomicBool,
    /// Where it is in the idle store, when it is there.
    sequence: AtomicU64,
    reset_rate: Mutex<ResetRate>,
    executor: InlineExecutor,
    driver: Arc<DriverCell>,
}

impl Connection {
    pub(super) fn new(
        sender: Sender,
        established: Established,
        lifetime: Lifetime,
        max_streams: Option<usize>,
        traffic: Arc<Traffic>,
        executor: InlineExecutor,
        driver: Arc<DriverCell>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sender,
            established: Arc::new(established),
            lifetime,
            max_streams: max_streams.unwrap_or(usize::MAX),
            traffic,
            open: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            has_served: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            opening: AtomicBool::new(true),
            sequence: AtomicU64::new(0),
            reset_rate: Mutex::default(),
            executor,
            driver,
        })
    }

    /// Sends a request over a stream of its own.
    pub(crate) fn send(
        &self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, Unanswered>> + Send + use<> {
        self.sender.clone().try_send_request(request)
    }

    /// As many streams as may be open at once: by the server's last SETTINGS, and by the setting.
    pub(crate) fn stream_limit(&self) -> usize {
        self.driver.streams().min(self.max_streams)
    }

    /// Waits until the server has said how many streams it allows.
    ///
    /// # Errors
    ///
    /// When the connection has ended instead, for instance because the server demands a client certificate.
    pub(crate) async fn settings_received(&self) -> io::Result<()> {
        self.driver.settings_received().await
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.is_leaving() && self.open_streams() < self.stream_limit()
    }

    /// Counts one more stream as open. Under the lock of the lane's list.
    pub(crate) fn open_stream(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a stream as closed; true if the connection is no longer in use. Under the lock of the lane's list.
    pub(crate) fn close_stream(&self) -> bool {
        self.open.fetch_sub(1, Ordering::SeqCst) == 1 && !self.opening.load(Ordering::SeqCst)
    }

    /// Its dial has ended; true if the connection is no longer in use. Under the lock of the lane's list.
    pub(crate) fn end_opening(&self) -> bool {
        self.opening.store(false, Ordering::SeqCst);
        self.driver.notify_changed();
        self.open_streams() == 0
    }

    /// Waits until its dial has ended.
    pub(crate) async fn dial_ended(&self) {
        self.driver.wait_until(|| !self.opening.load(Ordering::SeqCst)).await;
    }

    /// A request goes over a stream; gives its ordinal on this connection, from 1.
    pub(crate) fn next_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many requests the connection has carried.
    pub(crate) fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Why the connection may carry no further request, if it has lived or worked long enough.
    pub(crate) fn used_up(&self, now: Instant) -> Option<Reason> {
        self.lifetime.used_up(self.uses(), now)
    }

    /// Whether it takes no further stream.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) || self.sender.is_closed()
    }

    /// From here on it takes no further stream, for `reason`. The first reason counts.
    pub(crate) fn leave(&self, reason: Reason) {
        self.driver.closing(reason);
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// The bytes that the connection has accepted so far, whatever request they are of.
    pub(crate) fn written(&self) -> u64 {
        self.traffic.written()
    }

    /// Whether it comes straight from its dial: no response has come over it, and it has not been idle.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.has_served.load(Ordering::Relaxed)
    }

    /// A response has come over it.
    pub(crate) fn answered(&self) {
        self.has_served.store(true, Ordering::Relaxed);
    }

    /// The server has refused a stream; true if it is to be believed.
    pub(crate) fn refused(&self) -> bool {
        self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS
    }

    pub(crate) fn id(&self) -> u64 {
        self.established.id
    }

    pub(crate) fn established(&self) -> &Arc<Established> {
        &self.established
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    /// The connection is about to be stored as idle under `sequence`.
    pub(crate) fn become_idle(&self, sequence: u64) {
        // Its server may give it up from here on, as any other idle connection.
        self.answered();
        self.sequence.store(sequence, Ordering::SeqCst);
    }

    /// Closes the connection at once, whatever goes over it.
    pub(crate) fn close(&self, reason: Reason) {
        self.leave(reason);
        self.driver.close();
    }

    /// Whether a stream may be reset now without looking like an attack.
    pub(crate) fn take_reset(&self) -> bool {
        self.reset_rate.lock().take(Instant::now())
    }

    /// One of its streams has become a tunnel, which keeps the connection open to the end without a lease.
    pub(crate) fn set_tunnelled(&self) {
        self.driver.set_tunnelled();
    }

    /// Has the task of the connection run a future to its end.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(Box::pin(future));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("open_streams", &self.open_streams())
            .field("leaving", &self.is_leaving())
            .finish_non_exhaustive()
    }
}
