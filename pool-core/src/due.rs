//! How many requests of a runtime have been woken for their response and have not run since.
//!
//! A request that is about to be sent lets those run first. So all of them read, and then all of them write: a
//! server that sleeps is woken once for many requests and not for each, and neither side changes between reading
//! and writing at every request. That makes requests cheaper when many are under way; one that is alone waits for
//! nobody.
//!
//! It is so in runtimes of one thread. One of many threads wakes another of them for whoever gives way, and both would
//! count in the same line of the cache for every request: there it costs more than it saves, most with few requests.
//!
//! What must hold: whoever is counted is counted out when it polls its connection, or when the connection goes.
//! A count that is off for a moment costs a turn that was not needed.

use crate::sync::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Due {
    /// Else nobody is ever due.
    counts: bool,
    woken: AtomicUsize,
}

impl Due {
    pub(crate) fn new(counts: bool) -> Self {
        Self { counts, woken: AtomicUsize::new(0) }
    }

    pub(crate) fn add(&self) {
        if self.counts {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self) {
        if self.counts {
            self.woken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.woken.load(Ordering::Relaxed) > 0
    }
}
