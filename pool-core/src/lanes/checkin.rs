//! Check in: a connection that comes back goes to a waiter, or becomes idle.
//!
//! What must hold: no connection stays idle while a waiter would take it; announce-then-check with `WaitQueue::join`.
//!
//! Every connection comes this way after every request. What all of them need is inlined into one function, because
//! each call costs as much as a step; what few of them need stands out of line.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use super::checkout::Trust;
use super::idle_connection::IdleConnection;
use super::lane::Lane;
use super::lease::{ConnectionLease, Lease};
use super::wants::Offered;
use crate::conn::http1;
use crate::policy::{Member, Standing, Turn};
use crate::report::{Error, Reason};

/// How many connections an address hands on to its own waiters while a limit keeps another address waiting: enough that
/// connections are used, and few enough that the other address has its turn soon.
const HANDED_ON: usize = 16;

impl Lane {
    /// Takes back a connection whose message has ended, or that was not used.
    pub(super) fn checkin(self: &Arc<Self>, connection: Box<http1::Connection>) {
        self.checkin_at(connection, Instant::now());
    }

    /// As [`checkin`](Self::checkin), at this moment.
    #[inline(always)]
    pub(super) fn checkin_at(
        self: &Arc<Self>,
        mut connection: Box<http1::Connection>,
        now: Instant,
    ) {
        if connection.is_held() {
            match self.send_home(connection, now) {
                Some(back) => connection = back,
                None => return,
            }
        }
        // A connection that was opened for a request serves it, however short its life is to be.
        let unfit = if connection.is_fresh() {
            None
        } else if let Some(reason) = connection.last_use() {
            Some(reason)
        } else {
            let core = connection.core();
            self.unfit((core.uses(), core.used_up(now)), now)
        };
        let unfit = unfit.or_else(|| self.lost_unused(&connection));
        let closed = self.closed_for();
        let waits = self.queue.waiting() > 0;
        // A request that waited when the address was retired is served all the same.
        let last_served = closed == Some(Reason::Retired) && waits;
        if let Some(reason) = unfit.or(closed.filter(|_| !last_served)) {
            return connection.discard(reason);
        }
        if waits {
            return self.hand_on_or_store(connection, now);
        }
        self.store_http1(connection, now);
        self.serve_from_idle(now);
    }

    /// Gives a connection back to its holder; back if it has none any more, or its address takes no requests.
    #[cold]
    fn send_home(
        &self,
        mut connection: Box<http1::Connection>,
        now: Instant,
    ) -> Option<Box<http1::Connection>> {
        if self.closed_for().is_some() && !connection.is_detached() {
            connection.forget_holder();
            return Some(connection);
        }
        // It rests from here on.
        connection.handed_on(now);
        connection.go_home()
    }

    /// Why a connection that comes back without having carried a request must close, though another with its rest would
    /// only be set aside: it would pass for one that has just answered.
    #[inline]
    fn lost_unused(&self, connection: &http1::Connection) -> Option<Reason> {
        if connection.has_sent() || !self.host().doubts_idle() {
            return None;
        }
        let standing =
            |since| self.host().standing(connection.id(), since, false) != Standing::Good;
        connection.idle_since().is_some_and(standing).then_some(Reason::SiblingFailed)
    }

    /// Requests wait: the first that accepts the connection gets it.
    #[inline(never)]
    fn hand_on_or_store(self: &Arc<Self>, mut connection: Box<http1::Connection>, now: Instant) {
        connection.handed_on(now);
        let lease = ConnectionLease::new(connection, Arc::clone(self));
        if let Some(lease) = self.hand_on(Lease::Connection(lease)) {
            self.take_back(lease, now);
            self.serve_from_idle(now);
        }
    }

    /// No waiter accepts it.
    fn take_back(self: &Arc<Self>, lease: Lease, now: Instant) {
        match (lease, self.closed_for()) {
            (Lease::Connection(lease), None) => self.store_http1(lease.into_connection(), now),
            // Before it is stored, where it could be one too many for a connection of another address.
            (Lease::Connection(lease), Some(reason)) => lease.discard(reason),
            (Lease::Stream(stream), _) => drop(stream),
        }
    }

    /// Gives a lease to the request that has waited longest and accepts it; back if there is none.
    fn hand_on(self: &Arc<Self>, lease: Lease) -> Option<Lease> {
        if self.queue.waiting() == 0 {
            return Some(lease);
        }
        if self.count_and_must_make_way() {
            // Its place goes to the first of the limit queue, and the waiters here join the end of that queue.
            lease.discard(Reason::Evicted);
            Arc::clone(self).request_dial(Turn::Own);
            return None;
        }
        self.offer(lease)
    }

    /// Offers a lease to the waiters; back if none accepts it.
    pub(super) fn offer(self: &Arc<Self>, lease: Lease) -> Option<Lease> {
        let offered = lease.offered();
        let back = self.queue.offer(Ok(lease), offered);
        // A dial that is about to open its connection goes on, unless a limit wants its place.
        if back.is_none() {
            self.offer_left_behind();
        }
        back?.ok()
    }

    /// Fails the request that has waited longest.
    pub(super) fn fail_one(&self, error: Error) {
        self.queue.offer(Err(error), Offered::End);
    }

    /// Whether a limit keeps a request waiting, at another address, in another runtime, or here for a fresh connection,
    /// and has done so while enough connections were handed on.
    pub(super) fn count_and_must_make_way(self: &Arc<Self>) -> bool {
        let wanted = self.settings().limits_connections()
            && (self.pool().limit_queue.has_untold(Some(&**self))
                || self.host().is_wanted_beside(&**self)
                || self.must_make_room());
        if !wanted {
            self.handed_on.store(0, Ordering::Relaxed);
            return false;
        }
        let enough = self.handed_on.fetch_add(1, Ordering::Relaxed) >= HANDED_ON;
        if enough {
            self.handed_on.store(0, Ordering::Relaxed);
        }
        enough
    }

    /// Serves waiters from idle connections, and makes way for requests that a limit keeps waiting elsewhere.
    ///
    /// Called after a connection was stored: a request may have joined before the connection could be seen.
    #[inline]
    pub(super) fn serve_from_idle(self: &Arc<Self>, now: Instant) {
        fence(Ordering::SeqCst);
        if self.queue.waiting() > 0 {
            self.serve_waiting(now);
        }
        if self.settings().limits_connections() {
            self.make_way();
        }
    }

    /// Gives idle connections to the waiters that accept one.
    #[inline(never)]
    fn serve_waiting(self: &Arc<Self>, now: Instant) {
        while (self.idle() > 0 || self.in_use.is_any())
            && self.queue.wants_idle()
            && let Ok(newest) = Arc::clone(self).take_newest(now, Trust::of(self.host(), || false))
        {
            if let Some(back) = self.hand_on(newest) {
                // The waiter has left. Another may have joined while the connection was out of the store.
                self.take_back(back, now);
                fence(Ordering::SeqCst);
            }
        }
    }

    /// Closes an idle connection, if a limit keeps a request waiting for its place.
    fn make_way(self: &Arc<Self>) {
        if self.idle() == 0 {
            return;
        }
        self.host().changes().tell();
        if self.must_make_room() || self.host().is_wanted_beside(&**self) {
            self.close_oldest(Reason::Evicted);
        } else {
            self.pool().make_way();
        }
    }

    /// Whether a request here waits for a fresh connection, for which a limit leaves no room.
    fn must_make_room(&self) -> bool {
        self.queue.wants_fresh()
            && !(self.host().has_room() && self.pool().has_room())
            && self.wants_dial()
    }

    #[inline(always)]
    fn store_http1(self: &Arc<Self>, mut connection: Box<http1::Connection>, now: Instant) {
        if self.settings().keeps_nothing() {
            return connection.discard(Reason::Evicted);
        }
        if connection.core().is_past_hint(Duration::ZERO) {
            return connection.discard(Reason::IdleTimeout);
        }
        let sequence = self.pool().next_sequence();
        match connection.become_idle(sequence) {
            Ok(()) => self.store(sequence, IdleConnection::http1(connection, now)),
            Err(reason) => return connection.discard(reason),
        }
        self.keep_max_idle();
    }

    #[inline]
    pub(super) fn keep_max_idle(&self) {
        if let Some(limit) = self.settings().max_idle_per_address
            && self.host().idle() > limit
            && !self.close_oldest(Reason::Evicted)
        {
            self.host().evict();
        }
    }

    /// Stores the newest idle connection.
    #[inline(always)]
    pub(super) fn store(self: &Arc<Self>, sequence: u64, idle: IdleConnection) {
        let too_many = self.count_in(&idle);
        self.idle.push(sequence, idle, IdleConnection::can_be_found);
        self.stored(sequence, too_many);
    }

    /// Puts an idle connection back to where it was.
    pub(super) fn put_back(self: &Arc<Self>, sequence: u64, idle: IdleConnection) {
        let too_many = self.count_in(&idle);
        self.idle.put_back(sequence, idle, IdleConnection::can_be_found);
        self.stored(sequence, too_many);
    }

    /// Counts a connection that is about to be stored; true if that is one too many.
    #[inline(always)]
    fn count_in(&self, idle: &IdleConnection) -> bool {
        if idle.is_parked() {
            self.parked.fetch_add(1, Ordering::Relaxed);
        }
        self.pool().add_idle()
    }

    /// A connection that was stored can be found now.
    #[inline(always)]
    fn stored(self: &Arc<Self>, sequence: u64, too_many: bool) {
        // Announce-then-check: a thread that closes the pool, or a runtime that goes, empties the lane after setting
        // its flag, and this checks the flags after storing. One of the two finds the connection.
        if let Some(reason) = self.closed_for() {
            return self.close_idle(reason);
        }
        if self.pool().ranks_idle() {
            self.pool().lru.enter(sequence, self);
        }
        if too_many {
            self.pool().lru.evict();
        }
    }
}
