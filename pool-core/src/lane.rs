//! The connections of one host that one runtime drives: at rest, or waited for.
//!
//! A connection is driven by the runtime that opened it, so it is lent only to requests of that runtime:
//! idle connections and waiters stand in lanes.
//!
//! What must hold: while anybody waits nothing stays at rest, and while anybody waits without a dial on its
//! account, either a dial is refused by a limit or one is started.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::error::Error;
use crate::host::{Host, Permit, Refusal};
use crate::idle::Idle;
use crate::lease::Lease;
use crate::queue::{Queue, Ticket};
use crate::shared::Shared;
use crate::stats::Reason;
use crate::waker::Watch;
use crate::watcher::Watcher;

pub(crate) struct Lane {
    pub(crate) host: Arc<Host>,
    pub(crate) watcher: Arc<Watcher>,
    idle: Idle<Resting>,
    queue: Queue,
    dialer: Box<dyn Dial>,
    in_line: AtomicBool,
    in_ranking: AtomicBool,
}

struct Resting {
    connection: Box<Connection>,
    since: Instant,
}

/// Opens connections to the lane's address, whose type only the implementor knows.
pub(crate) trait Dial: Send + Sync {
    /// Starts a task of the current runtime, the lane's, that ends in
    /// [`checkin`](Lane::checkin) or [`dial_failed`](Lane::dial_failed).
    fn dial(&self, lane: Arc<Lane>, permit: Permit);
}

impl Lane {
    pub(crate) fn new(host: Arc<Host>, watcher: Arc<Watcher>, dialer: Box<dyn Dial>) -> Arc<Self> {
        let lane = Arc::new(Self {
            host,
            watcher,
            idle: Idle::new(),
            queue: Queue::default(),
            dialer,
            in_line: AtomicBool::new(false),
            in_ranking: AtomicBool::new(false),
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

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    fn shared(&self) -> &Shared {
        &self.host.shared
    }

    // The way of every request: check out, check in.

    /// Takes the connection that came home last, unless others have waited longer.
    pub(crate) fn checkout(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        if self.queue.waiting() > 0 { None } else { self.take_newest(now) }
    }

    fn take_newest(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let Resting { mut connection, since } = self.out(self.idle.pop_newest())?;
        if self.is_expired(since, now) {
            // So are all the others, which are older: the watcher closes them, in batches.
            connection.discard(Reason::IdleTimeout);
            return None;
        }
        if let Some(reason) = self.unfit(&connection, now) {
            connection.discard(reason);
            return None;
        }
        connection.leave_rest(now.saturating_duration_since(since));
        Some(Lease::new(connection, Arc::clone(self)))
    }

    /// Takes back a connection whose message has ended, or that nobody has used yet.
    pub(crate) fn checkin(self: &Arc<Self>, connection: Box<Connection>) {
        let now = Instant::now();
        if let Some(reason) = connection.worn_out(self.shared(), now).or_else(|| self.closed_for())
        {
            return connection.discard(reason);
        }
        let mut lease = Lease::new(connection, Arc::clone(self));
        loop {
            if self.queue.waiting() > 0 {
                match self.queue.offer(Ok(lease)) {
                    Some(Ok(back)) => lease = back,
                    _ => return,
                }
            }
            self.lay_to_rest(lease.connection, now);
            // Somebody may have joined before the connection could be seen.
            if self.queue.waiting() == 0 {
                return;
            }
            match self.take_newest(now) {
                Some(newest) => lease = newest,
                None => return,
            }
        }
    }

    fn lay_to_rest(self: &Arc<Self>, mut connection: Box<Connection>, now: Instant) {
        let settings = &self.shared().settings;
        if settings.keeps_nothing() {
            return connection.discard(Reason::Evicted);
        }
        let sequence = self.shared().next_sequence();
        match connection.rest(sequence) {
            Ok(()) => self.insert(sequence, connection, now),
            Err(reason) => return connection.discard(reason),
        }
        let limit = settings.max_idle_per_address;
        if limit.is_some_and(|limit| self.host.idle() > limit)
            && !self.evict_oldest(Reason::Evicted)
        {
            self.host.evict();
        }
    }

    fn insert(self: &Arc<Self>, sequence: u64, connection: Box<Connection>, since: Instant) {
        let waker = Arc::clone(connection.waker());
        let too_many = self.shared().add_idle();
        self.idle.push(sequence, Resting { connection, since });
        waker.found();
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
    fn unfit(&self, connection: &Connection, now: Instant) -> Option<Reason> {
        let suspect = connection.is_used() && self.host.quarantine.is_on(now);
        suspect.then_some(Reason::Quarantined).or_else(|| connection.worn_out(self.shared(), now))
    }

    fn closed_for(&self) -> Option<Reason> {
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

    // Those who wait, and their dials.

    /// Joins the queue, and starts a dial if more wait than are under way.
    ///
    /// Who does not `trust_idle` connections waits for one that has just proven alive, or is new. None if
    /// too many wait already for what the limits allow.
    pub(crate) fn enqueue(self: &Arc<Self>, now: Instant, trust_idle: bool) -> Option<Ticket> {
        let ticket = self.queue.join(self);
        if trust_idle
            && let Some(lease) = self.take_newest(now)
            && let Some(Ok(back)) = self.queue.offer(Ok(lease))
        {
            self.checkin(back.connection);
        }
        self.dial();
        let limit = self.shared().settings.max_waiters_per_address;
        let full = limit.is_some_and(|limit| self.queue.is_over(limit)) && ticket.give_up();
        (!full).then_some(ticket)
    }

    /// Starts dials while more wait than are under way and the limits allow. In the lane's runtime only.
    pub(crate) fn dial(self: &Arc<Self>) {
        while self.queue.begin_dial() {
            match self.permit() {
                Ok(permit) => self.dialer.dial(Arc::clone(self), permit),
                Err(refusal) => {
                    self.queue.end_dial();
                    // Room may have been made while the dial was still counted as under way, and whoever
                    // made it then saw nobody in need.
                    let room = self.host.has_room() && self.shared().has_room();
                    if refusal == Refusal::WatcherGone || !room {
                        return;
                    }
                }
            }
        }
    }

    /// A permit, if need be in place of an idle connection of which nobody here can make use.
    fn permit(self: &Arc<Self>) -> Result<Permit, Refusal> {
        loop {
            match Permit::new(self) {
                Err(Refusal::AddressFull) if self.host.evict() => {}
                Err(Refusal::PoolFull) if self.shared().ranking.evict() => {}
                Err(Refusal::PoolFull) => {
                    self.shared().join_line(self);
                    return Err(Refusal::PoolFull);
                }
                done => return done,
            }
        }
    }

    /// Has the watcher start the dials that are wanted: it is called where a connection closes, which may
    /// be anywhere.
    pub(crate) fn call_dial(self: Arc<Self>) {
        let watcher = Arc::clone(&self.watcher);
        watcher.dial_for(self);
    }

    /// A dial fails the one waiter that it was for.
    pub(crate) fn dial_failed(&self, error: Error) {
        self.queue.offer(Err(error));
    }

    // What the watcher and the limits do to those at rest.

    /// Looks at an idle connection that has stirred: closes it, or lays it back where it was.
    pub(crate) fn look_after(self: &Arc<Self>, sequence: u64) {
        let Some(Resting { mut connection, since }) = self.out(self.idle.take(sequence)) else {
            return;
        };
        match connection.rest_after_poll(sequence) {
            Ok(()) => self.insert(sequence, connection, since),
            Err(reason) => connection.discard(reason),
        }
    }

    /// Closes the connection that has been idle longest, if that is too long. False when there is none.
    pub(crate) fn reap_one(&self, now: Instant) -> bool {
        let expired = |resting: &Resting| self.is_expired(resting.since, now);
        self.close(self.idle.pop_oldest_if(expired), Reason::IdleTimeout)
    }

    /// Closes the connection that has been idle longest. False when there is none.
    pub(crate) fn evict_oldest(&self, reason: Reason) -> bool {
        self.close(self.idle.pop_oldest_if(|_| true), reason)
    }

    /// Why requests are refused here, if they are.
    pub(crate) fn is_refused(&self) -> Option<Error> {
        if self.shared().is_closed() {
            Some(Error::closed(&self.host.name))
        } else if self.host.is_retired() {
            Some(Error::retired(&self.host.name))
        } else {
            None
        }
    }

    /// Refuses all who wait and closes all that is idle, now that this has been decided.
    pub(crate) fn retire(&self) {
        while self.queue.waiting() > 0
            && let Some(error) = self.is_refused()
        {
            self.queue.offer(Err(error));
        }
        if let Some(reason) = self.closed_for() {
            self.clear(reason);
        }
    }

    /// Closes all that is idle.
    pub(crate) fn clear(&self, reason: Reason) {
        while self.close(self.idle.pop_newest(), reason) {}
    }

    fn close(&self, resting: Option<Resting>, reason: Reason) -> bool {
        match self.out(resting) {
            Some(resting) => {
                resting.connection.discard(reason);
                true
            }
            None => false,
        }
    }

    /// Counts what has left the idle store.
    fn out(&self, resting: Option<Resting>) -> Option<Resting> {
        if resting.is_some() {
            self.shared().remove_idle();
        }
        resting
    }

    pub(crate) fn oldest_idle(&self) -> Option<u64> {
        self.idle.oldest(|sequence, _| sequence)
    }

    /// When the connection that has been idle longest will have been so for too long.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let timeout = self.shared().settings.idle_timeout?;
        self.idle.oldest(|_, resting| resting.since)?.checked_add(timeout)
    }

    fn is_expired(&self, since: Instant, now: Instant) -> bool {
        let timeout = self.shared().settings.idle_timeout;
        timeout.is_some_and(|timeout| now.saturating_duration_since(since) >= timeout)
    }

    // Whether the lane stands in the line for the total limit, or in the ranking of idle connections.

    pub(crate) fn enter_line(&self) -> bool {
        !self.in_line.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn leave_line(&self) {
        self.in_line.store(false, Ordering::SeqCst);
    }

    pub(crate) fn enter_ranking(&self) -> bool {
        !self.in_ranking.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn leave_ranking(&self) {
        self.in_ranking.swap(false, Ordering::SeqCst);
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
