//! What the crate synchronises with, in one place.
//!
//! The atomics stand here so that a model checker can replace them: the tests of `io/waker.rs` run on real threads
//! here, many times over, and a second target mounts the same file with loom behind these names, where they run through
//! every order of events. The mutex is parking_lot's, because it has no poison: what stands behind these locks is whole
//! whenever code that may panic runs.

use std::cell::Cell;
use std::pin::pin;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

thread_local! {
    static SUPPRESSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether connections ignore wakes that come from this thread; see `SuppressWakes` in `io/waker.rs`.
#[inline]
pub(crate) fn are_wakes_suppressed() -> bool {
    SUPPRESSED.get()
}

#[inline]
pub(crate) fn suppress_wakes(suppress: bool) {
    SUPPRESSED.set(suppress);
}

/// Waits until `is_so` is true. Each change that it depends on is followed by a notification of `notify`.
pub(crate) async fn wait_until(notify: &Notify, is_so: impl Fn() -> bool) {
    loop {
        let mut changed = pin!(notify.notified());
        // Before the check, so that a change between check and wait is not missed.
        changed.as_mut().enable();
        if is_so() {
            return;
        }
        changed.await;
    }
}

#[cfg(test)]
pub(crate) use std::thread;

/// Runs a scene so often that its threads meet in many ways.
#[cfg(test)]
pub(crate) fn model(scene: impl Fn()) {
    for _ in 0..2_000 {
        scene();
    }
}
