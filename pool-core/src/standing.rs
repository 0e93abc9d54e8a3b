//! Where a lane stands outside itself: called to dial, in the line for the total limit, in the ranking.
//!
//! Each mark says that the lane is entered there once already; it changes with the entry.

use std::sync::atomic::{AtomicBool, Ordering, fence};

#[derive(Debug, Default)]
pub(crate) struct Standing {
    called: AtomicBool,
    in_line: AtomicBool,
    in_ranking: AtomicBool,
}

impl Standing {
    /// True if it was not called already and has not come yet.
    pub(crate) fn hear_call(&self) -> bool {
        !self.called.swap(true, Ordering::SeqCst)
    }

    /// Whether it was called and has not come yet.
    pub(crate) fn is_called(&self) -> bool {
        self.called.load(Ordering::SeqCst)
    }

    /// It has come, and looks afterwards: whoever relied on it having been called did so before.
    pub(crate) fn answer_call(&self) {
        self.called.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn enter_line(&self) -> bool {
        !self.in_line.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn is_in_line(&self) -> bool {
        self.in_line.load(Ordering::SeqCst)
    }

    pub(crate) fn leave_line(&self) {
        self.in_line.store(false, Ordering::SeqCst);
    }

    pub(crate) fn enter_ranking(&self) -> bool {
        !self.in_ranking.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn leave_ranking(&self) {
        self.in_ranking.swap(false, Ordering::SeqCst);
    }
}
