//! Members with dials for which no request waits any more. Such a dial gives way to a request that a limit keeps
//! waiting.
//!
//! What must hold: a member with such a dial is entered, in a pool whose connections are limited in all. It enters after
//! its request has left, and a thread that takes it out looks at its dials afterwards, so none is forgotten.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};

use super::member::Member;
use crate::sync::Mutex;

#[derive(Default)]
pub(crate) struct LeftBehind {
    members: Mutex<VecDeque<Weak<dyn Member>>>,
}

impl LeftBehind {
    pub(crate) fn enter(&self, member: &Arc<dyn Member>) {
        if member.marks().enter_left_behind() {
            self.members.lock().push_back(Arc::downgrade(member));
        }
    }

    /// Ends one dial for which no request waits. False if there is none.
    pub(super) fn end_one(&self) -> bool {
        loop {
            let Some(member) = self.members.lock().pop_front() else { return false };
            let Some(member) = member.upgrade() else { continue };
            member.marks().leave_left_behind();
            if member.end_left_behind(0, 1) {
                // It may have more of them.
                self.enter(&member);
                return true;
            }
        }
    }

    /// Removes members of hosts that were forgotten.
    pub(crate) fn remove_gone(&self) {
        self.members.lock().retain(|member| member.strong_count() > 0);
    }
}

impl fmt::Debug for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeftBehind").field("members", &self.members.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::policy::fake_member::FakeMember;

    fn with(dials: usize) -> Arc<FakeMember> {
        let member = FakeMember::waiting();
        member.left_behind.store(dials, Ordering::SeqCst);
        member
    }

    #[tokio::test]
    async fn a_member_stays_entered_while_dials_of_it_are_left_behind() {
        let left_behind = LeftBehind::default();
        let members: [Arc<dyn Member>; 2] = [with(2), with(1)];
        for member in members.iter().chain(&members) {
            left_behind.enter(member);
        }
        assert!((0..3).all(|_| left_behind.end_one()));
        assert!(!left_behind.end_one());
    }

    #[tokio::test]
    async fn a_member_whose_dials_are_waited_for_again_or_that_has_gone_is_passed_over() {
        let left_behind = LeftBehind::default();
        let (waited_for, member) = (with(0), with(1));
        for member in [&waited_for, &with(1), &member] {
            let member: Arc<dyn Member> = member.clone();
            left_behind.enter(&member);
        }
        assert!(left_behind.end_one() && !left_behind.end_one());
        assert_eq!(member.left_behind.load(Ordering::SeqCst), 0);
        waited_for.left_behind.store(1, Ordering::SeqCst);
        let waited_for: Arc<dyn Member> = waited_for;
        left_behind.enter(&waited_for);
        assert!(left_behind.end_one(), "it may enter again");
    }
}
