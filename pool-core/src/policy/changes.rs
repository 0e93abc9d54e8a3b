//! Tells the tasks that look after services in line that something has changed at an address: a connection came back or
//! closed, a request was served, or a service gave up its position.
//!
//! What must hold: no change is missed. This is announce-then-check: a task enters, and then looks; whoever changes something
//! does so, and then looks for tasks. Where none is entered that costs a load.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

#[derive(Debug, Default)]
pub(crate) struct Changes {
    tasks: AtomicUsize,
    changed: Notify,
}

/// A task that is told, until this drops.
#[derive(Debug)]
pub(crate) struct Told<'c>(&'c Changes);

impl Changes {
    /// Something has changed.
    #[inline]
    pub(crate) fn tell(&self) {
        fence(Ordering::SeqCst);
        if self.tasks.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn enter(&self) -> Told<'_> {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Told(self)
    }
}

impl Told<'_> {
    /// Resolves after the next change from now on; made before the look at how things are.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + use<'_> {
        let changed: Notified<'_> = self.0.changed.notified();
        // It counts from here on, though it is polled later.
        changed
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.tasks.fetch_sub(1, Ordering::SeqCst);
    }
}
