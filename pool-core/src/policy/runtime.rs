//! One runtime as a pool sees it: how many connections and waiters need its watcher, and whether the watcher has gone.
//!
//! What must hold: a watcher that has gone stays gone, and nothing can be added to its runtime afterwards. Counting a
//! new connection and retiring the watcher change the same atomic, so one of the two sees the other.

use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::runtime::Id;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// In place of a number: the watcher has gone.
const GONE: usize = usize::MAX;

#[derive(Debug)]
pub(crate) struct Runtime {
    id: Id,
    /// Connections, and requests that wait for one.
    needed_by: AtomicUsize,
    work: Notify,
}

impl Runtime {
    pub(crate) fn new(id: Id) -> Self {
        Self { id, needed_by: AtomicUsize::new(0), work: Notify::new() }
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.needed_by.load(Ordering::SeqCst) == GONE
    }

    /// Counts one more connection or waiter, unless the watcher has gone.
    pub(crate) fn stay(&self) -> bool {
        let add = |count| (count != GONE).then(|| count + 1);
        self.needed_by.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    /// Counts one connection or waiter less.
    pub(crate) fn leave(&self) {
        let remove = |count| (count != GONE).then(|| count - 1);
        if self.needed_by.fetch_update(Ordering::SeqCst, Ordering::SeqCst, remove) == Ok(1) {
            self.notify_watcher();
        }
    }

    /// Whether no connection is open and no request waits.
    pub(crate) fn is_unneeded(&self) -> bool {
        self.needed_by.load(Ordering::SeqCst) == 0
    }

    /// The watcher goes, if it is not needed.
    pub(crate) fn retire(&self) -> bool {
        self.needed_by.compare_exchange(0, GONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The watcher has gone, needed or not. The caller empties its lanes afterwards.
    pub(crate) fn set_gone(&self) {
        self.needed_by.store(GONE, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// There is work for the watcher.
    pub(crate) fn notify_watcher(&self) {
        self.work.notify_one();
    }

    /// Waits until there is work for the watcher.
    pub(crate) fn work(&self) -> Notified<'_> {
        self.work.notified()
    }
}
