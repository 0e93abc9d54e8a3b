//! The connections of one host that one runtime drives: idle ones, and requests that wait for one.
//!
//! A connection is driven by the runtime that opened it, so it is lent only to requests of that runtime: idle
//! connections and waiters stand in lanes. What a lane does with them stands beside it, each in a file of its own:
//! `checkout`, `checkin`, `wait`, `dials`, `streams`, `maintenance`.
//!
//! What must hold: no connection stays idle while a waiter would take it. This is announce-then-check: a connection is
//! stored, and then its lane checks for waiters; a waiter joins, and then its lane checks for idle connections.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::idle::Idle;
use super::idle_connection::IdleConnection;
use super::in_use::InUse;
use super::lease::Lease;
use super::line::Line;
use super::under_way::Begun;
use super::wait_queue::WaitQueue;
use super::wants::Pace;
use super::watcher::Watcher;
use crate::conn::http2::{self, StreamWatch};
use crate::io::{PendingReads, Watch};
use crate::policy::{Attempt, Host, Marks, Member, Permit, PoolState, Runtime, Turn};
use crate::report::{Error, Reason};
use crate::request::DefaultTarget;
use crate::settings::Settings;
use crate::sync::Mutex;

/// What a waiter gets: a lease, or the reason why its dial failed.
pub(super) type Answer = Result<Lease, Error>;

pub(crate) struct Lane {
    host: Arc<Host>,
    runtime: Arc<Runtime>,
    pub(super) watcher: Arc<Watcher>,
    pub(super) idle: Idle<IdleConnection>,
    pub(super) in_use: InUse,
    pub(super) queue: WaitQueue<Answer>,
    pub(super) line: Line,
    default_target: DefaultTarget,
    dialer: Box<dyn Dial>,
    /// Only connections that speak HTTP/1 are opened here, though the address may come to speak HTTP/2.
    http1_only: bool,
    /// Whether its connections are shared, as far as is known: what came back last, or what may.
    shares: AtomicBool,
    pub(super) parked: AtomicUsize,
    /// Every older idle connection is parked; only the watcher parks.
    pub(super) parked_up_to: AtomicU64,
    /// Connections to what had gone from the name by then have been closed; only the watcher does.
    pub(super) gone_count: AtomicU64,
    /// How many connections went to waiters here while a limit kept others waiting.
    pub(super) handed_on: AtomicUsize,
    /// When the lane dials next by itself, and the task that waits for that.
    pub(super) next_dial: Mutex<Option<(Instant, AbortHandle)>>,
    /// When a connection was opened last to be idle.
    pub(super) last_refill: Mutex<Option<Instant>>,
    marks: Marks,
}

/// Opens connections to the lane's address, whose type only the implementor knows.
pub(super) trait Dial: Send + Sync {
    /// Starts a task of the current runtime, the lane's, that ends in a check-in or in a failure of the waiters that it
    /// was for, or when no request waits for it any more.
    fn dial(&self, lane: Arc<Lane>, begun: Begun, permit: Permit, attempt: Attempt);

    /// Whether a connection that it opens may serve many at once.
    fn may_share(&self) -> bool;

    /// Whether the address is a name, so that the first dial shows which of those behind it can be reached.
    fn is_name(&self) -> bool;

    /// Resolves the name of the address in a task of its own, if it has one, and that is due.
    fn resolve(&self, lane: Arc<Lane>);
}

impl Lane {
    pub(super) fn new(
        host: Arc<Host>,
        watcher: Arc<Watcher>,
        dialer: Box<dyn Dial>,
        default_target: DefaultTarget,
        http1_only: bool,
    ) -> Arc<Self> {
        let first_is_for_all = dialer.may_share() || dialer.is_name();
        let queue = WaitQueue::new(Arc::clone(host.waiting()), first_is_for_all);
        let lane = Arc::new(Self {
            host,
            runtime: Arc::clone(watcher.runtime()),
            watcher,
            idle: Idle::new(),
            in_use: InUse::default(),
            queue,
            line: Line::default(),
            default_target,
            shares: AtomicBool::new(dialer.may_share()),
            dialer,
            http1_only,
            parked: AtomicUsize::new(0),
            parked_up_to: AtomicU64::new(0),
            gone_count: AtomicU64::new(0),
            handed_on: AtomicUsize::new(0),
            next_dial: Mutex::default(),
            last_refill: Mutex::default(),
            marks: Marks::default(),
        });
        let member: Weak<Self> = Arc::downgrade(&lane);
        lane.host.add_member(member);
        lane
    }

    #[inline]
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The address, as errors name it.
    #[inline]
    pub(crate) fn name(&self) -> &Arc<str> {
        self.host.name()
    }

    #[inline]
    pub(super) fn pool(&self) -> &PoolState {
        self.host.pool()
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Settings {
        self.host.settings()
    }

    #[inline]
    pub(super) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    pub(super) fn dialer(&self) -> &dyn Dial {
        &*self.dialer
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// How requests name the server of the address.
    #[inline]
    pub(crate) fn default_target(&self) -> &DefaultTarget {
        &self.default_target
    }

    #[inline]
    pub(super) fn is_http1_only(&self) -> bool {
        self.http1_only
    }

    pub(super) fn set_shares(&self, shares: bool) {
        self.shares.store(shares, Ordering::Relaxed);
    }

    /// Whether its connections are shared, as far as is known.
    pub(super) fn shares(&self) -> bool {
        self.shares.load(Ordering::Relaxed)
    }

    /// Requests of the runtime that were woken and have not run since.
    #[inline]
    pub(crate) fn pending_reads(&self) -> &Arc<PendingReads> {
        self.watcher.pending_reads()
    }

    /// Leaves the rest of a request whose caller does not wait to the watcher; `drain` gives up its connection when it
    /// is dropped.
    pub(crate) fn leave_to_watcher(&self, drain: impl Future<Output = ()> + Send + 'static) {
        self.watcher.drain(Box::pin(drain));
    }

    /// How many connections are idle, parked ones included.
    #[inline]
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(super) fn is_expired(&self, idle_for: Duration) -> bool {
        self.host.idle_limit().is_some_and(|limit| idle_for >= limit)
    }

    /// Why no connection stays idle here any more, if that is so.
    #[inline]
    pub(super) fn closed_for(&self) -> Option<Reason> {
        let [closed, retired, gone] =
            [self.pool().is_closed(), self.host.is_retired(), self.runtime.is_gone()];
        (closed | retired | gone).then(|| why_closed(closed, retired))
    }

    /// Why requests that come are refused here, if they are.
    #[inline]
    pub(super) fn refusal(&self) -> Option<Error> {
        let (closed, retired) = (self.pool().is_closed(), self.host.is_retired());
        if closed || retired { Some(self.refuse(closed)) } else { None }
    }

    #[cold]
    fn refuse(&self, closed: bool) -> Error {
        if closed { Error::closed(self.name()) } else { Error::retired(self.name()) }
    }

    /// Closes what is idle, and fails the waiters, unless only the address was retired: requests that had come before
    /// are served.
    pub(super) fn retire(&self) {
        let over = || {
            if self.pool().is_closed() {
                Some(Error::closed(self.name()))
            } else {
                self.runtime.is_gone().then(|| Error::runtime_gone(self.name()))
            }
        };
        while self.queue.waiting() > 0
            && let Some(error) = over()
        {
            self.fail_one(error);
        }
        if let Some(reason) = self.closed_for() {
            self.leave_all(reason);
            self.close_idle(reason);
            // What they would open would close at once.
            self.queue.end_left_behind(self.pace(), 0, usize::MAX);
            self.host.changes().tell();
        }
    }
}

#[cold]
fn why_closed(closed: bool, retired: bool) -> Reason {
    if closed {
        Reason::PoolClosed
    } else if retired {
        Reason::Retired
    } else {
        Reason::RuntimeGone
    }
}

impl Watch for Lane {
    fn woken(self: Arc<Self>, sequence: u64) {
        let watcher = Arc::clone(&self.watcher);
        watcher.look_after(self, sequence);
    }
}

impl StreamWatch for Lane {
    fn leaving(&self, connection: &Arc<http2::Connection>) {
        self.stop_using(connection, Reason::ClosedByPeer);
    }

    fn more_streams(self: Arc<Self>) {
        self.room_found();
    }
}

impl Member for Lane {
    fn marks(&self) -> &Marks {
        &self.marks
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn has_waiting(&self) -> bool {
        self.queue.waiting() > 0
    }

    fn wants_dial(&self) -> bool {
        // One that is not due makes no room: its timer runs, and asks for it then.
        self.queue.wants_dial(self.pace())
            && !self.host.is_dialled_though_it_fails()
            && self.host.may_dial().is_ok()
    }

    fn idle(&self) -> usize {
        self.idle.len()
    }

    fn oldest_idle(&self) -> Option<u64> {
        self.idle.oldest(|sequence, _| sequence)
    }

    fn evict_oldest(&self) -> bool {
        self.close_oldest(Reason::Evicted)
    }

    fn reconsider_idle(self: Arc<Self>) {
        let watcher = Arc::clone(&self.watcher);
        watcher.reconsider(self);
    }

    fn request_dial(self: Arc<Self>, turn: Turn) {
        // Once is enough, however often it is requested before the watcher comes to it.
        if self.marks.request_dial() {
            let watcher = Arc::clone(&self.watcher);
            watcher.dial_for(self, turn);
        }
    }

    fn left_behind_since(&self) -> Option<Instant> {
        self.queue.left_behind_since(self.pace())
    }

    fn end_left_behind(&self, keep: usize, most: usize) -> bool {
        self.queue.end_left_behind(self.pace(), keep, most)
    }

    fn end_begun_before(&self, time: Instant) {
        self.queue.end_begun_before(time);
    }

    fn fail_waiting(&self, error: &dyn Fn() -> Error) {
        while self.queue.wants_dial(Pace::ForEach) {
            self.fail_one(error());
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("host", self.name())
            .field("idle", &self.idle())
            .field("waiting", &self.queue.waiting())
            .finish_non_exhaustive()
    }
}
