//! What all hosts of a pool share: the settings, the total counts, and the queue for the total limit.
//!
//! What must hold: the count of open connections never exceeds its limit, since it is raised only by a compare-and-swap
//! below the limit; and a member that was refused is told when a connection closes (`limit_queue`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::left_behind::LeftBehind;
use super::limit_queue::LimitQueue;
use super::lru::LruIndex;
use crate::report::Counters;
use crate::settings::Settings;
use crate::sync::{self, Mutex};

/// An eighth of the threads that tokio has for what blocks, as the resolver of the system does.
const RESOLUTIONS: usize = 64;

#[derive(Debug)]
pub(crate) struct PoolState {
    settings: Arc<Settings>,
    /// The shortest times between two passes of all addresses, in milliseconds.
    shortest_pass: AtomicU64,
    longest_pass: AtomicU64,
    /// The sums over hosts that were forgotten.
    forgotten: Arc<Counters>,
    /// The idle connections of all hosts by age, kept only where it may be asked.
    pub(crate) lru: LruIndex,
    /// Dials for which no request waits, kept only where the connections are limited in all.
    pub(crate) left_behind: LeftBehind,
    /// Members that the total limit keeps waiting.
    pub(crate) limit_queue: LimitQueue,
    /// Names that are resolved though an answer is known: no more at once.
    pub(crate) resolutions: Semaphore,
    closing: Notify,
    emptied: Notify,
    open: AtomicUsize,
    idle: AtomicUsize,
    sequence: AtomicU64,
    connections: AtomicU64,
    closed: AtomicBool,
    /// Whether idle connections are entered in the LRU index.
    ranks_idle: AtomicBool,
    lru_is_complete: Mutex<bool>,
}

impl PoolState {
    pub(crate) fn new(settings: Settings) -> Self {
        let ranks_idle = settings.max_connections.is_some() || settings.max_idle.is_some();
        Self {
            settings: Arc::new(settings),
            shortest_pass: AtomicU64::new(u64::MAX),
            longest_pass: AtomicU64::new(u64::MAX),
            forgotten: Arc::default(),
            lru: LruIndex::default(),
            left_behind: LeftBehind::default(),
            limit_queue: LimitQueue::default(),
            resolutions: Semaphore::new(RESOLUTIONS),
            closing: Notify::new(),
            emptied: Notify::new(),
            open: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            sequence: AtomicU64::new(1),
            connections: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            ranks_idle: AtomicBool::new(ranks_idle),
            lru_is_complete: Mutex::new(ranks_idle),
        }
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// An address has settings of its own.
    pub(crate) fn note_settings(&self, own: &Settings) {
        let (shortest, longest) = own.between_passes();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.shortest_pass.fetch_min(millis(shortest), Ordering::Relaxed);
        self.longest_pass.fetch_min(millis(longest), Ordering::Relaxed);
    }

    /// Only these addresses have settings of their own any more; one that comes at this moment is noted at the next pass.
    pub(crate) fn note_all_settings<'s>(&self, own: impl Iterator<Item = &'s Settings>) {
        self.shortest_pass.store(u64::MAX, Ordering::Relaxed);
        self.longest_pass.store(u64::MAX, Ordering::Relaxed);
        own.for_each(|own| self.note_settings(own));
    }

    /// The shortest and the longest time between two passes over all lanes.
    pub(crate) fn between_passes(&self) -> (Duration, Duration) {
        let (shortest, longest) = self.settings.between_passes();
        let own = |millis: &AtomicU64| Duration::from_millis(millis.load(Ordering::Relaxed));
        (shortest.min(own(&self.shortest_pass)), longest.min(own(&self.longest_pass)))
    }

    pub(crate) fn forgotten(&self) -> &Arc<Counters> {
        &self.forgotten
    }

    /// From here on nothing becomes idle. The caller closes idle connections afterwards.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.closing.notify_waiters();
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until the pool closes.
    pub(crate) async fn closed(&self) {
        sync::wait_until(&self.closing, || self.is_closed()).await;
    }

    pub(super) fn next_connection_id(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// No connection that is open now has a greater id.
    pub(crate) fn latest_connection_id(&self) -> u64 {
        self.connections.load(Ordering::Relaxed) - 1
    }

    /// Orders check-ins over all hosts; from 1, so that there is a number before the first.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether an idle connection is to be entered in the LRU index.
    #[inline]
    pub(crate) fn ranks_idle(&self) -> bool {
        self.ranks_idle.load(Ordering::SeqCst)
    }

    /// From here on idle connections are entered in the LRU index; `enter` enters those that there are. A thread that comes
    /// meanwhile waits for it, and finds the index complete.
    pub(crate) fn start_ranking(&self, enter: impl FnOnce()) {
        let mut is_complete = self.lru_is_complete.lock();
        if !*is_complete {
            self.ranks_idle.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            enter();
            *is_complete = true;
        }
    }

    /// Counts one more open connection, unless the pool is full.
    pub(super) fn add_open(&self) -> bool {
        raise_below(&self.open, self.settings.max_connections)
    }

    pub(super) fn remove_open(&self) {
        if self.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// How many connections are open, or being opened.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until no connection is open.
    pub(crate) async fn emptied(&self) {
        sync::wait_until(&self.emptied, || self.open() == 0).await;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// For how many more connections there is room.
    pub(super) fn room(&self) -> usize {
        let left = |limit: usize| limit.saturating_sub(self.open.load(Ordering::SeqCst));
        self.settings.max_connections.map_or(usize::MAX, left)
    }

    /// Counts one more idle connection; true if that is one too many.
    pub(crate) fn add_idle(&self) -> bool {
        match self.settings.max_idle {
            Some(limit) => self.idle.fetch_add(1, Ordering::Relaxed) >= limit,
            None => false,
        }
    }

    /// Whether one more idle connection would be one too many.
    pub(crate) fn is_full_of_idle(&self) -> bool {
        self.settings.max_idle.is_some_and(|limit| self.idle.load(Ordering::Relaxed) >= limit)
    }

    pub(crate) fn remove_idle(&self) {
        if self.settings.max_idle.is_some() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes the connection that has been idle longest, or ends a dial for which no request waits, if a member in the
    /// limit queue is to have its place.
    ///
    /// That member is told then, checks for itself, and closes more if it has to.
    pub(crate) fn make_way(&self) {
        if self.settings.max_connections.is_some() && self.limit_queue.has_untold(None) {
            let _made = self.lru.evict() || self.left_behind.end_one();
        }
    }
}

/// Adds one, unless that would exceed the limit.
pub(super) fn raise_below(count: &AtomicUsize, limit: Option<usize>) -> bool {
    let limit = limit.unwrap_or(usize::MAX);
    let raise = |count| (count < limit).then(|| count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).is_ok()
}
