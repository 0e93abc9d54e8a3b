//! How many requests of a runtime were woken for their response and have not run since.
//!
//! A request that is about to be sent lets these run first. So all of them read, and then all of them write: a server
//! that sleeps is woken once for many requests and not for each, and neither side changes between reading and writing
//! at every request. That makes requests cheaper when many are in flight; a request that is alone waits for none.
//!
//! Only runtimes of one thread count. In a runtime of many threads a request that gives way wakes another thread, and
//! all threads would count in the same cache line for every request: there it costs more than it saves, most with few
//! requests.
//!
//! What must hold: a request that was counted stops being counted when it polls its connection, or when the connection
//! closes. A count that is off for a moment costs a turn that was not needed.

use crate::sync::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct PendingReads {
    /// If not, the count stays zero.
    counts: bool,
    woken: AtomicUsize,
}

impl PendingReads {
    pub(crate) fn new(counts: bool) -> Self {
        Self { counts, woken: AtomicUsize::new(0) }
    }

    pub(super) fn add(&self) {
        if self.counts {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn remove(&self) {
        if self.counts {
            self.woken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.woken.load(Ordering::Relaxed) > 0
    }
}
