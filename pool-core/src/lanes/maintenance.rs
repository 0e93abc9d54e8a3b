//! What the watcher and the limits do to the idle connections of a lane: look after, park, close.
//!
//! What must hold: each of these costs what it moves, not what is idle here, and moves one connection at a time, so
//! that the caller can yield in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::idle_connection::IdleConnection;
use super::lane::Lane;
use super::watcher::Watched;
use crate::policy::{Member, Standing, Turn};
use crate::report::Reason;

/// So many connections that are set aside may stay beside those that are opened in their place: a server that is healthy,
/// but for one slow path, sees no more than a few connections too many.
const KEPT_ASIDE: usize = 8;

/// Between the dials for connections that are to be idle, if any is missing.
const REFILL_GAP: Duration = Duration::from_millis(500);

impl Watched for Lane {
    fn look_after(self: Arc<Self>, sequence: u64) {
        let Some(mut idle) = self.taken_out(self.idle.take(sequence)) else { return };
        match idle.look(sequence) {
            Ok(()) => {
                self.put_back(sequence, idle);
                self.serve_from_idle(Instant::now());
            }
            Err(reason) => {
                self.note_idle_end(&idle, reason);
                idle.discard(reason);
            }
        }
    }

    fn start_dials(self: Arc<Self>, turn: Turn) {
        self.marks().take_dial_request();
        self.dial(turn);
        // The request that it was told for may have left, and then the next in the limit queue has room.
        self.host().offer_room();
    }

    fn drop_dial_request(&self) {
        self.host().offer_room();
    }

    fn close_one_lost(&self) -> bool {
        if !self.host().doubts_idle() {
            return false;
        }
        let lost = |idle: &IdleConnection| idle.standing(self.host(), false) == Standing::Lost;
        self.close(self.idle.pop_oldest_if(lost), Reason::SiblingFailed)
    }

    fn close_one_gone(&self) -> bool {
        let gone_count = self.host().peers().gone_count();
        if self.gone_count.load(Ordering::Relaxed) == gone_count {
            return false;
        }
        let gone =
            |idle: &IdleConnection| idle.used_up(Instant::now()).1 == Some(Reason::AddressGone);
        let closed = self.close(self.idle.pop_first_if(gone), Reason::AddressGone);
        if !closed {
            self.gone_count.store(gone_count, Ordering::Relaxed);
        }
        closed
    }

    fn lend_again(self: Arc<Self>) {
        self.serve_from_idle(Instant::now());
    }

    fn reap_or_park_one(self: Arc<Self>, now: Instant) -> bool {
        self.close_one_lost()
            || self.reap_one(now)
            || self.reap_one_without_room(now)
            || self.park_one(now)
    }

    fn surplus(&self, now: Instant) -> usize {
        let Some(time) = self.settings().shrink_idle_after else { return 0 };
        let is_old = |idle: &IdleConnection| idle.idle_for(now) >= time;
        let beyond = self.idle().saturating_sub(self.settings().min_idle);
        // The store is in the order of check-ins.
        self.idle.count_oldest_while(is_old, beyond)
    }

    fn close_one_surplus(&self) -> bool {
        self.close_oldest(Reason::Surplus)
    }

    fn refill(self: Arc<Self>) {
        let wanted = self.settings().min_idle;
        if self.idle() >= wanted || self.is_http1_only() || self.settings().keeps_nothing() {
            return;
        }
        let is_shared = self.in_use.is_any() || self.shares() && self.idle() > 0;
        if is_shared || self.host().fails() || self.closed_for().is_some() || self.has_waiting() {
            return;
        }
        // What is stored beyond a limit would close another.
        if self.pool().is_full_of_idle() || self.host().is_full_of_idle() {
            return;
        }
        if !self.is_refill_due() {
            return;
        }
        // At times that differ, so that many pools do not dial at one instant; at once where the last one would be forgotten.
        let is_due = self.idle() == 0 || fastrand::bool();
        if is_due && self.host().has_room() && self.pool().has_room() {
            self.open_one_more();
        }
    }

    fn next_pass(&self) -> Option<Instant> {
        let expiry = self
            .host()
            .idle_limit()
            .and_then(|timeout| self.idle.oldest(|_, idle| idle.since())?.checked_add(timeout));
        let parking = self.settings().park_after.and_then(|park_after| {
            let parked_up_to = self.parked_up_to.load(Ordering::Relaxed);
            self.idle.next_after(parked_up_to, IdleConnection::since)?.checked_add(park_after)
        });
        expiry.into_iter().chain(parking).min()
    }

    fn relax(self: Arc<Self>, now: Instant) {
        self.host().relax(now);
        // Where every request finds an idle connection, no dial would.
        let host = self.host();
        if self.dialer().is_name()
            && host.has_connections()
            && host.peers().are_due_unasked(host.counters().requests(), now)
        {
            self.dialer().resolve(Arc::clone(&self));
        }
    }
}

impl Lane {
    /// Whether the last connection that was opened to be idle is some time ago, as many passes may be close to each other.
    fn is_refill_due(&self) -> bool {
        let mut last = self.last_refill.lock();
        let now = Instant::now();
        let is_due = last.is_none_or(|last| now.saturating_duration_since(last) >= REFILL_GAP);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    /// An idle connection ends: its server may have shown for how long it keeps them.
    pub(super) fn note_idle_end(&self, idle: &IdleConnection, reason: Reason) {
        if reason == Reason::ClosedByPeer {
            let now = Instant::now();
            self.host().note_idle_close(idle.idle_for(now), now);
        }
    }

    /// Parks the connection that has been idle longest with its HTTP state, if that is long enough. False when there is
    /// none.
    fn park_one(self: &Arc<Self>, now: Instant) -> bool {
        let Some(park_after) = self.settings().park_after else { return false };
        let due = |idle: &IdleConnection| !idle.is_parked() && idle.idle_for(now) >= park_after;
        let parked_up_to = self.parked_up_to.load(Ordering::Relaxed);
        let Some((sequence, idle)) = self.idle.pop_next_if(parked_up_to, due) else {
            return false;
        };
        self.parked_up_to.store(sequence, Ordering::Relaxed);
        if let Some(idle) = self.taken_out(Some(idle)).and_then(|idle| idle.park(sequence)) {
            let shared = idle.shared().cloned();
            self.put_back(sequence, idle);
            if let Some(connection) = shared.filter(|connection| connection.is_leaving()) {
                self.stop_using(&connection, Reason::ClosedByPeer);
            }
            self.serve_from_idle(now);
        }
        true
    }

    /// Closes the connection that has been idle longest, if that is too long. False when there is none.
    fn reap_one(&self, now: Instant) -> bool {
        let expired = |idle: &IdleConnection| {
            let idle_for = idle.idle_for(now);
            self.is_expired(idle_for) || idle.is_past_hint(idle_for)
        };
        self.close(self.idle.pop_oldest_if(expired), Reason::IdleTimeout)
    }

    /// Closes a shared connection on which its server allows no stream, and which has had none for too long. False when there
    /// is none.
    fn reap_one_without_room(&self, now: Instant) -> bool {
        if !self.in_use.is_any() {
            return false;
        }
        let limit = self.host().idle_limit();
        let expired = limit.and_then(|limit| self.in_use.lock().take_expired(limit, now));
        expired.map(|connection| connection.close(Reason::IdleTimeout)).is_some()
    }

    /// Closes the connection that has been idle longest, if more are set aside than are kept beside those that are
    /// opened meanwhile.
    pub(super) fn close_surplus_set_aside(&self) {
        if self.idle() > KEPT_ASIDE {
            let aside = |idle: &IdleConnection| idle.standing(self.host(), false) != Standing::Good;
            self.close(self.idle.pop_oldest_if(aside), Reason::SiblingFailed);
        }
    }

    /// Closes the connection that has been idle longest. False when there is none.
    pub(super) fn close_oldest(&self, reason: Reason) -> bool {
        self.close(self.idle.pop_oldest_if(|_| true), reason)
    }

    /// Closes the connection that has been idle longest, to any address, so that its descriptor can be used. False when
    /// there is none.
    pub(super) fn free_descriptor(&self) -> bool {
        if let Some(rounds) = self.watcher.rounds() {
            self.pool().start_ranking(|| rounds.rank_idle());
        }
        self.pool().lru.evict()
    }

    /// Enters the lane in the LRU index, if anything is idle here.
    pub(super) fn rank_idle(self: &Arc<Self>) {
        if let Some(oldest) = self.oldest_idle() {
            self.pool().lru.enter(oldest, self);
        }
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self, reason: Reason) {
        while self.close(self.idle.pop_newest(), reason) {}
    }

    fn close(&self, idle: Option<IdleConnection>, reason: Reason) -> bool {
        match self.taken_out(idle) {
            Some(idle) => {
                idle.discard(reason);
                true
            }
            None => false,
        }
    }
}
