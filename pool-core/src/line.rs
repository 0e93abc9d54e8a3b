//! The line for the total limit: lanes that the full pool has refused, in the order in which they came.
//!
//! A lane stays here until it has what it waits for, so that a newcomer cannot overtake. When there is room,
//! the heads of the line are called: of each runtime the first lane, because one runtime may stand still and
//! must not hold up the others. A head that has been called will look for itself when it comes; until then
//! nothing is closed on its account, so one that never comes costs nobody a connection.
//!
//! What must hold: while a head stands here that has not been called, nothing rests in the pool. Who joins,
//! or comes when called, says so and then looks for what rests; who lays a connection to rest looks here
//! afterwards. Likewise with room: who closes a connection counts it down and then looks here. One of the two
//! sees the other. The length stands beside the lock, so that both looks cost a load while nobody is here.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime;

use crate::lane::Lane;

#[derive(Debug, Default)]
pub(crate) struct Line {
    lanes: Mutex<VecDeque<Weak<Lane>>>,
    /// As many as stand in the line; changes with it, under its lock.
    length: AtomicUsize,
}

impl Line {
    /// Puts a lane at the end of the line; false if it stands there already.
    pub(crate) fn join(&self, lane: &Arc<Lane>) -> bool {
        // The lane's mark changes with the line, under its lock.
        let mut lanes = self.lanes();
        let joins = lane.standing.enter_line();
        if joins {
            lanes.push_back(Arc::downgrade(lane));
            self.length.store(lanes.len(), Ordering::SeqCst);
        }
        drop(lanes);
        // Before the look for room and for what rests.
        fence(Ordering::SeqCst);
        joins
    }

    pub(crate) fn leave(&self, lane: &Arc<Lane>) {
        if lane.standing.is_in_line() {
            let mut lanes = self.lanes();
            lane.standing.leave_line();
            // Those that were forgotten while they stood here go too.
            lanes.retain(|other| {
                other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(lane))
            });
            self.length.store(lanes.len(), Ordering::SeqCst);
        }
    }

    /// The first lane of each runtime; they stay until they have what they wait for.
    ///
    /// Lanes that want nothing any more, or cannot come, are sent away.
    pub(crate) fn heads(&self) -> Vec<Arc<Lane>> {
        let mut heads: Vec<Arc<Lane>> = Vec::new();
        for lane in self.all() {
            if !wants(&lane) {
                self.leave(&lane);
                // It may have begun to want while it was sent away, and then believes that it stands here.
                if !(wants(&lane) && self.join(&lane)) {
                    continue;
                }
            }
            if !heads.iter().any(|head| head.runtime() == lane.runtime()) {
                heads.push(lane);
            }
        }
        heads
    }

    /// Whether anybody waits here, so that a newcomer has to join.
    pub(crate) fn is_waiting(&self) -> bool {
        self.all().iter().any(wants)
    }

    /// Whether somebody other than `beside` waits here whose runtime has not been called yet.
    pub(crate) fn is_uncalled(&self, beside: *const Lane) -> bool {
        let mut called: Vec<runtime::Id> = Vec::new();
        for lane in self.all() {
            if !wants(&lane) || called.contains(&lane.runtime()) {
                continue;
            }
            if lane.standing.is_called() {
                called.push(lane.runtime());
            } else if Arc::as_ptr(&lane) != beside {
                return true;
            }
        }
        false
    }

    /// Out of the lock before they are dropped, which may close connections.
    fn all(&self) -> Vec<Arc<Lane>> {
        // After what the caller has done that those here may wait for.
        fence(Ordering::SeqCst);
        if self.length.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        self.lanes().iter().filter_map(Weak::upgrade).collect()
    }

    fn lanes(&self) -> MutexGuard<'_, VecDeque<Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody waits in the lane without a dial on their account, and can be helped.
fn wants(lane: &Arc<Lane>) -> bool {
    !lane.watcher.is_gone() && lane.queue().wants_dial()
}
