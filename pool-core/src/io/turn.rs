//! How much one poll of a connection reads: a server that sends without end gets no more of a thread than its turn.
//!
//! A parser above reads on as long as it has nothing to hand out, and a size line that does not end never is anything.
//! So the adapter around the stream counts what a poll has read, and says that there is nothing for now when it was
//! enough; it wakes the connection at once, which is polled again after all others that are ready.

use std::sync::atomic::{AtomicU64, Ordering};

/// After so many bytes no further read begins. What is read once is never cut, so large bodies, which are read once in a
/// poll, are read as before: one poll reads this much and one buffer of hyper's, which is as large as the largest head.
const LIMIT: u64 = 128 * 1024;

/// Each read counts as much, however little it brings: it costs a call of the system, and over TLS perhaps many records
/// without content.
const LEAST: u64 = 2 * 1024;

/// What the present poll has read. Only that poll writes it, so it needs no read-modify-write.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicU64);

impl Turn {
    /// The connection is about to be polled.
    #[inline]
    pub(crate) fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn note_read(&self, bytes: usize) {
        let read = self.0.load(Ordering::Relaxed) + (bytes as u64).max(LEAST);
        self.0.store(read, Ordering::Relaxed);
    }

    /// Whether this poll has read enough.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= LIMIT
    }
}
