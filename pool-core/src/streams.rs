//! What a lane does with HTTP/2 connections: lends streams, busiest first, and lays to rest what has none.
//!
//! What must hold: a connection that is in use stands in the list, one that rests in the idle store, and one
//! that is leaving in neither. Whoever frees a stream, or learns of more, looks for waiters afterwards; who
//! waits has joined before looking for a stream.

use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::lane::Lane;
use crate::lent::Lent;
use crate::multiplex::{Multiplex, Slot};
use crate::resting::Resting;
use crate::stats::Reason;

/// The HTTP/2 connections of a lane that are in use.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    list: Mutex<Vec<Arc<Multiplex>>>,
    /// The length of the list; read without the lock on the way of every request.
    length: AtomicUsize,
}

impl InUse {
    fn list(&self) -> List<'_> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        List { list, length: &self.length }
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.length.load(Ordering::SeqCst) > 0
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.list().list.iter().map(|multiplex| multiplex.open()).sum()
    }
}

/// The list, locked; tells its length when it is let go.
struct List<'l> {
    list: MutexGuard<'l, Vec<Arc<Multiplex>>>,
    length: &'l AtomicUsize,
}

impl List<'_> {
    fn remove(&mut self, multiplex: &Arc<Multiplex>) {
        self.list.retain(|other| !Arc::ptr_eq(other, multiplex));
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        self.length.store(self.list.len(), Ordering::SeqCst);
    }
}

impl Lane {
    /// A stream of the busiest connection that has room, so that those that are needed no more come to rest.
    pub(crate) fn take_stream(
        self: &Arc<Self>,
        suits: impl Fn(&Multiplex) -> bool,
    ) -> Option<Slot> {
        if !self.in_use.is_any() {
            return None;
        }
        let now = Instant::now();
        // A connection that is always in use never rests, and so would never make room for anybody.
        let mut makes_way = self.must_make_way().then_some(Reason::Evicted);
        let list = self.in_use.list();
        let mut worn_out = Vec::new();
        let slot = loop {
            let fits = |multiplex: &&Arc<Multiplex>| multiplex.has_room() && suits(multiplex);
            let Some(busiest) = list.list.iter().filter(fits).max_by_key(|other| other.open())
            else {
                break None;
            };
            match busiest.worn_out(self.shared(), now).or_else(|| makes_way.take()) {
                None => break Some(Slot::take(busiest, self, Duration::ZERO)),
                Some(reason) => {
                    busiest.leave(reason);
                    worn_out.push(Arc::clone(busiest));
                }
            }
        };
        drop(list);
        for multiplex in worn_out {
            self.in_use.list().remove(&multiplex);
        }
        slot
    }

    /// Uses a connection that has rested, if its server still allows streams.
    #[inline(never)]
    pub(crate) fn use_rested(
        self: &Arc<Self>,
        multiplex: &Arc<Multiplex>,
        rested: Duration,
    ) -> Option<Slot> {
        if multiplex.is_leaving() {
            multiplex.close(Reason::ClosedByPeer);
        } else if !multiplex.has_room() {
            multiplex.close(Reason::Unsuitable);
        } else {
            return Some(self.use_multiplex(multiplex, rested));
        }
        None
    }

    /// Uses a connection that was just opened, or has rested for `idle_for`.
    pub(crate) fn use_multiplex(
        self: &Arc<Self>,
        multiplex: &Arc<Multiplex>,
        idle_for: Duration,
    ) -> Slot {
        let mut list = self.in_use.list();
        let slot = Slot::take(multiplex, self, idle_for);
        if !multiplex.is_leaving() {
            list.list.push(Arc::clone(multiplex));
        }
        slot
    }

    /// Lends a stream to who has waited longest; to nobody if nobody wants it.
    pub(crate) fn lend(self: &Arc<Self>, slot: Slot) {
        if let Some(Ok(back)) = self.queue().offer(Ok(Lent::Stream(Box::new(slot)))) {
            back.give_back();
        }
    }

    /// Lends streams to those who wait.
    pub(crate) fn serve_streams(self: &Arc<Self>) {
        fence(Ordering::SeqCst);
        // Looked at before a stream is taken, because to give one back is to come here again.
        while self.queue().waiting() > 0
            && let Some(slot) = self.take_stream_for_waiter()
        {
            self.lend(slot);
        }
    }

    fn take_stream_for_waiter(self: &Arc<Self>) -> Option<Slot> {
        if self.queue().wants_idle() {
            return self.take_stream(|_| true);
        }
        // All of them want a fresh one.
        self.take_stream(Multiplex::is_fresh)
    }

    /// A stream has ended, or was not used after all.
    pub(crate) fn stream_ended(self: &Arc<Self>, multiplex: &Arc<Multiplex>) {
        self.rest_if(multiplex, Slot::give_back);
    }

    /// The dial of a connection has ended: from here on it may come to rest.
    pub(crate) fn dial_settled(self: &Arc<Self>, multiplex: &Arc<Multiplex>) {
        // Who has waited for this comes first.
        self.serve_streams();
        self.rest_if(multiplex, Multiplex::end_settling);
    }

    /// Lays a connection to rest if it is in use no more, which is asked under the lock of the list.
    fn rest_if(
        self: &Arc<Self>,
        multiplex: &Arc<Multiplex>,
        is_unused: impl FnOnce(&Multiplex) -> bool,
    ) {
        let mut list = self.in_use.list();
        let rests = is_unused(multiplex);
        if rests {
            list.remove(multiplex);
        }
        drop(list);
        if rests && !multiplex.is_leaving() {
            self.lay_multiplex_to_rest(multiplex, Instant::now());
        }
        self.serve_streams();
    }

    fn lay_multiplex_to_rest(self: &Arc<Self>, multiplex: &Arc<Multiplex>, now: Instant) {
        let unfit = multiplex.worn_out(self.shared(), now).or_else(|| self.closed_for());
        if let Some(reason) = unfit {
            return multiplex.close(reason);
        }
        if self.shared().settings.keeps_nothing() {
            return multiplex.close(Reason::Evicted);
        }
        let sequence = self.shared().next_sequence();
        multiplex.rest(sequence);
        self.lay_down(sequence, Resting::multiplexed(Arc::clone(multiplex), now));
        // Its task may have found out before it could be found here.
        if multiplex.is_leaving() {
            self.stop_using(multiplex, Reason::ClosedByPeer);
        }
        self.keep_idle_limit();
        self.serve_from_rest(now);
    }

    /// The connection takes no further stream; those that are open go on.
    pub(crate) fn stop_using(&self, multiplex: &Arc<Multiplex>, reason: Reason) {
        multiplex.leave(reason);
        self.in_use.list().remove(multiplex);
        let resting = self.out(self.idle.take(multiplex.sequence()));
        if let Some(resting) = resting {
            self.note_end_of_rest(&resting, reason);
            resting.discard(reason);
        }
    }

    /// Has every connection that is in use end with its last stream.
    pub(crate) fn leave_all(&self, reason: Reason) {
        let all = std::mem::take(&mut *self.in_use.list().list);
        for multiplex in all {
            multiplex.leave(reason);
        }
    }
}
