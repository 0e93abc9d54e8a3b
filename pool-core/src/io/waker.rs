//! The waker of a connection: one waker for its whole life, whichever task holds the connection.
//!
//! hyper gets this waker at every poll, never that of a task. So a connection can move between tasks without a new
//! registration, and a wake that hyper causes in its own poll costs nothing.
//!
//! ```text
//!            begin              wait                    become_idle
//!   any ─────────────► POLLING ──────► WAITING  POLLING ──────────► IDLE
//!   wake:              NOTED           wakes the task               WOKEN, tells the watch
//!                                      READ_PENDING if the task waits for a head, NOTED if for a body
//! ```
//!
//! The waker also remembers whether the stream is armed: whether the stream still holds this waker for reading. hyper
//! reads several times in each poll, though one read is enough to be woken when something comes. A read that finds nothing
//! because its poll has read enough (`turn`) wakes the connection itself, and so leaves the stream unarmed.
//!
//! What must hold: no wake is lost. A wake during a poll is noted, and the note is either looked at before the task
//! waits or the connection becomes idle, or forgotten because the poll returned `Ready`. Every transition is a
//! read-modify-write of one atomic, so the side that comes second sees all that the first side did; a plain load in
//! `wake` could be reordered before the event that it reports.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};

use super::pending_reads::PendingReads;
use crate::sync::{
    AtomicBool, AtomicU8, AtomicU64, AtomicWaker, Ordering, are_wakes_suppressed, suppress_wakes,
};

/// A task polls the connection, or has just taken it and will.
const POLLING: u8 = 0;
/// As `POLLING` or `WAITING`, and a wake has come since.
const NOTED: u8 = 1;
/// The task of a body sleeps until the connection is woken.
const WAITING: u8 = 2;
/// The task of a request sleeps until the connection is woken.
const WAITING_FOR_HEAD: u8 = 3;
/// The task of the request was woken, and has not polled the connection since.
const READ_PENDING: u8 = 4;
/// The connection is idle.
const IDLE: u8 = 5;
/// The connection is idle, and a wake has come since.
const WOKEN: u8 = 6;

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// The head of a response.
    Head,
    /// What follows it.
    Rest,
}

/// Is told when an idle connection is woken.
pub(crate) trait Watch: Send + Sync {
    /// The connection that was stored under `sequence` has to be looked at.
    fn woken(self: Arc<Self>, sequence: u64);
}

pub(crate) struct ConnectionWaker {
    state: AtomicU8,
    /// The last read found nothing, and no wake has come since.
    armed: AtomicBool,
    task: AtomicWaker,
    sequence: AtomicU64,
    // Weak, because the watch owns the connection while it is idle.
    watch: Weak<dyn Watch>,
    pending_reads: Arc<PendingReads>,
}

impl ConnectionWaker {
    pub(crate) fn new(watch: Weak<dyn Watch>, pending_reads: Arc<PendingReads>) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(POLLING),
            armed: AtomicBool::new(false),
            task: AtomicWaker::new(),
            sequence: AtomicU64::new(0),
            watch,
            pending_reads,
        })
    }

    /// A task is about to poll the connection, has taken it out of the idle store, or gives it up.
    #[inline]
    pub(crate) fn begin(&self) {
        match self.state.swap(POLLING, Ordering::AcqRel) {
            READ_PENDING => self.pending_reads.remove(),
            // No wake has taken the waker of the task, and the task that polls may be another.
            WAITING | WAITING_FOR_HEAD => drop(self.task.take()),
            _ => {}
        }
    }

    /// Whether a wake has come since [`begin`](Self::begin).
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTED
    }

    /// Reads from the stream, which is polled with this waker; not if the read would find nothing again.
    pub(crate) fn read<T>(&self, read: impl FnOnce() -> Poll<T>) -> Poll<T> {
        if self.is_armed() {
            return Poll::Pending;
        }
        // Before the stream has the waker: afterwards a wake may come at any moment, and has the last word.
        self.armed.store(true, Ordering::Relaxed);
        let result = read();
        if result.is_ready() {
            self.disarm();
        }
        result
    }

    /// Whether the stream holds this waker, to wake it when there is something to read.
    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        // This sees what a wake has written, because `begin` comes before each poll and after the wake.
        self.armed.load(Ordering::Relaxed)
    }

    /// The next read reaches the stream, whatever the last one found.
    #[inline]
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// The poll returns `Pending` to the task of `waker`.
    #[inline]
    pub(crate) fn wait(&self, waker: &Waker, waits_for: WaitsFor) {
        self.task.register(waker);
        let waiting = match waits_for {
            WaitsFor::Head => WAITING_FOR_HEAD,
            WaitsFor::Rest => WAITING,
        };
        if self.leave_polling_for(waiting).is_err() {
            self.task.wake();
        }
    }

    /// The connection is about to be stored under `sequence`.
    ///
    /// False when a wake has come since the last poll began: that poll may not have seen its cause.
    #[inline]
    pub(crate) fn become_idle(&self, sequence: u64) -> bool {
        self.sequence.store(sequence, Ordering::Relaxed);
        self.leave_polling_for(IDLE).is_ok()
    }

    /// As [`become_idle`](Self::become_idle) after a noted wake, whose cause the watch has to look for.
    pub(crate) fn become_idle_woken(&self) {
        self.state.swap(WOKEN, Ordering::AcqRel);
    }

    /// The watch can find the connection by its sequence now; repeats a wake that came too early.
    #[inline]
    pub(crate) fn can_be_found(&self) {
        // A read-modify-write, so that a wake that comes later finds the connection in the store.
        if self.state.fetch_add(0, Ordering::AcqRel) == WOKEN {
            self.tell_watch();
        }
    }

    #[inline]
    fn leave_polling_for(&self, next: u8) -> Result<u8, u8> {
        self.state.compare_exchange(POLLING, next, Ordering::AcqRel, Ordering::Acquire)
    }

    fn tell_watch(&self) {
        if let Some(watch) = self.watch.upgrade() {
            watch.woken(self.sequence.load(Ordering::Relaxed));
        }
    }
}

/// Connections ignore wakes that come from this thread until this is dropped.
///
/// Taking the end of a message out of hyper's channel wakes the connection that had filled the channel and has nothing
/// left to do. Such a wake comes on the thread that takes; a wake from the stream, which does count, comes from
/// another thread, or at another time.
pub(crate) struct SuppressWakes;

impl SuppressWakes {
    #[inline]
    pub(crate) fn begin() -> Self {
        suppress_wakes(true);
        Self
    }
}

impl Drop for SuppressWakes {
    #[inline]
    fn drop(&mut self) {
        suppress_wakes(false);
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if are_wakes_suppressed() {
            return;
        }
        let next = |state| match state {
            POLLING | WAITING | NOTED => Some(NOTED),
            WAITING_FOR_HEAD | READ_PENDING => Some(READ_PENDING),
            _ => Some(WOKEN),
        };
        self.disarm();
        // Written even when unchanged: see the head of the file.
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(WAITING) => self.task.wake(),
            Ok(WAITING_FOR_HEAD) => {
                self.pending_reads.add();
                self.task.wake();
            }
            Ok(IDLE) => self.tell_watch(),
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
            WAITING_FOR_HEAD => "waiting for a head",
            READ_PENDING => "read pending",
            IDLE => "idle",
            _ => "woken",
        };
        f.debug_struct("ConnectionWaker").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicBool, AtomicUsize, model, thread};

    /// A connection whose stream has one event to tell, and every side that a wake may reach.
    struct Scene {
        connection: Arc<ConnectionWaker>,
        pending_reads: Arc<PendingReads>,
        task: Arc<Task>,
        watch: Arc<Watcher>,
        event: AtomicBool,
        /// What a stream wakes when it was read and had nothing.
        reader: AtomicWaker,
    }

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Whether the connection can be found, how often it was named, and how often it was found.
    #[derive(Default)]
    struct Watcher {
        stored: AtomicBool,
        named: AtomicUsize,
        found: AtomicUsize,
    }

    impl Watch for Watcher {
        fn woken(self: Arc<Self>, _: u64) {
            self.named.fetch_add(1, Ordering::SeqCst);
            let found = self.stored.load(Ordering::SeqCst);
            self.found.fetch_add(usize::from(found), Ordering::SeqCst);
        }
    }

    impl Scene {
        fn new() -> Arc<Self> {
            let watch = Arc::new(Watcher::default());
            let weak: Weak<dyn Watch> = Arc::downgrade(&watch) as Weak<dyn Watch>;
            let pending_reads = Arc::new(PendingReads::new(true));
            let connection = ConnectionWaker::new(weak, Arc::clone(&pending_reads));
            Arc::new(Self {
                connection,
                pending_reads,
                task: Arc::default(),
                watch,
                event: AtomicBool::new(false),
                reader: AtomicWaker::new(),
            })
        }

        /// What the stream does, on the thread of an I/O driver.
        fn wake(&self) {
            self.event.store(true, Ordering::Release);
            self.connection.wake_by_ref();
        }

        /// What a task does at each poll; true if it saw the event.
        fn poll(&self) -> bool {
            self.connection.begin();
            self.event.load(Ordering::Acquire)
        }

        /// As [`wake`](Self::wake), of a stream that wakes the task that has read from it.
        fn arrive(&self) {
            self.event.store(true, Ordering::Release);
            self.reader.wake();
        }

        /// A poll in which hyper reads twice; true if it saw the event.
        fn poll_reading(&self) -> bool {
            self.connection.begin();
            let own = Waker::from(Arc::clone(&self.connection));
            let read = || {
                self.connection.read(|| {
                    self.reader.register(&own);
                    let arrived = self.event.load(Ordering::Acquire);
                    if arrived { Poll::Ready(()) } else { Poll::Pending }
                })
            };
            read().is_ready() || read().is_ready()
        }

        /// A poll that has read enough, and in which hyper reads twice more.
        fn poll_giving_up(&self) {
            self.connection.begin();
            for _ in 0..2 {
                let read = self.connection.read(|| {
                    self.connection.wake_by_ref();
                    Poll::<()>::Pending
                });
                assert!(read.is_pending());
            }
        }

        fn wait(&self) {
            self.connection.wait(&Waker::from(Arc::clone(&self.task)), WaitsFor::Head);
        }

        fn become_idle(&self) -> bool {
            let idle = self.connection.become_idle(7);
            if idle {
                self.watch.stored.store(true, Ordering::SeqCst);
                self.connection.can_be_found();
            }
            idle
        }

        fn wakes(&self) -> usize {
            self.task.0.load(Ordering::SeqCst)
        }

        fn named(&self) -> usize {
            self.watch.named.load(Ordering::SeqCst)
        }

        fn found(&self) -> usize {
            self.watch.found.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_wake_during_a_poll_is_kept_until_the_task_waits() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wake();
            assert_eq!(scene.wakes(), 0);
            scene.wait();
            assert_eq!(scene.wakes(), 1);
        });
    }

    #[test]
    fn a_waiting_task_is_woken_once() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            scene.wake();
            scene.wake();
            assert_eq!(scene.wakes(), 1);
        });
    }

    #[test]
    fn an_idle_connection_tells_its_watch_once_and_keeps_no_waker_of_a_task() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            scene.poll();
            assert!(scene.become_idle());
            assert_eq!(Arc::strong_count(&scene.task), 1);
            scene.wake();
            scene.wake();
            assert_eq!((scene.wakes(), scene.named()), (0, 1));
        });
    }

    #[test]
    fn a_wake_before_the_connection_can_be_found_is_repeated() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            assert!(scene.connection.become_idle(7));
            scene.wake();
            assert_eq!((scene.named(), scene.found()), (1, 0));
            scene.watch.stored.store(true, Ordering::SeqCst);
            scene.connection.can_be_found();
            assert_eq!((scene.named(), scene.found()), (2, 1));
        });
    }

    #[test]
    fn a_wake_noted_before_the_connection_is_idle_asks_for_another_poll() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wake();
            assert!(!scene.become_idle());
            assert!(scene.poll());
            assert!(scene.become_idle());
            assert_eq!(scene.named(), 0);
        });
    }

    #[test]
    fn a_connection_that_is_woken_at_every_poll_is_left_to_its_watch() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wake();
            assert!(scene.connection.is_noted());
            scene.connection.become_idle_woken();
            scene.watch.stored.store(true, Ordering::SeqCst);
            scene.connection.can_be_found();
            assert_eq!((scene.named(), scene.found()), (1, 1));
        });
    }

    #[test]
    fn a_suppressed_wake_is_no_reason_to_poll_again() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            let suppressed = SuppressWakes::begin();
            scene.wake();
            drop(suppressed);
            assert!(scene.become_idle());
            assert_eq!(scene.named(), 0);
            scene.wake();
            assert_eq!((scene.named(), scene.found()), (1, 1));
        });
    }

    #[test]
    fn an_event_is_seen_while_another_thread_suppresses_wakes() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            let seen = scene.poll();
            let suppressed = SuppressWakes::begin();
            let idle = scene.become_idle();
            drop(suppressed);
            stream.join().unwrap();
            assert!(seen || !idle || scene.found() > 0, "an idle connection was woken unseen");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_task_that_goes_to_wait() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            let seen = scene.poll();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the task waits for an event that has passed");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_connection_that_becomes_idle() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            let seen = scene.poll();
            let idle = scene.become_idle();
            stream.join().unwrap();
            assert!(seen || !idle || scene.found() > 0, "an idle connection was woken unseen");
        });
    }

    #[test]
    fn no_event_is_missed_and_no_task_kept_by_a_connection_that_was_polled_without_a_wake() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            let seen = scene.poll();
            let idle = scene.become_idle();
            stream.join().unwrap();
            assert!(seen || !idle || scene.found() > 0, "an idle connection was woken unseen");
            assert_eq!(Arc::strong_count(&scene.task), 1, "it keeps its last task");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_connection_that_leaves_the_idle_store() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            assert!(scene.become_idle());
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            let seen = scene.poll();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the wake went to a watch that cannot find it");
        });
    }

    #[test]
    fn an_armed_stream_is_not_read_again() {
        model(|| {
            let scene = Scene::new();
            assert!(!scene.poll_reading());
            assert!(scene.connection.is_armed());
            scene.event.store(true, Ordering::Release);
            assert!(!scene.poll_reading());
            scene.connection.disarm();
            assert!(scene.poll_reading());
            assert!(!scene.connection.is_armed());
        });
    }

    #[test]
    fn what_arrives_at_an_armed_stream_is_read_at_the_next_poll() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.arrive())
            };
            let seen = scene.poll_reading() || scene.poll_reading();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the task waits for what has arrived");
            assert!(seen || scene.poll_reading(), "what has arrived is not read");
        });
    }

    #[test]
    fn a_poll_that_gives_up_its_turn_has_another_in_which_the_stream_is_read() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.arrive())
            };
            scene.poll_giving_up();
            assert!(!scene.connection.is_armed(), "the stream holds no waker");
            scene.wait();
            assert_eq!(scene.wakes(), 1, "nothing else will wake the task");
            stream.join().unwrap();
            assert!(scene.poll_reading(), "what has arrived is not read");
        });
    }

    #[test]
    fn a_connection_that_gives_up_its_turn_is_not_idle_before_its_stream_was_read() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.arrive())
            };
            scene.poll_giving_up();
            assert!(!scene.become_idle());
            let seen = scene.poll_reading();
            let idle = scene.become_idle();
            stream.join().unwrap();
            assert!(seen || !idle || scene.found() > 0, "an idle connection was woken unseen");
        });
    }

    #[test]
    fn a_request_that_was_woken_has_a_read_pending_until_it_polls() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            assert!(!scene.pending_reads.is_any());
            scene.wake();
            scene.wake();
            assert!(scene.pending_reads.is_any());
            scene.poll();
            assert!(!scene.pending_reads.is_any());
        });
    }

    #[test]
    fn a_body_that_was_woken_has_no_read_pending() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.connection.wait(&Waker::from(Arc::clone(&scene.task)), WaitsFor::Rest);
            scene.wake();
            assert_eq!((scene.wakes(), scene.pending_reads.is_any()), (1, false));
        });
    }

    #[test]
    fn no_read_is_pending_once_the_connection_was_taken_or_given_up() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.wake())
            };
            scene.poll();
            scene.wait();
            scene.poll();
            scene.wait();
            // As a connection does when it closes; a clone of its waker may live on elsewhere.
            scene.connection.begin();
            stream.join().unwrap();
            scene.wake();
            assert!(!scene.pending_reads.is_any());
            assert_eq!(Arc::strong_count(&scene.task), 1);
        });
    }
}
