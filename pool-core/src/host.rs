//! What the pool knows about one address, whatever its type, and the `Permit` to open a connection to it.
//!
//! ```text
//!   Host (one per address)            name, counters, how many are open
//!    └─ Lane (one per runtime)        idle connections, and those who wait
//!        └─ Lease ─ Connection        holds a Permit while it lives
//! ```
//!
//! What must hold: a connection exists only with a [`Permit`], and what a permit counts is given back when
//! it drops, whatever path led there; then whoever was refused for it is called.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backoff::Failures;
use crate::budget::Budget;
use crate::due::Due;
use crate::events::Event;
use crate::horizon::Horizon;
use crate::lane::Lane;
use crate::quarantine::Quarantine;
use crate::shared::{Shared, raise_below};
use crate::stats::{Counters, Reason};
use crate::waiting::Turn;
use crate::watcher::Watcher;

#[derive(Debug)]
pub(crate) struct Host {
    /// The address, as errors tell it.
    pub(crate) name: Arc<str>,
    pub(crate) counters: Counters,
    pub(crate) shared: Arc<Shared>,
    pub(crate) quarantine: Quarantine,
    pub(crate) horizon: Horizon,
    pub(crate) budget: Budget,
    pub(crate) failures: Failures,
    /// How many wait in all lanes, so that the lanes are looked at only when somebody does.
    pub(crate) waiting: Arc<AtomicUsize>,
    open: AtomicUsize,
    retired: AtomicBool,
    vacated: Notify,
    lanes: Mutex<Vec<Weak<Lane>>>,
}

impl Host {
    pub(crate) fn new(name: Arc<str>, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            name,
            counters: Counters::default(),
            shared,
            quarantine: Quarantine::default(),
            horizon: Horizon::default(),
            budget: Budget::default(),
            failures: Failures::default(),
            waiting: Arc::default(),
            open: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            vacated: Notify::new(),
            lanes: Mutex::default(),
        })
    }

    /// Whether nothing of this host exists, open or opening, and nothing must be remembered of it.
    pub(crate) fn is_vacant(&self) -> bool {
        let now = Instant::now();
        self.open.load(Ordering::SeqCst) == 0
            && !self.is_retired()
            && !self.quarantine.is_on(now)
            && !self.failures.are_remembered(now)
    }

    /// A request found its connection given up, after it had rested for `idle_for`.
    pub(crate) fn note_stale(&self, idle_for: Duration, now: Instant) {
        self.counters.stale();
        self.horizon.note_close(idle_for, now);
    }

    /// What was learnt of an address that nobody uses is not tried anew: it is only forgotten.
    pub(crate) fn relax(&self, now: Instant) {
        if self.has_connections() {
            self.horizon.relax(now);
        }
    }

    /// Whether any connection is open that may come home.
    pub(crate) fn has_connections(&self) -> bool {
        self.counters.are_open()
    }

    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Retires the host or takes it back; true if it was not so before.
    pub(crate) fn set_retired(&self, retired: bool) -> bool {
        let before = self.retired.swap(retired, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        before != retired
    }

    /// Waits until no connection of the host is open, and nobody waits for one.
    pub(crate) async fn vacated(&self) {
        loop {
            let mut vacated = pin!(self.vacated.notified());
            // Before the look, so that what happens between look and wait is not missed.
            vacated.as_mut().enable();
            if self.is_vacated() {
                return;
            }
            vacated.await;
        }
    }

    fn is_vacated(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.waiting.load(Ordering::SeqCst) == 0
    }

    /// A connection has closed, or somebody waits no more.
    pub(crate) fn tell_if_vacated(&self) {
        if self.is_vacated() {
            self.vacated.notify_waiters();
        }
    }

    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        self.shared.settings.observed.tell(&self.name, event);
    }

    pub(crate) fn add_lane(&self, lane: &Arc<Lane>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(lane));
    }

    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().filter_map(Weak::upgrade).collect()
    }

    fn limit(&self) -> Option<usize> {
        self.shared.settings.max_connections_per_address
    }

    pub(crate) fn has_room(&self) -> bool {
        self.limit().is_none_or(|limit| self.open.load(Ordering::SeqCst) < limit)
    }

    /// How many connections rest here, in whatever runtime.
    pub(crate) fn idle(&self) -> usize {
        self.lanes().iter().map(|lane| lane.idle()).sum()
    }

    /// Closes an idle connection of this host, in whatever runtime, for one that is wanted elsewhere.
    pub(crate) fn evict(&self) -> bool {
        self.lanes().iter().any(|lane| lane.evict_oldest(Reason::Evicted))
    }

    /// Whether another lane of this host wants the place of a connection that rests in `lane`.
    ///
    /// One that was called looks for itself when it comes; should its runtime stand still, it costs the others
    /// no connection meanwhile. The caller's fence stands between laying to rest and this look.
    pub(crate) fn is_wanted_beside(&self, lane: &Arc<Lane>) -> bool {
        let wants = |other: &Arc<Lane>| other.queue().wants_dial() && !other.standing.is_called();
        self.limit().is_some()
            && self.waiting.load(Ordering::SeqCst) > 0
            && self.lanes().iter().any(|other| !Arc::ptr_eq(other, lane) && wants(other))
    }

    /// Calls those who were refused a connection, as far as there is room for one now.
    ///
    /// Where there is none, a connection at rest makes way for who has just joined the line, or come to its
    /// head: those who laid it to rest did not do so for them.
    pub(crate) fn offer_room(&self) {
        // Between counting down, or joining, and the look.
        fence(Ordering::SeqCst);
        if self.shared.has_room() {
            for lane in self.shared.line.heads() {
                lane.call_dial(Turn::Called);
            }
        } else {
            self.shared.make_way();
        }
        if self.limit().is_some() && self.waiting.load(Ordering::SeqCst) > 0 && self.has_room() {
            // Who stands in the line is called from there.
            let wants = |lane: &Arc<Lane>| lane.queue().wants_dial() && !lane.standing.is_in_line();
            for lane in self.lanes().into_iter().filter(wants) {
                lane.call_dial(Turn::Called);
            }
        }
    }
}

/// The right to open one connection; afterwards it counts that connection as open.
#[derive(Debug)]
pub(crate) struct Permit {
    host: Arc<Host>,
    watcher: Arc<Watcher>,
    /// The connection, and why it closes; none while it is being opened.
    connection: Option<(u64, Reason)>,
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The runtime of the lane has no watcher any more.
    WatcherGone,
    AddressFull,
    PoolFull,
}

impl Permit {
    /// A permit for a connection that is about to be opened.
    pub(crate) fn new(lane: &Lane) -> Result<Self, Refusal> {
        let host = &lane.host;
        if !lane.watcher.stay() {
            return Err(Refusal::WatcherGone);
        }
        if !raise_below(&host.open, host.limit()) {
            lane.watcher.leave();
            return Err(Refusal::AddressFull);
        }
        if !host.shared.add_open() {
            host.open.fetch_sub(1, Ordering::SeqCst);
            lane.watcher.leave();
            return Err(Refusal::PoolFull);
        }
        host.counters.opening();
        let (host, watcher) = (Arc::clone(host), Arc::clone(&lane.watcher));
        Ok(Self { host, watcher, connection: None })
    }

    /// The connection is open, and this is its id. If nobody says why it closes, its request was cancelled.
    pub(crate) fn opened(&mut self, took: Duration) -> u64 {
        let id = self.host.shared.next_connection_id();
        self.host.counters.opening_ended();
        self.host.counters.opened();
        self.connection = Some((id, Reason::Cancelled));
        self.host.tell(|| Event::Opened { id, took });
        id
    }

    /// Where the connection counts while its request is due.
    pub(crate) fn due(&self) -> Arc<Due> {
        Arc::clone(self.watcher.due())
    }

    /// Says why the connection is about to close.
    pub(crate) fn closing(&mut self, why: Reason) {
        if let Some((_, reason)) = &mut self.connection {
            *reason = why;
        }
        if why == Reason::Unsolicited && self.host.shared.settings.quarantine {
            self.host.quarantine.strike(Instant::now());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.connection {
            Some((id, reason)) => {
                self.host.counters.closed(reason);
                self.host.tell(|| Event::Closed { id, reason });
            }
            None => self.host.counters.opening_ended(),
        }
        self.host.shared.remove_open();
        self.host.open.fetch_sub(1, Ordering::SeqCst);
        self.host.tell_if_vacated();
        self.watcher.leave();
        self.host.offer_room();
    }
}
