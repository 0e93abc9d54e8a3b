//! One HTTP/2 connection: shared by many requests, each with a stream of its own.
//!
//! ```text
//!   dial ─► in use (in the lane's list, one slot for each stream) ─► last slot ends ─► idle (in the idle store)
//!               │ GOAWAY, age, refusals: leaving, no further slot          ▲ │ checked out again
//!               ▼                                                         └─┘
//!           ends with its last slot
//! ```
//!
//! What must hold: no stream is opened beyond the live limit of the server; whoever has a slot keeps the
//! connection alive; and a connection that is leaving gets no further slot.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

use crate::events::Event;
use crate::http2::Sender;
use crate::info::{ConnectionInfo, Origin, Visit};
use crate::lane::Lane;
use crate::resets::Resets;
use crate::runner::Errand;
use crate::seat::Seat;
use crate::shared::Shared;
use crate::stats::Reason;
use crate::stream::Traffic;

/// So many streams are refused before the connection is given up: a server that refuses twice means it, as
/// OkHttp has it.
const REFUSALS: u32 = 2;

pub(crate) struct Multiplex {
    sender: Sender,
    origin: Arc<Origin>,
    retires: Option<Instant>,
    most_streams: usize,
    traffic: Arc<Traffic>,
    /// Changes under the lock of the lane's list, so that the last slot is seen to be the last.
    open: AtomicUsize,
    uses: AtomicU64,
    refusals: AtomicU32,
    answered: AtomicBool,
    leaving: AtomicBool,
    /// Its dial still waits for its server's first word. Changes under the lock of the lane's list too.
    settling: AtomicBool,
    /// Where it rests, when it does.
    sequence: AtomicU64,
    resets: Mutex<Resets>,
    seat: Arc<Seat>,
}

impl Multiplex {
    pub(crate) fn new(
        sender: Sender,
        origin: Origin,
        retires: Option<Instant>,
        most_streams: Option<usize>,
        traffic: Arc<Traffic>,
        seat: Arc<Seat>,
    ) -> Arc<Self> {
        Arc::new(Self {
            sender,
            origin: Arc::new(origin),
            retires,
            most_streams: most_streams.unwrap_or(usize::MAX),
            traffic,
            open: AtomicUsize::new(0),
            uses: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            answered: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            settling: AtomicBool::new(true),
            sequence: AtomicU64::new(0),
            resets: Mutex::default(),
            seat,
        })
    }

    /// As many streams as may be open at once: the server's live word, and the setting.
    pub(crate) fn limit(&self) -> usize {
        self.seat.streams().min(self.most_streams)
    }

    /// As [`Seat::settled`].
    pub(crate) async fn settled(&self) -> io::Result<()> {
        self.seat.settled().await
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.is_leaving() && self.open() < self.limit()
    }

    /// Whether it takes no further stream.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst) || self.sender.is_closed()
    }

    /// From here on it takes no further stream, for `reason`; true if it did before.
    pub(crate) fn leave(&self, reason: Reason) -> bool {
        self.seat.closing(reason);
        !self.leaving.swap(true, Ordering::SeqCst)
    }

    /// Its dial has ended; true if it is in use no more. Under the lock of the lane's list.
    pub(crate) fn end_settling(&self) -> bool {
        self.settling.store(false, Ordering::SeqCst);
        self.seat.tell_settled();
        self.open() == 0
    }

    /// Waits until its dial has ended.
    pub(crate) async fn dialled(&self) {
        self.seat.settles(|| !self.settling.load(Ordering::SeqCst)).await;
    }

    /// The bytes that the connection has accepted so far, whatever request they are of.
    pub(crate) fn written(&self) -> u64 {
        self.traffic.written()
    }

    /// Whether it comes straight from its dial: no response has come over it, and it has not rested.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// The server has refused a stream; true if it is to be believed.
    pub(crate) fn refused(&self) -> bool {
        self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    pub(crate) fn use_number(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> u64 {
        self.origin.id
    }

    /// As [`Kept::worn_out`](crate::kept::Kept::worn_out).
    pub(crate) fn worn_out(&self, shared: &Shared, now: Instant) -> Option<Reason> {
        if shared.settings.max_uses.is_some_and(|limit| self.use_number() >= limit) {
            Some(Reason::MaxUses)
        } else if self.retires.is_some_and(|retires| retires <= now) {
            Some(Reason::MaxLifetime)
        } else {
            None
        }
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::SeqCst)
    }

    pub(crate) fn rest(&self, sequence: u64) {
        // Its server may give it up from here on, as any other.
        self.answered();
        self.sequence.store(sequence, Ordering::SeqCst);
    }

    /// Closes the connection at once, whatever goes over it.
    pub(crate) fn close(&self, reason: Reason) {
        self.leave(reason);
        self.seat.clear();
    }

    /// Whether a stream may be reset now without looking like an attack.
    pub(crate) fn may_reset(&self) -> bool {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        resets.take(Instant::now())
    }

    /// One of its streams has become a tunnel, which keeps it open to the end, though it holds no slot.
    pub(crate) fn holds_tunnel(&self) {
        self.seat.holds_tunnel();
    }

    /// Has the task of the connection run something to its end.
    pub(crate) fn leave_to_task(&self, errand: Errand) {
        self.seat.run(errand);
    }
}

impl fmt::Debug for Multiplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplex")
            .field("id", &self.id())
            .field("open", &self.open())
            .field("leaving", &self.is_leaving())
            .finish_non_exhaustive()
    }
}

/// The place of one stream on a shared connection. Given back when it drops.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) multiplex: Arc<Multiplex>,
    pub(crate) lane: Arc<Lane>,
    use_number: u64,
    pub(crate) idle_for: Duration,
    pub(crate) queue_time: Duration,
    given_up: AtomicBool,
    /// The request body, which is to hear of it.
    body: AtomicWaker,
}

impl Slot {
    /// Takes a place. Under the lock of the lane's list.
    pub(crate) fn take(multiplex: &Arc<Multiplex>, lane: &Arc<Lane>, idle_for: Duration) -> Self {
        multiplex.open.fetch_add(1, Ordering::SeqCst);
        let (multiplex, lane) = (Arc::clone(multiplex), Arc::clone(lane));
        Self {
            multiplex,
            lane,
            use_number: 0,
            idle_for,
            queue_time: Duration::ZERO,
            given_up: AtomicBool::new(false),
            body: AtomicWaker::new(),
        }
    }

    /// Nobody waits for the response any more. While the request body goes out hyper keeps the stream, so the body
    /// has to fail for it to be reset.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.body.wake();
    }

    /// Whether it was given up; tells the task of `cx` later if not.
    pub(crate) fn is_given_up(&self, cx: &Context<'_>) -> bool {
        self.body.register(cx.waker());
        self.given_up.load(Ordering::SeqCst)
    }

    /// Counts a place as given back; true if the connection is in use no more. Under the lock of the lane's list.
    pub(crate) fn give_back(multiplex: &Multiplex) -> bool {
        multiplex.open.fetch_sub(1, Ordering::SeqCst) == 1
            && !multiplex.settling.load(Ordering::SeqCst)
    }

    /// A request goes over the stream.
    pub(crate) fn begin(&mut self) {
        self.use_number = self.multiplex.uses.fetch_add(1, Ordering::Relaxed) + 1;
    }

    pub(crate) fn info(&self, attempt: u32) -> ConnectionInfo {
        let Self { use_number, idle_for, queue_time, .. } = *self;
        let visit = Visit { use_number, attempt, idle_for, queue_time };
        ConnectionInfo::new(Arc::clone(&self.multiplex.origin), visit)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.use_number > 0 {
            self.lane.host.tell(|| Event::CheckedIn { id: self.multiplex.id() });
        }
        self.lane.stream_ended(&self.multiplex);
    }
}
