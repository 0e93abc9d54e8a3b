//! The waker of a connection under loom: every order of events that the memory model allows.
//!
//! The file under test is mounted as it is, tests included, with loom behind the names of `sync.rs`.

#[path = "../../pool-core/src/io/pending_reads.rs"]
mod pending_reads;
#[path = "../../pool-core/src/io/waker.rs"]
mod waker;

mod sync {
    //! As `pool-core/src/sync.rs`, with loom.

    use std::cell::Cell;
    use std::task::Waker;

    pub(crate) use loom::model;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
    pub(crate) use loom::thread;

    loom::thread_local! {
        static SUPPRESSED: Cell<bool> = Cell::new(false);
    }

    pub(crate) fn are_wakes_suppressed() -> bool {
        SUPPRESSED.with(Cell::get)
    }

    pub(crate) fn suppress_wakes(suppress: bool) {
        SUPPRESSED.with(|cell| cell.set(suppress));
    }

    /// loom's own, under the interface of the one that is used.
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            self.0.take_waker()
        }
    }
}
