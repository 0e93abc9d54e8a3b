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
    pub(crate) fn evict(&self) -> bool {
        loop {
            let Some((bound, lane)) = self.lanes().pop_first() else { return false };
            let Some(lane) = lane.upgrade() else { continue };
            lane.standing.leave_ranking();
            match lane.oldest_idle() {
                // Nobody's oldest is older than the bound of the first.
                Some(oldest) if oldest <= bound => {
                    let evicted = lane.evict_oldest(Reason::Evicted);
                    if let Some(next) = lane.oldest_idle() {
                        self.enter(next, &lane);
                    }
                    if evicted {
                        return true;
                    }
                }
                Some(oldest) => self.enter(oldest, &lane),
                None => {}
            }
        }
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<u64, Weak<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
