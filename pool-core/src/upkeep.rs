//! What the watcher and the limits do to the connections at rest in a lane: look after, park, close.
//!
//! What must hold: each of these costs what it moves, not what rests here, and moves one connection at a time,
//! so that whoever calls it can yield in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use crate::error::Error;
use crate::lane::Lane;
use crate::resting::Resting;
use crate::stats::Reason;

impl Lane {
    /// Looks at an idle connection that has stirred: closes it, or lays it back where it was.
    pub(crate) fn look_after(self: &Arc<Self>, sequence: u64) {
        let Some(mut resting) = self.out(self.idle.take(sequence)) else { return };
        match resting.rest_after_poll(sequence) {
            Ok(()) => {
                self.lay_back(sequence, resting);
                self.serve_from_rest(Instant::now());
            }
            Err(reason) => {
                self.note_end_of_rest(&resting, reason);
                resting.discard(reason);
            }
        }
    }

    /// A connection that rested ends: its server may have shown for how long it keeps them.
    pub(crate) fn note_end_of_rest(&self, resting: &Resting, reason: Reason) {
        if reason == Reason::ClosedByPeer {
            let now = Instant::now();
            self.host.horizon.note_close(resting.age(now), now);
        }
    }

    /// Parks the connection that has been idle longest with its HTTP state, if that is long enough. False
    /// when there is none.
    pub(crate) fn park_one(self: &Arc<Self>, now: Instant) -> bool {
        let Some(park_after) = self.shared().settings.park_after else { return false };
        let due = |resting: &Resting| {
            !resting.is_parked() && now.saturating_duration_since(resting.since) >= park_after
        };
        let parked_up_to = self.parked_up_to.load(Ordering::Relaxed);
        let Some((sequence, resting)) = self.idle.pop_next_if(parked_up_to, due) else {
            return false;
        };
        self.parked_up_to.store(sequence, Ordering::Relaxed);
        if let Some(resting) = self.out(Some(resting)).and_then(|resting| resting.park(sequence)) {
            let multiplex = resting.multiplex().cloned();
            self.lay_back(sequence, resting);
            if let Some(multiplex) = multiplex.filter(|multiplex| multiplex.is_leaving()) {
                self.stop_using(&multiplex, Reason::ClosedByPeer);
            }
            self.serve_from_rest(now);
        }
        true
    }

    /// Closes the connection that has been idle longest, if that is too long. False when there is none.
    pub(crate) fn reap_one(&self, now: Instant) -> bool {
        let expired = |resting: &Resting| {
            let rested = resting.age(now);
            self.is_expired(rested) || resting.has_rested(rested)
        };
        self.close(self.idle.pop_oldest_if(expired), Reason::IdleTimeout)
    }

    /// Closes the connection that has been idle longest. False when there is none.
    pub(crate) fn evict_oldest(&self, reason: Reason) -> bool {
        self.close(self.idle.pop_oldest_if(|_| true), reason)
    }

    /// Why requests that come are refused here, if they are.
    #[inline]
    pub(crate) fn refusal(&self) -> Option<Error> {
        let (closed, retired) = (self.shared().is_closed(), self.host.is_retired());
        if closed || retired { Some(self.refuse(closed)) } else { None }
    }

    #[cold]
    fn refuse(&self, closed: bool) -> Error {
        let name = &self.host.name;
        if closed { Error::closed(name) } else { Error::retired(name) }
    }

    /// Refuses all who wait, unless only the address was retired: who had come before is served. Closes all that is
    /// idle.
    pub(crate) fn retire(&self) {
        let name = &self.host.name;
        let over = || {
            if self.shared().is_closed() {
                Some(Error::closed(name))
            } else {
                self.watcher.is_gone().then(|| Error::runtime_gone(name))
            }
        };
        while self.queue().waiting() > 0
            && let Some(error) = over()
        {
            self.queue().offer(Err(error));
        }
        if let Some(reason) = self.closed_for() {
            self.leave_all(reason);
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
                resting.discard(reason);
                true
            }
            None => false,
        }
    }

    pub(crate) fn oldest_idle(&self) -> Option<u64> {
        self.idle.oldest(|sequence, _| sequence)
    }

    /// When the next connection at rest will have been so for long enough to be closed or parked.
    pub(crate) fn next_pass(&self) -> Option<Instant> {
        let settings = &self.shared().settings;
        let expiry = self
            .idle_limit()
            .and_then(|timeout| self.idle.oldest(|_, resting| resting.since)?.checked_add(timeout));
        let parking = settings.park_after.and_then(|park_after| {
            let parked_up_to = self.parked_up_to.load(Ordering::Relaxed);
            self.idle.next_after(parked_up_to, |resting| resting.since)?.checked_add(park_after)
        });
        expiry.into_iter().chain(parking).min()
    }
}
