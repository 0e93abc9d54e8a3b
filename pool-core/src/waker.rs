//! The waker of a connection: one waker for its whole life, whoever holds it.
//!
//! hyper is given this waker at every poll, never that of a task. So a connection can move between
//! holders without registering anew, and a wake that hyper causes in its own poll costs nothing.
//!
//! ```text
//!            begin              wait                    rest
//!   any ─────────────► POLLING ──────► WAITING  POLLING ──────► RESTING
//!   wake:              NOTED           wakes the holder         STIRRED, tells the watcher
//!                                      DUE if that is a request, NOTED if a body
//! ```
//!
//! It also remembers whether the stream still holds it for reading. hyper reads several times in each poll, though
//! once is enough to be told when something comes.
//!
//! What must hold: no wake is lost. A wake during a poll is noted, and the note is either looked at
//! before the holder waits or rests, or forgotten because the holder returned `Ready`. Every transition
//! is a read-modify-write of one atomic, so the side that comes second sees all that the first side did;
//! a plain load in `wake` could be reordered before the event that it reports.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};

use crate::due::Due;
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicWaker, Ordering, is_deaf, set_deaf};

/// Somebody polls the connection, or has just taken it and will.
const POLLING: u8 = 0;
/// As `POLLING` or `WAITING`, and a wake has come since.
const NOTED: u8 = 1;
/// A body sleeps until the connection stirs.
const WAITING: u8 = 2;
/// A request sleeps until the connection stirs.
const WAITING_FOR_HEAD: u8 = 3;
/// The request was woken, and has not polled the connection since.
const DUE: u8 = 4;
/// The connection is idle.
const RESTING: u8 = 5;
/// The connection is idle, and a wake has come since.
const STIRRED: u8 = 6;

/// What a holder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    /// The head of a response.
    Head,
    /// What follows it.
    Rest,
}

/// Who is told that an idle connection has stirred.
pub(crate) trait Watch: Send + Sync {
    /// The connection that was checked in as `sequence` wants to be looked at.
    fn stirred(self: Arc<Self>, sequence: u64);
}

pub(crate) struct ConnectionWaker {
    state: AtomicU8,
    /// The last read found nothing, and no wake has come since.
    quiet: AtomicBool,
    holder: AtomicWaker,
    sequence: AtomicU64,
    // Weak, because the watch owns the connection while it is idle.
    watch: Weak<dyn Watch>,
    due: Arc<Due>,
}

impl ConnectionWaker {
    pub(crate) fn new(watch: Weak<dyn Watch>, due: Arc<Due>) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(POLLING),
            quiet: AtomicBool::new(false),
            holder: AtomicWaker::new(),
            sequence: AtomicU64::new(0),
            watch,
            due,
        })
    }

    /// A holder is about to poll, has taken the connection out of rest, or gives it up.
    #[inline]
    pub(crate) fn begin(&self) {
        match self.state.swap(POLLING, Ordering::AcqRel) {
            DUE => self.due.remove(),
            // No wake has taken the waker of the task; whoever polls need not be that task.
            WAITING | WAITING_FOR_HEAD => drop(self.holder.take()),
            _ => {}
        }
    }

    /// Whether a wake has come since [`begin`](Self::begin).
    pub(crate) fn is_noted(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTED
    }

    /// Reads from the stream, which is polled with this waker; not if it would find nothing again.
    pub(crate) fn read<T>(&self, read: impl FnOnce() -> Poll<T>) -> Poll<T> {
        if self.is_quiet() {
            return Poll::Pending;
        }
        // Before the stream has the waker: afterwards a wake may come at any moment, and has the last word.
        self.quiet.store(true, Ordering::Relaxed);
        let result = read();
        if result.is_ready() {
            self.read_anew();
        }
        result
    }

    /// Whether the stream holds this waker, to wake it when there is something to read.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        // What a wake has written is seen here, because `begin` comes before each poll and after the wake.
        self.quiet.load(Ordering::Relaxed)
    }

    /// The next read reaches the stream, whatever the last one found.
    #[inline]
    pub(crate) fn read_anew(&self) {
        self.quiet.store(false, Ordering::Relaxed);
    }

    /// The holder returns `Pending` to the task of `waker`.
    #[inline]
    pub(crate) fn wait(&self, waker: &Waker, awaits: Awaits) {
        self.holder.register(waker);
        let waiting = match awaits {
            Awaits::Head => WAITING_FOR_HEAD,
            Awaits::Rest => WAITING,
        };
        if self.leave_polling_for(waiting).is_err() {
            self.holder.wake();
        }
    }

    /// The connection is about to be checked in as `sequence`.
    ///
    /// False when a wake has come since the last poll began: that poll may not have seen its cause.
    pub(crate) fn rest(&self, sequence: u64) -> bool {
        self.sequence.store(sequence, Ordering::Relaxed);
        self.leave_polling_for(RESTING).is_ok()
    }

    /// As [`rest`](Self::rest) after a noted wake, which the watcher is to look into.
    pub(crate) fn rest_stirred(&self) {
        self.state.swap(STIRRED, Ordering::AcqRel);
    }

    /// Whoever comes for the connection finds it by its sequence now; says again what was said too early.
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

/// Does something by which this thread may wake a connection for no reason, and lets it be.
///
/// Taking the end of a message out of hyper's channel wakes the connection that had filled it, which has done
/// all it had to. Such a wake comes on the thread that takes; one from the stream, which does count, comes
/// from elsewhere, or at another time.
pub(crate) fn unheard<R>(act: impl FnOnce() -> R) -> R {
    let _unheard = Unheard::begin();
    act()
}

/// Until it is dropped this thread wakes nobody; see [`unheard`].
pub(crate) struct Unheard;

impl Unheard {
    pub(crate) fn begin() -> Self {
        set_deaf(true);
        Self
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        set_deaf(false);
    }
}

impl Wake for ConnectionWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if is_deaf() {
            return;
        }
        let next = |state| match state {
            POLLING | WAITING | NOTED => Some(NOTED),
            WAITING_FOR_HEAD | DUE => Some(DUE),
            _ => Some(STIRRED),
        };
        self.read_anew();
        // Written even when unchanged: see the head of the file.
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(WAITING) => self.holder.wake(),
            Ok(WAITING_FOR_HEAD) => {
                self.due.add();
                self.holder.wake();
            }
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
            WAITING_FOR_HEAD => "waiting for a head",
            DUE => "due",
            RESTING => "resting",
            _ => "stirred",
        };
        f.debug_struct("ConnectionWaker").field("state", &state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicBool, AtomicUsize, model, thread};

    /// A connection whose stream has one event to tell, and everybody who may be told.
    struct Scene {
        connection: Arc<ConnectionWaker>,
        due: Arc<Due>,
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
        at_rest: AtomicBool,
        named: AtomicUsize,
        found: AtomicUsize,
    }

    impl Watch for Watcher {
        fn stirred(self: Arc<Self>, _: u64) {
            self.named.fetch_add(1, Ordering::SeqCst);
            let found = self.at_rest.load(Ordering::SeqCst);
            self.found.fetch_add(usize::from(found), Ordering::SeqCst);
        }
    }

    impl Scene {
        fn new() -> Arc<Self> {
            let watch = Arc::new(Watcher::default());
            let weak: Weak<dyn Watch> = Arc::downgrade(&watch) as Weak<dyn Watch>;
            let due = Arc::new(Due::new(true));
            let connection = ConnectionWaker::new(weak, Arc::clone(&due));
            Arc::new(Self {
                connection,
                due,
                task: Arc::default(),
                watch,
                event: AtomicBool::new(false),
                reader: AtomicWaker::new(),
            })
        }

        /// What the stream does, on the thread of an I/O driver.
        fn stir(&self) {
            self.event.store(true, Ordering::Release);
            self.connection.wake_by_ref();
        }

        /// What a holder does at each poll; true if it saw the event.
        fn poll(&self) -> bool {
            self.connection.begin();
            self.event.load(Ordering::Acquire)
        }

        /// As [`stir`](Self::stir), of a stream that wakes whoever has read from it.
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

        fn wait(&self) {
            self.connection.wait(&Waker::from(Arc::clone(&self.task)), Awaits::Head);
        }

        fn rest(&self) -> bool {
            let rests = self.connection.rest(7);
            if rests {
                self.watch.at_rest.store(true, Ordering::SeqCst);
                self.connection.found();
            }
            rests
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
    fn a_wake_during_a_poll_reaches_nobody_until_the_holder_waits() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.stir();
            assert_eq!(scene.wakes(), 0);
            scene.wait();
            assert_eq!(scene.wakes(), 1);
        });
    }

    #[test]
    fn a_waiting_holder_is_woken_once() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            scene.stir();
            scene.stir();
            assert_eq!(scene.wakes(), 1);
        });
    }

    #[test]
    fn a_resting_connection_tells_its_watch_once_and_keeps_no_waker_of_its_holder() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            scene.poll();
            assert!(scene.rest());
            assert_eq!(Arc::strong_count(&scene.task), 1);
            scene.stir();
            scene.stir();
            assert_eq!((scene.wakes(), scene.named()), (0, 1));
        });
    }

    #[test]
    fn a_wake_before_the_connection_can_be_found_is_said_again() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            assert!(scene.connection.rest(7));
            scene.stir();
            assert_eq!((scene.named(), scene.found()), (1, 0));
            scene.watch.at_rest.store(true, Ordering::SeqCst);
            scene.connection.found();
            assert_eq!((scene.named(), scene.found()), (2, 1));
        });
    }

    #[test]
    fn a_wake_noted_before_rest_asks_for_another_poll() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.stir();
            assert!(!scene.rest());
            assert!(scene.poll());
            assert!(scene.rest());
            assert_eq!(scene.named(), 0);
        });
    }

    #[test]
    fn a_connection_that_stirs_at_every_poll_is_left_to_its_watch() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.stir();
            assert!(scene.connection.is_noted());
            scene.connection.rest_stirred();
            scene.watch.at_rest.store(true, Ordering::SeqCst);
            scene.connection.found();
            assert_eq!((scene.named(), scene.found()), (1, 1));
        });
    }

    #[test]
    fn what_this_thread_does_unheard_is_no_reason_to_poll_again() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            unheard(|| scene.stir());
            assert!(scene.rest());
            assert_eq!(scene.named(), 0);
            scene.stir();
            assert_eq!((scene.named(), scene.found()), (1, 1));
        });
    }

    #[test]
    fn an_event_is_heard_while_another_thread_acts_unheard() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            let seen = scene.poll();
            let rests = unheard(|| scene.rest());
            stream.join().unwrap();
            assert!(seen || !rests || scene.found() > 0, "an idle connection stirred unseen");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_holder_that_goes_to_wait() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            let seen = scene.poll();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the holder waits for an event that has passed");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_connection_that_comes_to_rest() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            let seen = scene.poll();
            let rests = scene.rest();
            stream.join().unwrap();
            assert!(seen || !rests || scene.found() > 0, "an idle connection stirred unseen");
        });
    }

    #[test]
    fn no_event_is_missed_and_no_task_kept_by_a_connection_that_was_polled_unwoken_and_rests() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            let seen = scene.poll();
            let rests = scene.rest();
            stream.join().unwrap();
            assert!(seen || !rests || scene.found() > 0, "an idle connection stirred unseen");
            assert_eq!(Arc::strong_count(&scene.task), 1, "it keeps its last task");
        });
    }

    #[test]
    fn no_event_is_missed_by_a_connection_that_is_taken_out_of_rest() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            assert!(scene.rest());
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            let seen = scene.poll();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the wake went to a watch that cannot find it");
        });
    }

    #[test]
    fn a_stream_that_holds_the_waker_is_not_read_again() {
        model(|| {
            let scene = Scene::new();
            assert!(!scene.poll_reading());
            assert!(scene.connection.is_quiet());
            scene.event.store(true, Ordering::Release);
            assert!(!scene.poll_reading());
            scene.connection.read_anew();
            assert!(scene.poll_reading());
            assert!(!scene.connection.is_quiet());
        });
    }

    #[test]
    fn what_arrives_at_a_stream_that_holds_the_waker_is_read_at_the_next_poll() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.arrive())
            };
            let seen = scene.poll_reading() || scene.poll_reading();
            scene.wait();
            stream.join().unwrap();
            assert!(seen || scene.wakes() > 0, "the holder waits for what has arrived");
            assert!(seen || scene.poll_reading(), "what has arrived is not read");
        });
    }

    #[test]
    fn a_request_that_was_woken_is_due_until_it_polls() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.wait();
            assert!(!scene.due.is_any());
            scene.stir();
            scene.stir();
            assert!(scene.due.is_any());
            scene.poll();
            assert!(!scene.due.is_any());
        });
    }

    #[test]
    fn a_body_that_was_woken_is_not_due() {
        model(|| {
            let scene = Scene::new();
            scene.poll();
            scene.connection.wait(&Waker::from(Arc::clone(&scene.task)), Awaits::Rest);
            scene.stir();
            assert_eq!((scene.wakes(), scene.due.is_any()), (1, false));
        });
    }

    #[test]
    fn nobody_is_due_once_the_connection_was_taken_up_or_given_up() {
        model(|| {
            let scene = Scene::new();
            let stream = {
                let scene = Arc::clone(&scene);
                thread::spawn(move || scene.stir())
            };
            scene.poll();
            scene.wait();
            scene.poll();
            scene.wait();
            // As a connection does that goes, of whose waker a clone may be kept elsewhere.
            scene.connection.begin();
            stream.join().unwrap();
            scene.stir();
            assert!(!scene.due.is_any());
            assert_eq!(Arc::strong_count(&scene.task), 1);
        });
    }
}
