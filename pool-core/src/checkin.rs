//! What becomes of a connection that comes home: it goes to who waits, or to rest.
//!
//! What must hold: while anybody waits who would take it nothing stays at rest. Who lays a connection to rest looks
//! for waiters afterwards; who joins the queue looks for connections afterwards. One of the two sees the other.
//!
//! Every connection comes this way after every request: what all of them need is inlined into one function, because
//! each call costs as much as a step, and what few of them need stands out of line.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;
use crate::lane::Lane;
use crate::lease::Lease;
use crate::lent::Lent;
use crate::resting::Resting;
use crate::stats::Reason;
use crate::waiting::Turn;

/// So many connections an address hands on to its own waiters while another waits for the total limit: enough
/// that connections are used, and few enough that the other has its turn soon.
const HANDED_ON: usize = 16;

impl Lane {
    /// Takes back a connection whose message has ended, or that nobody has used yet.
    pub(crate) fn checkin(self: &Arc<Self>, connection: Box<Connection>) {
        let now = Instant::now();
        // One that was opened for somebody serves them, however short its life is to be.
        let unfit = if connection.is_fresh() {
            None
        } else if connection.last_use {
            Some(connection.ended_for())
        } else {
            self.unfit(connection.kept(), now)
        };
        let closed = self.closed_for();
        let waits = self.queue().waiting() > 0;
        // Who waited when the address was retired is served all the same.
        let last_served = closed == Some(Reason::Retired) && waits;
        if let Some(reason) = unfit.or(closed.filter(|_| !last_served)) {
            return connection.discard(reason);
        }
        if waits {
            return self.hand_on_or_rest(connection, now);
        }
        self.lay_to_rest(connection, now);
        self.serve_from_rest(now);
    }

    /// Somebody waits, who is to have it if they would take it.
    #[inline(never)]
    fn hand_on_or_rest(self: &Arc<Self>, connection: Box<Connection>, now: Instant) {
        let lease = Lease::new(connection, Arc::clone(self));
        if let Some(lent) = self.hand_on(Lent::Connection(lease)) {
            self.take_back(lent, now);
            self.serve_from_rest(now);
        }
    }

    /// Nobody who waits would take it.
    fn take_back(self: &Arc<Self>, lent: Lent, now: Instant) {
        match (lent, self.closed_for()) {
            (Lent::Connection(lease), None) => self.lay_to_rest(lease.connection, now),
            // Before it is laid down, where it could be one too many for a connection of another address.
            (Lent::Connection(lease), Some(reason)) => lease.discard(reason),
            (Lent::Stream(slot), _) => drop(slot),
        }
    }

    /// Gives a connection to the one who has waited longest; back if nobody waits.
    fn hand_on(self: &Arc<Self>, lent: Lent) -> Option<Lent> {
        if self.queue().waiting() == 0 {
            return Some(lent);
        }
        if self.must_make_way() {
            // Its place goes to the head of the line, and those who wait here join its end.
            lent.discard(Reason::Evicted);
            Arc::clone(self).call_dial(Turn::Own);
            return None;
        }
        match self.queue().offer(Ok(lent)) {
            Some(Ok(back)) => Some(back),
            _ => None,
        }
    }

    /// Whether somebody whom a limit keeps waiting, at another address, in another runtime, or here for a fresh
    /// connection, has done so while connections were handed on for long enough.
    pub(crate) fn must_make_way(self: &Arc<Self>) -> bool {
        let wanted = self.shared().line.is_uncalled(Arc::as_ptr(self))
            || self.host.is_wanted_beside(self)
            || self.must_make_room();
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

    /// Serves who waits from what rests, and makes way for those whom a limit keeps waiting elsewhere.
    ///
    /// Whoever lays a connection to rest does this afterwards: somebody may have joined before the
    /// connection could be seen.
    #[inline]
    pub(crate) fn serve_from_rest(self: &Arc<Self>, now: Instant) {
        fence(Ordering::SeqCst);
        if self.queue().waiting() > 0 {
            self.serve_waiting(now);
        }
        if self.shared().settings.limits_connections() {
            self.make_way();
        }
    }

    /// Gives what rests to those who wait and would take it.
    #[inline(never)]
    fn serve_waiting(self: &Arc<Self>, now: Instant) {
        while self.queue().wants_idle()
            && let Some(newest) = Arc::clone(self).take_newest(now)
        {
            if let Some(back) = self.hand_on(newest) {
                self.take_back(back, now);
                break;
            }
        }
    }

    /// Closes a connection that rests, if a limit keeps somebody waiting for its place.
    fn make_way(self: &Arc<Self>) {
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
        self.queue().wants_fresh()
            && !(self.host.has_room() && self.shared().has_room())
            && self.queue().wants_dial()
    }

    #[inline(always)]
    fn lay_to_rest(self: &Arc<Self>, mut connection: Box<Connection>, now: Instant) {
        if self.shared().settings.keeps_nothing() {
            return connection.discard(Reason::Evicted);
        }
        if connection.kept().has_rested(Duration::ZERO) {
            return connection.discard(Reason::IdleTimeout);
        }
        let sequence = self.shared().next_sequence();
        match connection.rest(sequence) {
            Ok(()) => self.lay_down(sequence, Resting::new(connection, now)),
            Err(reason) => return connection.discard(reason),
        }
        self.keep_idle_limit();
    }

    #[inline]
    pub(crate) fn keep_idle_limit(&self) {
        if let Some(limit) = self.shared().settings.max_idle_per_address
            && self.host.idle() > limit
            && !self.evict_oldest(Reason::Evicted)
        {
            self.host.evict();
        }
    }

    /// Adds the newest connection to those at rest.
    #[inline(always)]
    pub(crate) fn lay_down(self: &Arc<Self>, sequence: u64, resting: Resting) {
        let too_many = self.count_in(&resting);
        self.idle.push(sequence, resting, Resting::found);
        self.laid(sequence, too_many);
    }

    /// Lays a connection back to where it was.
    pub(crate) fn lay_back(self: &Arc<Self>, sequence: u64, resting: Resting) {
        let too_many = self.count_in(&resting);
        self.idle.put_back(sequence, resting, Resting::found);
        self.laid(sequence, too_many);
    }

    /// Counts what is about to rest here; true if that is one too many.
    fn count_in(&self, resting: &Resting) -> bool {
        if resting.is_parked() {
            self.parked.fetch_add(1, Ordering::Relaxed);
        }
        self.shared().add_idle()
    }

    /// What was laid down can be found now.
    #[inline(always)]
    fn laid(self: &Arc<Self>, sequence: u64, too_many: bool) {
        // Whoever closes the pool or loses the runtime empties the lane after saying so, and this looks
        // after filling it: one of the two finds the connection.
        if let Some(reason) = self.closed_for() {
            return self.clear(reason);
        }
        if self.shared().settings.ranks_idle() {
            self.shared().ranking.enter(sequence, self);
        }
        if too_many {
            self.shared().ranking.evict();
        }
    }
}
