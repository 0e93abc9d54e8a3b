//! The connections of one host that one runtime drives: at rest, or waited for.
//!
//! A connection is driven by the runtime that opened it, so it is lent only to requests of that runtime:
//! idle connections and waiters stand in lanes.
//!
//! What must hold: while anybody waits nothing stays at rest. Who lays a connection to rest looks for waiters
//! afterwards; who joins the queue looks for connections afterwards. One of the two sees the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use crate::backoff::Trial;
use crate::connection::Connection;
use crate::host::{Host, Permit};
use crate::idle::Idle;
use crate::kept::Kept;
use crate::lease::Lease;
use crate::lent::Lent;
use crate::queue::Queue;
use crate::resting::{Resting, Woken};
use crate::shared::Shared;
use crate::standing::Standing;
use crate::stats::Reason;
use crate::streams::InUse;
use crate::waiting::Turn;
use crate::waker::Watch;
use crate::watcher::Watcher;

pub(crate) struct Lane {
    pub(crate) host: Arc<Host>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) idle: Idle<Resting>,
    pub(crate) in_use: InUse,
    queue: Queue,
    dialer: Box<dyn Dial>,
    parked: AtomicUsize,
    /// Every older connection at rest is parked; only the watcher parks.
    pub(crate) parked_up_to: AtomicU64,
    /// How many connections were handed on here while others stood in the line.
    handed_on: AtomicUsize,
    pub(crate) standing: Standing,
}

/// So many connections that are worn out are closed on behalf of one request before it asks for a new one.
const WORN_AT_ONCE: usize = 8;

/// So many connections an address hands on to its own waiters while another waits for the total limit: enough
/// that connections are used, and few enough that the other has its turn soon.
const HANDED_ON: usize = 16;

/// How a connection is put into the idle store.
type Put = fn(&Idle<Resting>, u64, Resting);

/// Opens connections to the lane's address, whose type only the implementor knows.
pub(crate) trait Dial: Send + Sync {
    /// Starts a task of the current runtime, the lane's, that ends in
    /// [`checkin`](Lane::checkin) or [`dial_failed`](Lane::dial_failed).
    ///
    /// A `trial` waits first.
    fn dial(&self, lane: Arc<Lane>, permit: Permit, trial: Option<Trial>);

    /// Whether a connection that it opens may serve many at once.
    fn may_share(&self) -> bool;
}

impl Lane {
    pub(crate) fn new(host: Arc<Host>, watcher: Arc<Watcher>, dialer: Box<dyn Dial>) -> Arc<Self> {
        let queue = Queue::new(Arc::clone(&host.waiting), dialer.may_share());
        let lane = Arc::new(Self {
            host,
            watcher,
            idle: Idle::new(),
            in_use: InUse::default(),
            queue,
            dialer,
            parked: AtomicUsize::new(0),
            parked_up_to: AtomicU64::new(0),
            handed_on: AtomicUsize::new(0),
            standing: Standing::default(),
        });
        lane.host.add_lane(&lane);
        lane
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.watcher.runtime()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn dialer(&self) -> &dyn Dial {
        &*self.dialer
    }

    /// How many connections rest here, parked ones included.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.host.shared
    }

    // The way of every request: check out, check in.

    /// Takes the connection that came home last, unless others have waited longer.
    pub(crate) fn checkout(self: &Arc<Self>, now: Instant) -> Option<Lent> {
        if self.queue.waiting() > 0 { None } else { self.take_newest(now) }
    }

    pub(crate) fn take_newest(self: &Arc<Self>, now: Instant) -> Option<Lent> {
        if let Some(slot) = self.take_stream() {
            return Some(Lent::Stream(slot));
        }
        for _ in 0..WORN_AT_ONCE {
            let resting = self.out(self.idle.pop_newest())?;
            if self.is_expired(resting.since, now) {
                // So are all the others, which are older: the watcher closes them, in batches.
                resting.discard(Reason::IdleTimeout);
                return None;
            }
            match self.unfit_after_rest(&resting, now) {
                // What rests behind it may be younger.
                Some(reason) => resting.discard(reason),
                None => {
                    return Some(match resting.wake(now)? {
                        Woken::Connection(connection) => {
                            Lent::Connection(Lease::new(connection, Arc::clone(self)))
                        }
                        Woken::Multiplex(multiplex, rested) => {
                            Lent::Stream(self.use_multiplex(&multiplex, rested))
                        }
                    });
                }
            }
        }
        None
    }

    /// Takes back a connection whose message has ended, or that nobody has used yet.
    pub(crate) fn checkin(self: &Arc<Self>, connection: Box<Connection>) {
        let now = Instant::now();
        // One that was opened for somebody serves them, however short its life is to be.
        let unfit = if connection.is_fresh() { None } else { self.unfit(connection.kept(), now) };
        if let Some(reason) = unfit.or_else(|| self.closed_for()) {
            return connection.discard(reason);
        }
        let lease = Lease::new(connection, Arc::clone(self));
        if let Some(lent) = self.hand_on(Lent::Connection(lease)) {
            self.take_back(lent, now);
            self.serve_from_rest(now);
        }
    }

    /// Nobody waits for it.
    fn take_back(self: &Arc<Self>, lent: Lent, now: Instant) {
        match lent {
            Lent::Connection(lease) => self.lay_to_rest(lease.connection, now),
            Lent::Stream(slot) => drop(slot),
        }
    }

    /// Gives a connection to the one who has waited longest; back if nobody waits.
    fn hand_on(self: &Arc<Self>, lent: Lent) -> Option<Lent> {
        if self.queue.waiting() == 0 {
            return Some(lent);
        }
        if self.must_make_way() {
            // Its place goes to the head of the line, and those who wait here join its end.
            lent.discard(Reason::Evicted);
            Arc::clone(self).call_dial(Turn::Own);
            return None;
        }
        match self.queue.offer(Ok(lent)) {
            Some(Ok(back)) => Some(back),
            _ => None,
        }
    }

    /// Whether another address has stood in the line for the total limit while connections were handed on
    /// here for long enough.
    fn must_make_way(self: &Arc<Self>) -> bool {
        if !self.shared().line.is_uncalled(Arc::as_ptr(self)) {
            self.handed_on.store(0, Ordering::Relaxed);
            return false;
        }
        let enough = self.handed_on.fetch_add(1, Ordering::Relaxed) >= HANDED_ON;
        if enough {
            self.handed_on.store(0, Ordering::Relaxed);
        }
        enough
    }

    /// Serves who waits from what rests, and makes way for those whom a limit keeps waiting elsewhere.
    ///
    /// Whoever lays a connection to rest does this afterwards: somebody may have joined before the
    /// connection could be seen.
    pub(crate) fn serve_from_rest(self: &Arc<Self>, now: Instant) {
        fence(Ordering::SeqCst);
        while self.queue.wants_idle()
            && let Some(newest) = self.take_newest(now)
        {
            if let Some(back) = self.hand_on(newest) {
                self.take_back(back, now);
                break;
            }
        }
        if self.idle() == 0 {
            return;
        }
        if self.must_make_room() || self.host.is_wanted_beside(self) {
            self.evict_oldest(Reason::Evicted);
        } else {
            self.shared().make_way();
        }
    }

    /// Whether somebody here waits for a fresh connection, for which a limit leaves no room.
    fn must_make_room(&self) -> bool {
        self.queue.waiting() > 0
            && !(self.host.has_room() && self.shared().has_room())
            && self.queue.wants_dial()
    }

    fn lay_to_rest(self: &Arc<Self>, mut connection: Box<Connection>, now: Instant) {
        let settings = &self.shared().settings;
        if settings.keeps_nothing() {
            return connection.discard(Reason::Evicted);
        }
        if connection.kept().has_rested(Duration::ZERO) {
            return connection.discard(Reason::IdleTimeout);
        }
        let sequence = self.shared().next_sequence();
        match connection.rest(sequence) {
            Ok(()) => self.insert(sequence, Resting::new(connection, now), Idle::push),
            Err(reason) => return connection.discard(reason),
        }
        self.keep_idle_limit();
    }

    pub(crate) fn keep_idle_limit(&self) {
        let limit = self.shared().settings.max_idle_per_address;
        if limit.is_some_and(|limit| self.host.idle() > limit)
            && !self.evict_oldest(Reason::Evicted)
        {
            self.host.evict();
        }
    }

    pub(crate) fn insert(self: &Arc<Self>, sequence: u64, resting: Resting, put: Put) {
        let waker = resting.waker();
        let too_many = self.shared().add_idle();
        self.parked.fetch_add(usize::from(resting.is_parked()), Ordering::Relaxed);
        put(&self.idle, sequence, resting);
        if let Some(waker) = waker {
            waker.found();
        }
        if self.shared().settings.ranks_idle() {
            self.shared().ranking.enter(sequence, self);
        }
        if too_many {
            self.shared().ranking.evict();
        }
        // Whoever closes the pool or loses the runtime empties the lane after saying so, and this looks
        // after filling it: one of the two finds the connection.
        if let Some(reason) = self.closed_for() {
            self.clear(reason);
        }
    }

    /// Why a connection must not be lent again.
    fn unfit(&self, connection: &Kept, now: Instant) -> Option<Reason> {
        let suspect = self.is_suspect(connection.use_number, now);
        suspect.then_some(Reason::Quarantined).or_else(|| connection.worn_out(self.shared(), now))
    }

    /// Why a connection that has rested since then must not be lent again.
    fn unfit_after_rest(&self, resting: &Resting, now: Instant) -> Option<Reason> {
        if resting.has_rested(now) {
            Some(Reason::IdleTimeout)
        } else if self.is_suspect(resting.use_number(), now) {
            Some(Reason::Quarantined)
        } else {
            resting.worn_out(self.shared(), now)
        }
    }

    /// Whether a connection that has served is not to be trusted.
    fn is_suspect(&self, use_number: u64, now: Instant) -> bool {
        use_number > 0 && self.host.quarantine.is_on(now)
    }

    pub(crate) fn closed_for(&self) -> Option<Reason> {
        if self.shared().is_closed() {
            Some(Reason::PoolClosed)
        } else if self.host.is_retired() {
            Some(Reason::Retired)
        } else if self.watcher.is_gone() {
            Some(Reason::RuntimeGone)
        } else {
            None
        }
    }

    /// Counts what has left the idle store.
    pub(crate) fn out(&self, resting: Option<Resting>) -> Option<Resting> {
        if let Some(resting) = &resting {
            self.shared().remove_idle();
            self.parked.fetch_sub(usize::from(resting.is_parked()), Ordering::Relaxed);
        }
        resting
    }

    pub(crate) fn is_expired(&self, since: Instant, now: Instant) -> bool {
        let limit = self.idle_limit();
        limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
    }

    /// How long connections may rest: by the settings, and as far as the server keeps them.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        let timeout = self.shared().settings.idle_timeout;
        match self.host.horizon.limit() {
            learnt @ Some(_) if self.shared().settings.learn_idle_limit => {
                learnt.into_iter().chain(timeout).min()
            }
            _ => timeout,
        }
    }
}

impl Watch for Lane {
    fn stirred(self: Arc<Self>, sequence: u64) {
        let watcher = Arc::clone(&self.watcher);
        watcher.look_after(self, sequence);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("host", &self.host.name)
            .field("idle", &self.idle())
            .field("waiting", &self.queue.waiting())
            .finish()
    }
}
