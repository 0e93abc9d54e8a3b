//! The one background task of a pool in a runtime.
//!
//! It looks at idle connections that have stirred, finishes messages that nobody waits for, closes what
//! has been idle for too long, and forgets hosts of which nothing is left. It does so in counted batches
//! and yields between them, so that ten thousand connections that close at one instant hold nobody up.
//!
//! ```text
//!   created with the first lane of a runtime ─► watches ─► retires, when nothing has been open for a while
//!                                                      └─► dropped with its runtime
//! ```
//!
//! What must hold: a watcher that has gone, either way, stays gone, and no connection can be added to it;
//! the next request makes a new lane with a new watcher. Whatever still rests in its lanes is closed.

use std::future::poll_fn;
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::{self, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::due::Due;
use crate::hosts::Hosts;
use crate::lane::Lane;
use crate::unfinished::Unfinished;
use crate::waiting::Turn;

/// So many connections are closed or looked at before other tasks get their turn: at about 10 µs for
/// each close, a third of a millisecond.
const BATCH: usize = 32;

/// So many lanes are visited in a pass before other tasks get their turn.
const VISITS: usize = 256;

/// So many messages are finished at once; a connection costs less than a crowd of them would.
const MAX_UNFINISHED: usize = 64;

/// How often a watcher looks whether anything is open, when its pool has gone.
const WITHOUT_POOL: Duration = Duration::from_secs(1);

/// A watcher outlives its last connection by this, so that a run of short-lived connections does not start
/// one each.
const LINGER: Duration = Duration::from_millis(500);

/// In place of a number: the watcher has gone.
const GONE: usize = usize::MAX;

#[derive(Debug)]
pub(crate) struct Watcher {
    runtime: runtime::Id,
    needed: AtomicUsize,
    due: Arc<Due>,
    inbox: Mutex<Inbox>,
    stirred: Notify,
}

#[derive(Default)]
struct Inbox {
    stirred: Vec<(Arc<Lane>, u64)>,
    unfinished: Vec<Unfinished>,
    dials: Vec<(Arc<Lane>, Turn)>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("stirred", &self.stirred.len())
            .field("unfinished", &self.unfinished.len())
            .field("dials", &self.dials.len())
            .finish()
    }
}

impl Watcher {
    /// Starts the watcher of the runtime that we are in.
    pub(crate) fn start<A>(runtime: &runtime::Handle, hosts: &Arc<Hosts<A>>) -> Arc<Self>
    where
        A: Clone + Eq + Hash + Send + Sync + 'static,
    {
        let watcher = Arc::new(Self {
            runtime: runtime.id(),
            needed: AtomicUsize::new(0),
            due: Arc::new(Due::new(runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)),
            inbox: Mutex::default(),
            stirred: Notify::new(),
        });
        let task = Task { watcher: Arc::clone(&watcher), hosts: Arc::downgrade(hosts) };
        runtime.spawn(task.run());
        watcher
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.runtime
    }

    /// Those of the runtime's requests that were woken and have not run since.
    pub(crate) fn due(&self) -> &Arc<Due> {
        &self.due
    }

    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.needed.load(Ordering::SeqCst) == GONE
    }

    /// Counts one more connection, or one who waits for one, unless the watcher has gone.
    pub(crate) fn stay(&self) -> bool {
        let add = |needed| (needed != GONE).then(|| needed + 1);
        self.needed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    pub(crate) fn leave(&self) {
        let remove = |needed| (needed != GONE).then(|| needed - 1);
        if self.needed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, remove) == Ok(1) {
            self.stirred.notify_one();
        }
    }

    /// An idle connection has stirred.
    pub(crate) fn look_after(&self, lane: Arc<Lane>, sequence: u64) {
        let mut inbox = self.inbox();
        // Asked under the lock, as the task empties the inbox for good after it has gone.
        if !self.is_gone() {
            inbox.stirred.push((lane, sequence));
            drop(inbox);
            self.stirred.notify_one();
        }
    }

    /// A lane wants to dial, and may now.
    pub(crate) fn dial_for(&self, lane: Arc<Lane>, turn: Turn) {
        let mut inbox = self.inbox();
        if !self.is_gone() {
            inbox.dials.push((lane, turn));
            drop(inbox);
            self.stirred.notify_one();
        }
    }

    /// A message is to be finished for its connection's sake; closes the connection if nobody can.
    pub(crate) fn finish(&self, mut message: Unfinished) {
        let mut inbox = self.inbox();
        if self.is_gone() || inbox.unfinished.len() >= MAX_UNFINISHED {
            drop(inbox);
            message.give_up();
        } else {
            inbox.unfinished.push(message);
            drop(inbox);
            self.stirred.notify_one();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retire(&self) -> bool {
        self.needed.compare_exchange(0, GONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

struct Task<A: Eq + Hash> {
    watcher: Arc<Watcher>,
    hosts: Weak<Hosts<A>>,
}

impl<A: Clone + Eq + Hash + Send + Sync + 'static> Task<A> {
    async fn run(self) {
        let mut unfinished = Vec::new();
        let mut next_pass = Instant::now() + self.between_passes().1;
        loop {
            self.wait(&mut unfinished, next_pass).await;
            self.start_dials();
            self.look_after_stirred().await;
            self.take_unfinished(&mut unfinished);
            let now = Instant::now();
            if self.watcher.needed.load(Ordering::SeqCst) == 0 {
                next_pass = next_pass.min(now + LINGER);
            }
            if next_pass <= now {
                next_pass = self.pass(now).await;
                if self.watcher.retire() {
                    return;
                }
            }
        }
    }

    /// Waits until there is something to do, and goes on with unfinished messages meanwhile.
    async fn wait(&self, unfinished: &mut Vec<Unfinished>, next_pass: Instant) {
        let deadlines = unfinished.iter().map(Unfinished::deadline);
        let mut timer = pin!(sleep_until(deadlines.fold(next_pass, Instant::min)));
        let mut stirred = pin!(self.watcher.stirred.notified());
        poll_fn(|cx| {
            // Before the messages, which could use up the task's budget at every poll.
            let called = stirred.as_mut().poll(cx).is_ready() | timer.as_mut().poll(cx).is_ready();
            finish(unfinished, cx);
            if called { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        give_up_late(unfinished);
    }

    fn start_dials(&self) {
        let lanes = std::mem::take(&mut self.watcher.inbox().dials);
        for (lane, turn) in lanes {
            lane.standing.answer_call();
            lane.dial(turn);
            // Whoever it was called for may have left, and then the next in line has room.
            lane.host.offer_room();
        }
    }

    async fn look_after_stirred(&self) {
        let stirred = std::mem::take(&mut self.watcher.inbox().stirred);
        for batch in stirred.chunks(BATCH) {
            for (lane, sequence) in batch {
                lane.look_after(*sequence);
            }
            yield_now().await;
            self.start_dials();
        }
    }

    fn take_unfinished(&self, unfinished: &mut Vec<Unfinished>) {
        unfinished.append(&mut self.watcher.inbox().unfinished);
        for message in unfinished.iter_mut().skip(MAX_UNFINISHED) {
            message.give_up();
        }
        unfinished.truncate(MAX_UNFINISHED);
    }

    /// Closes what has been idle for too long, parks what has been so for a while, forgets vacant hosts; says
    /// when to look again.
    async fn pass(&self, now: Instant) -> Instant {
        let Some(lanes) = self.hosts.upgrade().map(|hosts| hosts.lanes_of(&self.watcher)) else {
            return now + WITHOUT_POOL;
        };
        let (shortest, longest) = self.between_passes();
        let mut next = now + longest;
        let mut moved = 0;
        for (visited, lane) in lanes.into_iter().enumerate() {
            if visited % VISITS == VISITS - 1 {
                yield_now().await;
            }
            lane.host.relax(now);
            while lane.reap_one(now) || lane.park_one(now) {
                moved += 1;
                if moved % BATCH == 0 {
                    yield_now().await;
                    self.start_dials();
                }
            }
            if let Some(due) = lane.next_pass() {
                next = next.min(due);
            }
        }
        if let Some(hosts) = self.hosts.upgrade() {
            hosts.forget_vacant();
        }
        next.max(now + shortest)
    }

    fn between_passes(&self) -> (Duration, Duration) {
        let hosts = self.hosts.upgrade();
        hosts.map_or((WITHOUT_POOL, WITHOUT_POOL), |hosts| hosts.settings().between_passes())
    }
}

/// Polls every unfinished message once and drops those that are done.
fn finish(unfinished: &mut Vec<Unfinished>, cx: &mut Context<'_>) {
    unfinished.retain_mut(|message| message.poll(cx).is_pending());
}

fn give_up_late(unfinished: &mut [Unfinished]) {
    let now = Instant::now();
    for message in unfinished.iter_mut().filter(|message| message.deadline() <= now) {
        message.give_up();
    }
}

impl<A: Eq + Hash> Drop for Task<A> {
    fn drop(&mut self) {
        self.watcher.needed.store(GONE, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let left = std::mem::take(&mut *self.watcher.inbox());
        for (lane, _) in left.dials {
            lane.host.offer_room();
        }
        if let Some(hosts) = self.hosts.upgrade() {
            hosts.retire_lanes_of(&self.watcher);
        }
    }
}
