//! What `waker.rs` synchronises with, in one place, so that a model checker can stand in for it.
//!
//! The tests of `waker.rs` run here on real threads, many times over; the suite mounts the same file with
//! loom behind these names, where they run through every order of events.

use std::cell::Cell;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

pub(crate) use atomic_waker::AtomicWaker;

thread_local! {
    static DEAF: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread lets wakes be; see `waker::unheard`.
pub(crate) fn is_deaf() -> bool {
    DEAF.get()
}

pub(crate) fn set_deaf(deaf: bool) {
    DEAF.set(deaf);
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
