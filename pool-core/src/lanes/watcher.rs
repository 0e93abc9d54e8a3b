//! The one background task of a pool in a runtime.
//!
//! It looks at idle connections that were woken, finishes requests whose callers do not wait, closes what has been idle
//! for too long or is lost, and forgets hosts of which nothing is left. It does so in counted batches and yields between them, so
//! that ten thousand connections that close at one instant do not block other tasks.
//!
//! ```text
//!   created with the first lane of a runtime ─► watches ─► retires, when no connection has been open for a while
//!                                                      └─► dropped with its runtime
//! ```
//!
//! What must hold: a watcher that has gone, either way, stays gone, and no connection can be added to it; the next
//! request makes a new lane with a new watcher. Connections that are still idle in its lanes are closed.

use std::future::poll_fn;
use std::panic::catch_unwind;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, Stream};
use tokio::runtime::{self, RuntimeFlavor};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::io::PendingReads;
use crate::policy::{Runtime, Turn};
use crate::sync::Mutex;

/// How many connections are closed or looked at before other tasks get their turn: at about 10 µs for each close, a
/// third of a millisecond.
const BATCH: usize = 32;

/// How many lanes are visited in a pass before other tasks get their turn.
const VISITS: usize = 256;

/// At most so many requests are finished at once; a new connection costs less than a crowd of them would.
const MAX_DRAINS: usize = 64;

/// How often a watcher checks whether a connection is open, when its pool has gone.
const WITHOUT_POOL: Duration = Duration::from_secs(1);

/// A watcher outlives its last connection by this, so that a run of short-lived connections does not start a watcher
/// for each.
const LINGER: Duration = Duration::from_millis(500);

/// A lane, as its watcher sees it.
pub(super) trait Watched: Send + Sync {
    /// Looks at an idle connection that was woken: closes it, or puts it back where it was.
    fn look_after(self: Arc<Self>, sequence: u64);

    /// Starts the dials that are wanted.
    fn start_dials(self: Arc<Self>, turn: Turn);

    /// The watcher has gone before it started the dials that are wanted.
    fn drop_dial_request(&self);

    /// Closes the connection that has been idle longest, if a sibling's failure shows that it is lost. False when there is
    /// none.
    fn close_one_lost(&self) -> bool;

    /// Closes an idle connection to an address that is no longer behind the name. False when there is none.
    fn close_one_gone(&self) -> bool;

    /// Lends idle connections that were set aside, and are so no more, to requests that wait.
    fn lend_again(self: Arc<Self>);

    /// Closes or parks the connection that has been idle longest, if that is long enough. False when there is none.
    fn reap_or_park_one(self: Arc<Self>, now: Instant) -> bool;

    /// How many idle connections are surplus, because fewer were needed for a while.
    fn surplus(&self, now: Instant) -> usize;

    /// Closes the connection that has been idle longest as surplus. False when there is none.
    fn close_one_surplus(&self) -> bool;

    /// Opens a connection, if fewer are idle than are to be kept.
    fn refill(self: Arc<Self>);

    /// When the next idle connection will have been so for long enough to be closed or parked.
    fn next_pass(&self) -> Option<Instant>;

    /// Tries what was learnt of the server anew, now and then, and resolves its name again.
    fn relax(self: Arc<Self>, now: Instant);
}

/// All lanes of a pool, as a watcher sees them.
pub(super) trait Rounds: Send + Sync {
    fn lanes_of(&self, runtime: &Runtime) -> Vec<Arc<dyn Watched>>;

    /// Forgets the hosts of which nothing is left.
    fn forget_vacant(&self);

    /// The shortest and the longest time between two passes over all lanes.
    fn between_passes(&self) -> (Duration, Duration);

    /// Empties the lanes of a runtime whose watcher has gone.
    fn retire_lanes_of(&self, runtime: &Runtime);

    /// Enters all idle connections in the LRU index.
    fn rank_idle(&self);
}

/// Finishes a request whose caller does not wait; dropping it closes the connection.
type Drain = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Watcher {
    runtime: Arc<Runtime>,
    pending_reads: Arc<PendingReads>,
    rounds: Weak<dyn Rounds>,
    inbox: Mutex<Inbox>,
    /// A pass is due, whatever the time.
    pass_requested: AtomicBool,
}

#[derive(Default)]
struct Inbox {
    woken: Vec<(Arc<dyn Watched>, u64)>,
    drains: Vec<Drain>,
    dials: Vec<(Arc<dyn Watched>, Turn)>,
    reconsidered: Vec<Arc<dyn Watched>>,
}

impl Watcher {
    /// Starts the watcher of the runtime that the caller runs in.
    pub(super) fn start(runtime: &runtime::Handle, rounds: Weak<dyn Rounds>) -> Arc<Self> {
        let one_thread = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
        let watcher = Arc::new(Self {
            runtime: Arc::new(Runtime::new(runtime.id())),
            pending_reads: Arc::new(PendingReads::new(one_thread)),
            rounds,
            inbox: Mutex::default(),
            pass_requested: AtomicBool::new(false),
        });
        runtime.spawn(Task { watcher: Arc::clone(&watcher) }.run());
        watcher
    }

    pub(super) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// Requests of the runtime that were woken and have not run since.
    #[inline]
    pub(super) fn pending_reads(&self) -> &Arc<PendingReads> {
        &self.pending_reads
    }

    /// All lanes of the pool, unless it has gone.
    pub(super) fn rounds(&self) -> Option<Arc<dyn Rounds>> {
        self.rounds.upgrade()
    }

    /// An idle connection was woken.
    pub(super) fn look_after(&self, lane: Arc<dyn Watched>, sequence: u64) {
        self.add((lane, sequence), |inbox| &mut inbox.woken, usize::MAX);
    }

    /// A lane wants to dial, and may now.
    pub(super) fn dial_for(&self, lane: Arc<dyn Watched>, turn: Turn) {
        self.add((lane, turn), |inbox| &mut inbox.dials, usize::MAX);
    }

    /// A lane has idle connections that are lost, or may be lent again.
    pub(super) fn reconsider(&self, lane: Arc<dyn Watched>) {
        self.add(lane, |inbox| &mut inbox.reconsidered, usize::MAX);
    }

    /// Many hosts have come that may be vacant by now.
    pub(super) fn request_pass(&self) {
        self.pass_requested.store(true, Ordering::Relaxed);
        self.runtime.notify_watcher();
    }

    /// Finishes a request for its connection's sake; closes the connection if that cannot be done.
    pub(super) fn drain(&self, drain: Drain) {
        self.add(drain, |inbox| &mut inbox.drains, MAX_DRAINS);
    }

    /// Adds to a list of the inbox; drops the item if the watcher has gone or the list is full.
    fn add<T>(&self, item: T, list: impl FnOnce(&mut Inbox) -> &mut Vec<T>, most: usize) {
        let mut inbox = self.inbox.lock();
        let list = list(&mut inbox);
        // Checked under the lock, as the task empties the inbox for good after it has gone.
        if self.runtime.is_gone() || list.len() >= most {
            // The item after the lock, because it may close a connection.
            drop(inbox);
            drop(item);
        } else {
            list.push(item);
            drop(inbox);
            self.runtime.notify_watcher();
        }
    }
}

/// Whether the current runtime has timers. tokio has no question for that but to set one, and panics if not.
pub(super) fn has_timers() -> bool {
    catch_unwind(|| drop(sleep(Duration::ZERO))).is_ok()
}

struct Task {
    watcher: Arc<Watcher>,
}

impl Task {
    async fn run(self) {
        let mut drains = FuturesUnordered::new();
        let mut next_pass = Instant::now() + self.between_passes().1;
        loop {
            self.wait(&mut drains, next_pass).await;
            self.start_dials();
            self.look_after_woken().await;
            self.reconsider_idle().await;
            self.take_drains(&mut drains);
            let now = Instant::now();
            if self.watcher.runtime.is_unneeded() {
                next_pass = next_pass.min(now + LINGER);
            }
            // Taken in any case, or the same request would bring a second pass.
            let is_requested = self.watcher.pass_requested.swap(false, Ordering::Relaxed);
            if is_requested || next_pass <= now {
                next_pass = self.pass(now).await;
                if self.watcher.runtime.retire() {
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do, and drains meanwhile.
    async fn wait(&self, drains: &mut FuturesUnordered<Drain>, next_pass: Instant) {
        let mut timer = pin!(sleep_until(next_pass));
        let mut work = pin!(self.watcher.runtime.work());
        poll_fn(|cx| {
            // Before the drains, which could use up the task's budget at every poll.
            let called = work.as_mut().poll(cx).is_ready() | timer.as_mut().poll(cx).is_ready();
            poll_drains(drains, cx);
            if called { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn start_dials(&self) {
        let lanes = std::mem::take(&mut self.watcher.inbox.lock().dials);
        for (lane, turn) in lanes {
            lane.start_dials(turn);
        }
    }

    async fn look_after_woken(&self) {
        let mut woken = std::mem::take(&mut self.watcher.inbox.lock().woken).into_iter();
        while woken.len() > 0 {
            for (lane, sequence) in woken.by_ref().take(BATCH) {
                lane.look_after(sequence);
            }
            yield_now().await;
            self.start_dials();
        }
    }

    async fn reconsider_idle(&self) {
        let lanes = std::mem::take(&mut self.watcher.inbox.lock().reconsidered);
        let mut closed = 0;
        for lane in lanes {
            // All that are gone first, so that nothing is looked for twice.
            while lane.close_one_gone() || lane.close_one_lost() {
                closed += 1;
                if closed % BATCH == 0 {
                    yield_now().await;
                    self.start_dials();
                }
            }
            lane.lend_again();
        }
    }

    fn take_drains(&self, drains: &mut FuturesUnordered<Drain>) {
        let new = std::mem::take(&mut self.watcher.inbox.lock().drains);
        let room = MAX_DRAINS.saturating_sub(drains.len());
        // What goes beyond closes its connection as it drops.
        drains.extend(new.into_iter().take(room));
    }

    /// Closes what has been idle for too long, parks what has been idle for a while, forgets vacant hosts; gives the
    /// time of the next pass.
    async fn pass(&self, now: Instant) -> Instant {
        let runtime = &self.watcher.runtime;
        let Some(lanes) = self.watcher.rounds().map(|rounds| rounds.lanes_of(runtime)) else {
            return now + WITHOUT_POOL;
        };
        let (shortest, longest) = self.between_passes();
        let mut next = now + longest;
        let mut moved = 0;
        for (visited, lane) in lanes.into_iter().enumerate() {
            if visited % VISITS == VISITS - 1 {
                yield_now().await;
            }
            Arc::clone(&lane).relax(now);
            while Arc::clone(&lane).reap_or_park_one(now) {
                moved += 1;
                if moved % BATCH == 0 {
                    yield_now().await;
                    self.start_dials();
                }
            }
            for _ in 0..lane.surplus(now).div_ceil(2) {
                moved += usize::from(lane.close_one_surplus());
                if moved % BATCH == BATCH - 1 {
                    yield_now().await;
                    self.start_dials();
                }
            }
            Arc::clone(&lane).refill();
            if let Some(due) = lane.next_pass() {
                next = next.min(due);
            }
        }
        if let Some(rounds) = self.watcher.rounds() {
            rounds.forget_vacant();
        }
        next.max(now + shortest)
    }

    fn between_passes(&self) -> (Duration, Duration) {
        let rounds = self.watcher.rounds();
        rounds.map_or((WITHOUT_POOL, WITHOUT_POOL), |rounds| rounds.between_passes())
    }
}

/// Polls the drains that were woken, and drops those that have ended.
fn poll_drains(drains: &mut FuturesUnordered<Drain>, cx: &mut Context<'_>) {
    while let Poll::Ready(Some(())) = Pin::new(&mut *drains).poll_next(cx) {}
}

impl Drop for Task {
    fn drop(&mut self) {
        self.watcher.runtime.set_gone();
        let left = std::mem::take(&mut *self.watcher.inbox.lock());
        for (lane, _) in left.dials {
            lane.drop_dial_request();
        }
        if let Some(rounds) = self.watcher.rounds() {
            rounds.retire_lanes_of(&self.watcher.runtime);
        }
    }
}
