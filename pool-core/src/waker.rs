//! The waker of a connection: one waker for its whole life, whoever holds it.
//!
//! hyper is given this waker at every poll, never that of a task. So a connection can move between
//! holders without registering anew, and a wake that hyper causes in its own poll costs nothing.
//!
//! ```text
//!            begin              wait                    rest
//!   any ─────────────► POLLING ──────► WAITING  POLLING ──────► RESTING
//!   wake:              NOTED           wakes the holder         STIRRED, tells the watcher
//! ```
//!
//! What must hold: no wake is lost. A wake during a poll is noted, and the note is either looked at
//! before the holder waits or rests, or forgotten because the holder returned `Ready`. Every transition
//! is a read-modify-write of one atomic, so the side that comes second sees all that the first side did;
//! a plain load in `wake` could be reordered before the event that it reports.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use atomic_waker::AtomicWaker;

/// Somebody polls the connection, or has just taken it and will.
const POLLING: u8 = 0;
/// As `POLLING` or `WAITING`, and a wake has come since.
const NOTED: u8 = 1;
/// The holder sleeps until the connection stirs.
const WAITING: u8 = 2;
/// The connection is idle.
const RESTING: u8 = 3;
/// The connection is idle, and a wake has come since.
const STIRRED: u8 = 4;

/// Who is told that an idle connection has stirred.
pub(crate) trait Watch: Send + Sync {
    /// The connection that was checked in as `sequence` wants to be looked at.
    fn stirred(self: Arc<Self>, sequence: u64);
}

pub(crate) struct ConnectionWaker {
    state: AtomicU8,
    holder: AtomicWaker,
    sequence: AtomicU64,
    // Weak, because the watch owns the connection while it is idle.
    watch: Weak<dyn Watch>,
}

impl ConnectionWaker {
    pub(crate) fn new(watch: Weak<dyn Watch>) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(POLLING),
            holder: AtomicWaker::new(),
            sequence: AtomicU64::new(0),
            watch,
        })
    }

    /// A holder is about to poll, or has taken the connection out of rest.
    pub(crate) fn begin(&self) {
        self.state.swap(POLLING, Ordering::AcqRel);
    }

    /// Whether a wake has come since [`begin`](Self::begin).
    pub(crate) fn is_noted(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTED
    }

    /// The holder returns `Pending` to the task of `waker`.
    pub(crate) fn wait(&self, waker: &Waker) {
        self.holder.register(waker);
        if self.leave_polling_for(WAITING).is_err() {
            waker.wake_by_ref();
        }
    }

    /// The connection is about to be checked in as `sequence`.
    ///
    /// False when a wake has come since the last poll began: that poll may not have seen its cause.
    pub(crate) fn rest(&self, sequence: u64) -> bool {
        // An idle connection must not keep a task of its last holder alive.
        drop(self.holder.take());
        self.sequence.store(sequence, Ordering::Relaxed);
        self.leave_polling_for(RESTING).is_ok()
    }

    /// As [`rest`](Self::rest) after a noted wake, which the watcher is to look into.
    pub(crate) fn rest_stirred(&self) {
        self.state.swap(STIRRED, Ordering::AcqRel);
    }

    /// The connection can be found by its sequence now; says again what was said too early.
    pub(crate) fn found(&self) {
        // A read-modify-write, so that a wake that comes later finds the connection where it rests.
        if self.state.fetch_add(0, Ordering::AcqRel) == STIRRED {
            self.tell_watch();
        }
    }

    fn leave_polling_for(&self, next: u8) -> Result<u8, u8> {
        self.state.compare_exchange(POLLING, next, Ordering::AcqRel, Ordering::Acquire)
    }

    fn tell_watch(&self) {
        if let Some(watch) = self.watch.upgrade() {
            watch.stirred(self.sequence.load(Ordering::Relaxed));
        }
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| match state {
            POLLING | WAITING | NOTED => Some(NOTED),
            _ => Some(STIRRED),
        };
        // Written even when unchanged: see the head of the file.
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(WAITING) => self.holder.wake(),
            Ok(RESTING) => self.tell_watch(),
            _ => {}
        }
    }
}

impl fmt::Debug for ConnectionWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.load(Ordering::Relaxed) {
            POLLING => "polling",
            NOTED => "noted",
            WAITING => "waiting",
            RESTING => "resting",
            _ => "stirred",
        };
        f.debug_struct("ConnectionWaker").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<u64>>);

    impl Watch for Heard {
        fn stirred(self: Arc<Self>, sequence: u64) {
            self.0.lock().unwrap().push(sequence);
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn waker() -> (Arc<Heard>, Arc<ConnectionWaker>, Arc<Woken>) {
        let heard = Arc::new(Heard::default());
        let watch: Weak<dyn Watch> = Arc::downgrade(&heard) as Weak<dyn Watch>;
        (heard, ConnectionWaker::new(watch), Arc::default())
    }

    #[test]
    fn a_wake_during_a_poll_reaches_nobody_until_the_holder_waits() {
        let (_, connection, woken) = waker();
        connection.begin();
        connection.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        connection.wait(&Waker::from(Arc::clone(&woken)));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_waiting_holder_is_woken_once() {
        let (_, connection, woken) = waker();
        connection.begin();
        connection.wait(&Waker::from(Arc::clone(&woken)));
        connection.wake_by_ref();
        connection.wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_resting_connection_tells_its_watch_once_and_keeps_no_waker_of_its_holder() {
        let (heard, connection, woken) = waker();
        connection.begin();
        connection.wait(&Waker::from(Arc::clone(&woken)));
        connection.begin();
        assert!(connection.rest(7));
        assert_eq!(Arc::strong_count(&woken), 1);
        connection.wake_by_ref();
        connection.wake_by_ref();
        assert_eq!(*heard.0.lock().unwrap(), [7]);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_wake_before_the_connection_can_be_found_is_said_again() {
        let (heard, connection, _) = waker();
        connection.begin();
        assert!(connection.rest(3));
        connection.wake_by_ref();
        connection.found();
        assert_eq!(*heard.0.lock().unwrap(), [3, 3]);
    }

    #[test]
    fn a_wake_noted_before_rest_asks_for_another_poll() {
        let (heard, connection, _) = waker();
        connection.begin();
        connection.wake_by_ref();
        assert!(!connection.rest(1));
        connection.begin();
        assert!(connection.rest(1));
        connection.found();
        assert!(heard.0.lock().unwrap().is_empty());
    }

    #[test]
    fn no_wake_is_lost_between_two_threads() {
        const ROUNDS: usize = 200_000;
        let (_, connection, woken) = waker();
        let events = Arc::new(AtomicUsize::new(0));
        let source = {
            let (connection, events) = (Arc::clone(&connection), Arc::clone(&events));
            std::thread::spawn(move || {
                for _ in 0..ROUNDS {
                    events.fetch_add(1, Ordering::Release);
                    connection.wake_by_ref();
                }
            })
        };
        let task = Waker::from(Arc::clone(&woken));
        let mut wakes = 0;
        loop {
            connection.begin();
            if events.load(Ordering::Acquire) == ROUNDS {
                break;
            }
            connection.wait(&task);
            let started = std::time::Instant::now();
            while woken.0.load(Ordering::Acquire) == wakes {
                assert!(started.elapsed().as_secs() < 10, "the holder waits for a lost wake");
                std::hint::spin_loop();
            }
            wakes = woken.0.load(Ordering::Acquire);
        }
        source.join().unwrap();
    }
}
