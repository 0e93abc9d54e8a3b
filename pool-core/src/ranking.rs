//! Which idle connection of all hosts has been idle longest.
//!
//! Kept only for pools with a limit on all connections or on all idle ones. A lane stands here once, under a
//! lower bound of the sequence of its oldest idle connection; nothing is written at check-in as long as the
//! lane stands here at all. Bounds are put right when they come to the top, so an eviction costs the
//! logarithm of the number of lanes, and the choice is exact.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::lane::Lane;
use crate::stats::Reason;

#[derive(Debug, Default)]
pub(crate) struct Ranking {
    // Sequences are of the whole pool, so no two lanes have the same.
    lanes: Mutex<BTreeMap<u64, Weak<Lane>>>,
}

impl Ranking {
    /// The lane has idle connections, the oldest of them not older than `bound`.
    pub(crate) fn enter(&self, bound: u64, lane: &Arc<Lane>) {
        if lane.standing.enter_ranking() {
            self.lanes().insert(bound, Arc::downgrade(lane));
        }
    }

    /// Closes the connection that has been idle longest of all. False if none is idle.
    ///
    /// A lane stays here as long as it has idle connections, so that nobody who looks meanwhile misses them.
    pub(crate) fn evict(&self) -> bool {
        loop {
            let first = self.lanes().first_key_value().map(|(bound, lane)| (*bound, lane.clone()));
            let Some((bound, lane)) = first else { return false };
            let Some(lane) = lane.upgrade() else {
                self.lanes().remove(&bound);
                continue;
            };
            match lane.oldest_idle() {
                // Nobody's oldest is older than the bound of the first.
                Some(oldest) if oldest <= bound => {
                    if lane.evict_oldest(Reason::Evicted) {
                        return true;
                    }
                }
                _ => self.put_right(bound, &lane),
            }
        }
    }

    /// Gives a lane that stands under `bound` its right place, or none if nothing is idle there.
    fn put_right(&self, bound: u64, lane: &Arc<Lane>) {
        let mut lanes = self.lanes();
        if lanes.remove(&bound).is_some() {
            lane.standing.leave_ranking();
            // After leaving: who lays down another either sees that, or is seen here.
            if let Some(oldest) = lane.oldest_idle()
                && lane.standing.enter_ranking()
            {
                lanes.insert(oldest, Arc::downgrade(lane));
            }
        }
    }

    /// Lets go of the lanes of hosts that were forgotten.
    pub(crate) fn forget_gone(&self) {
        self.lanes().retain(|_, lane| lane.strong_count() > 0);
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
