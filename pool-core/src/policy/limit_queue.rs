//! Members that the total limit keeps waiting, first in, first out.
//!
//! A member stays here until it has what it waits for, so that a newcomer cannot overtake it. When there is room, the
//! first member of each runtime is told: one runtime may stand still, and must not block the others. A member that was
//! told checks for itself when its watcher runs; until then nothing is closed on its account, so a member that never
//! comes costs no connection.
//!
//! What must hold: while a member waits here that has not been told, no connection stays idle in the pool. This is
//! announce-then-check: a member joins, or takes the request for a dial, and then checks what is idle; a connection is
//! stored as idle, and then its lane checks this queue. Likewise with room: a connection that closes is counted down,
//! and then its permit checks this queue. The length stands beside the lock, so that both checks cost a load while
//! nothing waits here.

use std::collections::VecDeque;
use std::fmt;
use std::ptr::addr_eq;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};

use tokio::runtime::Id;

use super::member::Member;
use crate::sync::Mutex;

#[derive(Default)]
pub(crate) struct LimitQueue {
    members: Mutex<VecDeque<Weak<dyn Member>>>,
    /// How many members wait; changes with the queue, under its lock.
    length: AtomicUsize,
}

impl LimitQueue {
    /// Puts a member at the end of the queue; false if it is there already.
    pub(crate) fn join(&self, member: &Arc<dyn Member>) -> bool {
        // The mark changes with the queue, under its lock.
        let mut members = self.members.lock();
        let joins = member.marks().enter_limit_queue();
        if joins {
            members.push_back(Arc::downgrade(member));
            self.length.store(members.len(), Ordering::SeqCst);
        }
        drop(members);
        // Before the check for room and for idle connections.
        fence(Ordering::SeqCst);
        joins
    }

    pub(crate) fn leave(&self, member: &dyn Member) {
        if member.marks().is_in_limit_queue() {
            let mut members = self.members.lock();
            member.marks().leave_limit_queue();
            // Members that were dropped while they waited go too.
            members.retain(|other| other.strong_count() > 0 && !addr_eq(other.as_ptr(), member));
            self.length.store(members.len(), Ordering::SeqCst);
        }
    }

    /// The first member of each runtime. They stay until they have what they wait for.
    ///
    /// Members that want nothing any more, or whose runtime has gone, leave.
    pub(super) fn first_of_each_runtime(&self) -> Vec<Arc<dyn Member>> {
        let mut first: Vec<Arc<dyn Member>> = Vec::new();
        for member in self.all() {
            if !wants(&*member) {
                self.leave(&*member);
                // It may have begun to want while it was removed, and then believes that it waits here.
                if !(wants(&*member) && self.join(&member)) {
                    continue;
                }
            }
            if !first.iter().any(|other| other.runtime().id() == member.runtime().id()) {
                first.push(member);
            }
        }
        first
    }

    /// Whether a member waits here, so that a newcomer has to join.
    pub(crate) fn is_waiting(&self) -> bool {
        self.all().iter().any(|member| wants(&**member))
    }

    /// Whether a member other than `beside` waits here whose runtime has not been told to dial yet.
    pub(crate) fn has_untold(&self, beside: Option<&dyn Member>) -> bool {
        let mut told: Vec<Id> = Vec::new();
        for member in self.all() {
            let runtime = member.runtime().id();
            if !wants(&*member) || told.contains(&runtime) {
                continue;
            }
            if member.marks().is_dial_requested() {
                told.push(runtime);
            } else if !beside.is_some_and(|beside| addr_eq(Arc::as_ptr(&member), beside)) {
                return true;
            }
        }
        false
    }

    /// Out of the lock before they are dropped, which may close connections.
    fn all(&self) -> Vec<Arc<dyn Member>> {
        // After what the caller has done that members here may wait for.
        fence(Ordering::SeqCst);
        if self.length.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// Whether a request waits in the member without a dial on its account, and can be helped.
fn wants(member: &dyn Member) -> bool {
    !member.runtime().is_gone() && member.wants_dial()
}

impl fmt::Debug for LimitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitQueue").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fake_member::FakeMember;
    use crate::policy::runtime::Runtime;

    fn joined(queue: &LimitQueue, member: &Arc<FakeMember>) -> bool {
        let member: Arc<dyn Member> = member.clone();
        queue.join(&member)
    }

    fn is_first(queue: &LimitQueue, member: &Arc<FakeMember>) -> bool {
        let first = queue.first_of_each_runtime();
        first.iter().any(|first| addr_eq(Arc::as_ptr(first), Arc::as_ptr(member)))
    }

    #[tokio::test]
    async fn the_member_that_joined_first_is_first_until_it_leaves() {
        let queue = LimitQueue::default();
        let [first, second] = [FakeMember::waiting(), FakeMember::waiting()];
        assert!(joined(&queue, &first) && joined(&queue, &second));
        assert!(!joined(&queue, &first), "it waits there already");
        assert_eq!((is_first(&queue, &first), is_first(&queue, &second)), (true, false));
        queue.leave(&*first);
        assert_eq!((is_first(&queue, &first), is_first(&queue, &second)), (false, true));
    }

    #[tokio::test]
    async fn each_runtime_has_a_first_member() {
        let queue = LimitQueue::default();
        let here = FakeMember::waiting();
        let elsewhere = std::thread::spawn(|| {
            let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
            FakeMember::in_runtime(&Arc::new(Runtime::new(other.handle().id())))
        });
        let elsewhere = elsewhere.join().unwrap();
        joined(&queue, &here);
        joined(&queue, &elsewhere);
        assert_eq!(queue.first_of_each_runtime().len(), 2);
    }

    #[tokio::test]
    async fn a_member_that_wants_nothing_any_more_leaves() {
        let queue = LimitQueue::default();
        let member = FakeMember::waiting();
        joined(&queue, &member);
        assert!(queue.is_waiting() && queue.has_untold(None));
        member.wants.store(false, Ordering::SeqCst);
        assert!(!queue.is_waiting());
        assert!(queue.first_of_each_runtime().is_empty());
        assert!(joined(&queue, &member), "it has left");
    }

    #[tokio::test]
    async fn nothing_closes_for_a_member_that_was_told_or_asks_itself() {
        let queue = LimitQueue::default();
        let member = FakeMember::waiting();
        joined(&queue, &member);
        assert!(!queue.has_untold(Some(&*member)));
        Arc::clone(&member).request_dial(crate::policy::member::Turn::Granted);
        assert!(!queue.has_untold(None));
        member.marks().take_dial_request();
        assert!(queue.has_untold(None));
    }
}
