//! Which idle connection of all hosts has been idle longest.
//!
//! Kept only for pools with a limit on all connections or on all idle ones, and from the moment on when a dial has found
//! no descriptor left. A member is entered once, under a lower bound of the sequence of its oldest idle connection;
//! check-in writes nothing here as long as the member is entered at all. A bound is corrected when it comes to the top,
//! so an eviction costs the logarithm of the number of members, and the choice is exact.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use super::member::Member;
use crate::sync::Mutex;

#[derive(Default)]
pub(crate) struct LruIndex {
    // Sequences are drawn from one counter of the pool, so no two members have the same.
    members: Mutex<BTreeMap<u64, Weak<dyn Member>>>,
}

impl LruIndex {
    /// The member has idle connections, none of them older than `bound`.
    pub(crate) fn enter<M: Member + 'static>(&self, bound: u64, member: &Arc<M>) {
        if member.marks().enter_lru() {
            let member: Weak<M> = Arc::downgrade(member);
            self.members.lock().insert(bound, member);
        }
    }

    /// Closes the connection that has been idle longest of all. False if none is idle.
    ///
    /// A member stays entered as long as it has idle connections, so that a concurrent eviction does not miss them.
    pub(crate) fn evict(&self) -> bool {
        loop {
            let first = {
                let members = self.members.lock();
                members.first_key_value().map(|(bound, member)| (*bound, member.clone()))
            };
            let Some((bound, member)) = first else { return false };
            let Some(member) = member.upgrade() else {
                self.members.lock().remove(&bound);
                continue;
            };
            match member.oldest_idle() {
                // No other member has an older connection than the bound of the first.
                Some(oldest) if oldest <= bound => {
                    if member.evict_oldest() {
                        return true;
                    }
                }
                _ => self.correct(bound, &member),
            }
        }
    }

    /// Enters a member that stands under `bound` where it belongs, or nowhere if nothing is idle there.
    fn correct(&self, bound: u64, member: &Arc<dyn Member>) {
        let mut members = self.members.lock();
        if members.remove(&bound).is_some() {
            member.marks().leave_lru();
            // After leaving: a thread that stores another connection either sees that, or its connection is seen here.
            if let Some(oldest) = member.oldest_idle()
                && member.marks().enter_lru()
            {
                members.insert(oldest, Arc::downgrade(member));
            }
        }
    }

    /// Removes members of hosts that were forgotten.
    pub(crate) fn remove_gone(&self) {
        self.members.lock().retain(|_, member| member.strong_count() > 0);
    }
}

impl fmt::Debug for LruIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LruIndex").field("members", &self.members.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fake_member::FakeMember;

    #[tokio::test]
    async fn the_connection_that_has_been_idle_longest_of_all_is_evicted_first() {
        let lru = LruIndex::default();
        let members = [[1, 5], [2, 3], [4, 6]].map(FakeMember::with_idle);
        for member in &members {
            lru.enter(member.oldest_idle().unwrap(), member);
        }
        for evicted in 1..=6 {
            let oldest = members.iter().filter_map(|member| member.oldest_idle()).min();
            assert_eq!(oldest, Some(evicted));
            assert!(lru.evict());
        }
        assert!(!lru.evict());
    }

    #[tokio::test]
    async fn a_bound_that_has_become_too_low_is_corrected() {
        let lru = LruIndex::default();
        let [early, late] = [[1, 7], [4, 5]].map(FakeMember::with_idle);
        lru.enter(1, &early);
        lru.enter(4, &late);
        early.idle.lock().pop_front();
        assert!(lru.evict());
        assert_eq!((early.oldest_idle(), late.oldest_idle()), (Some(7), Some(5)));
    }

    #[tokio::test]
    async fn a_member_without_idle_connections_leaves_and_may_enter_again() {
        let lru = LruIndex::default();
        let member = FakeMember::with_idle([1]);
        lru.enter(1, &member);
        assert!(lru.evict() && !lru.evict());
        member.idle.lock().push_back(9);
        lru.enter(9, &member);
        assert!(lru.evict());
    }

    #[tokio::test]
    async fn a_member_that_has_gone_is_passed_over() {
        let lru = LruIndex::default();
        lru.enter(1, &FakeMember::with_idle([1]));
        let member = FakeMember::with_idle([2]);
        lru.enter(2, &member);
        lru.remove_gone();
        assert!(lru.evict() && !lru.evict());
    }
}
