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
//! connection that is leaving gives no further lease, and one that is doubted none until it has shown a sign of life.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::time::Instant;

use super::driver::DriverCell;
use super::reset_rate::ResetRate;
use super::wire::Wire;
use crate::conn::Lifetime;
use crate::connector::KernelCheck;
use crate::report::{Established, Reason};
use crate::settings::Http2Settings;
use crate::sync::Mutex;

/// How many streams are refused before the connection is given up: a server that refuses twice means it, as
/// OkHttp has it.
const REFUSALS: u32 = 2;

pub(crate) struct Connection {
    pub(super) sender: SendRequest<Bytes>,
    established: Arc<Established>,
    lifetime: Lifetime,
    max_streams: usize,
    wire: Arc<Wire>,
    kernel_check: Option<KernelCheck>,
    /// Changes under the lock of the lane's list, so that the last stream is seen to be the last.
    open: AtomicUsize,
    uses: AtomicU64,
    /// It was given up because its server allows none of the streams that it still has.
    allows_none: AtomicBool,
    /// How many streams were lent, for a request each; those that are yet to begin count as well.
    lent: AtomicU64,
    refusals: AtomicU32,
    /// The last stream that h2 was given, and those that were given up before they were opened.
    last_stream: AtomicU32,
    abandoned: Mutex<Vec<u32>>,
    /// A response has come, or the connection has been idle.
    has_served: AtomicBool,
    leaving: AtomicBool,
    doubted: AtomicBool,
    /// Its dial still waits for the first SETTINGS of the server. Changes under the lock of the lane's list too.
    opening: AtomicBool,
    /// Where it is in the idle store, when it is there.
    sequence: AtomicU64,
    reset_rate: Mutex<ResetRate>,
    /// When it was first seen without a stream, and how many requests it had carried then.
    seen_unused: Mutex<Option<(Instant, u64)>>,
    driver: Arc<DriverCell>,
}

impl Connection {
    pub(super) fn new(
        sender: SendRequest<Bytes>,
        established: Established,
        lifetime: Lifetime,
        settings: &Http2Settings,
        wire: Arc<Wire>,
        kernel_check: Option<KernelCheck>,
        driver: Arc<DriverCell>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sender,
            established: Arc::new(established),
            lifetime,
            max_streams: settings.streams(),
            wire,
            kernel_check,
            open: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            allows_none: AtomicBool::new(false),
            lent: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            last_stream: AtomicU32::new(0),
            abandoned: Mutex::default(),
            has_served: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
            opening: AtomicBool::new(true),
            sequence: AtomicU64::new(0),
            reset_rate: Mutex::default(),
            seen_unused: Mutex::default(),
            driver,
        })
    }

    /// As many streams as may be open at once: by the server's last SETTINGS, and by the settings of the pool.
    pub(crate) fn stream_limit(&self) -> usize {
        self.driver.streams().min(self.max_streams)
    }

    /// Waits until the server has said how many streams it allows, and allows one; or has said that it takes none.
    ///
    /// # Errors
    ///
    /// When the connection has ended instead, for instance because the server demands a client certificate.
    pub(crate) async fn allows_streams(&self) -> io::Result<()> {
        self.driver.allows_streams(&self.wire).await
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.is_leaving() && !self.is_doubted() && self.open_streams() < self.stream_limit()
    }

    /// Counts one more stream as open. Under the lock of the lane's list.
    pub(crate) fn open_stream(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.lent.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that was lent has carried no request.
    pub(crate) fn not_used(&self) {
        self.lent.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a stream as closed; true if the connection is no longer in use. Under the lock of the lane's list.
    pub(crate) fn close_stream(&self) -> bool {
        let is_last = self.open.fetch_sub(1, Ordering::SeqCst) == 1;
        if is_last && self.is_leaving() {
            // Only last frames are left, and the task gives them a limited time.
            self.driver.wake();
        }
        is_last && self.may_become_idle()
    }

    /// Whether it may be stored as idle once it has no stream: one without room is kept among those in use, and its task
    /// tells when it has some.
    pub(crate) fn may_become_idle(&self) -> bool {
        let has_room = !self.is_doubted() && self.stream_limit() > 0;
        !self.opening.load(Ordering::SeqCst) && (has_room || self.is_leaving())
    }

    /// Its dial has ended; true if the connection is no longer in use. Under the lock of the lane's list.
    pub(crate) fn end_opening(&self) -> bool {
        self.opening.store(false, Ordering::SeqCst);
        self.driver.notify_changed();
        self.open_streams() == 0 && self.may_become_idle()
    }

    /// Whether the server allows extended CONNECT, RFC 8441.
    pub(crate) fn allows_extended_connect(&self) -> bool {
        self.sender.is_extended_connect_protocol_enabled()
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
        self.lifetime.used_up(self.lent.load(Ordering::Relaxed), now)
    }

    /// Whether it takes no further stream.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) || self.wire.is_ending()
    }

    /// From here on it takes no further stream, for `reason`. The first reason counts.
    pub(crate) fn leave(&self, reason: Reason) {
        self.driver.closing(reason);
        if !self.leaving.swap(true, Ordering::SeqCst) {
            // The task is to see to it that the connection ends with its last stream.
            self.driver.wake();
        }
    }

    /// What has gone over the wire.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// A request was given up, and nothing was read since it was sent: no other is sent before the server has shown a
    /// sign of life.
    pub(crate) fn doubt(&self) {
        if !self.doubted.swap(true, Ordering::SeqCst) {
            self.driver.wake();
        }
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::SeqCst)
    }

    /// The server lives.
    pub(super) fn trust(&self) {
        self.doubted.store(false, Ordering::SeqCst);
    }

    /// Has the kernel asked what has come while the connection was idle; what it has is read before this returns.
    pub(crate) fn ask_kernel(&self) {
        if let Some(check) = &self.kernel_check {
            check.ask();
            self.driver.read_now();
        }
    }

    /// h2 was given a stream.
    pub(super) fn note_stream(&self, stream: u32) {
        self.last_stream.fetch_max(stream, Ordering::SeqCst);
    }

    /// A request was given up, which no longer waits for its stream to be opened.
    pub(crate) fn abandon(&self, stream: u32) {
        if !self.wire.has_opened(stream) {
            let mut abandoned = self.abandoned.lock();
            abandoned.retain(|stream| *stream > self.wire.opened());
            abandoned.push(stream);
        }
    }

    /// Whether the server has lowered its limit in the very moment when requests came, so that all that is left are some
    /// that h2 has not sent: they go elsewhere once it cannot send them any more.
    pub(super) fn keeps_only_unopened(&self) -> bool {
        let open = self.open_streams();
        if open == 0 || self.driver.streams() >= open || !self.wire.is_flushed() {
            return false;
        }
        let unopened = self.wire.unopened_until(self.last_stream.load(Ordering::SeqCst));
        let opened = self.wire.opened();
        let abandoned = self.abandoned.lock().iter().filter(|stream| **stream > opened).count();
        unopened.saturating_sub(abandoned) >= open
    }

    /// Whether it comes straight from its dial: no response has come over it, and it has not been idle.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.has_served.load(Ordering::Relaxed)
    }

    /// A response has come over it.
    pub(crate) fn answered(&self) {
        self.has_served.store(true, Ordering::Relaxed);
    }

    /// It is given up because its server allows none of the streams that it still has.
    pub(super) fn allow_none(&self) {
        self.allows_none.store(true, Ordering::SeqCst);
    }

    /// Whether it was given up because its server allows none of these streams, which is as good as a refusal.
    pub(crate) fn allows_none(&self) -> bool {
        self.allows_none.load(Ordering::SeqCst)
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

    /// Whether it has been seen without a stream before, so long ago, and has carried no request since.
    pub(crate) fn is_unused_for(&self, time: Duration, now: Instant) -> bool {
        let mut seen = self.seen_unused.lock();
        if self.open_streams() > 0 {
            *seen = None;
            return false;
        }
        let uses = self.uses();
        let since = match *seen {
            Some((since, before)) if before == uses => since,
            _ => seen.insert((now, uses)).0,
        };
        now.saturating_duration_since(since) >= time
    }

    /// Closes the connection at once, whatever goes over it.
    pub(crate) fn close(&self, reason: Reason) {
        self.driver.closing(reason);
        self.leaving.store(true, Ordering::SeqCst);
        self.driver.close();
    }

    /// Whether a stream may be reset now without looking like an attack.
    pub(crate) fn take_reset(&self) -> bool {
        self.reset_rate.lock().take(Instant::now())
    }

    /// Has the task of the connection run a future to its end.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.driver.spawn(future);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.wake();
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
