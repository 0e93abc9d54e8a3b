//! What the pool knows about one address: the `Host`, its `Lane` in each runtime, and the `Permit`.
//!
//! ```text
//!   Host (one per address)            name, counters, how many are open
//!    └─ Lane (one per runtime)        idle connections of that runtime
//!        └─ Lease ─ Connection        holds a Permit while it lives
//! ```
//!
//! A connection is driven by the runtime that opened it, so it is lent only to requests of that runtime:
//! idle connections rest in lanes. None of these types knows the type of the address.
//!
//! What must hold: a connection exists only with a [`Permit`], and what a permit counts is given back when
//! it drops, whatever path led there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use tokio::runtime;
use tokio::time::Instant;

use crate::builder::Settings;
use crate::connection::Connection;
use crate::idle::Idle;
use crate::lease::Lease;
use crate::stats::{Counters, Reason};
use crate::waker::Watch;
use crate::watcher::Watcher;

/// What all hosts of a pool share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) forgotten: Counters,
    sequence: AtomicU64,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            forgotten: Counters::default(),
            sequence: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// From here on nothing comes home. Idle connections are the caller's to close afterwards.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(crate) struct Host {
    /// The address, as errors tell it.
    pub(crate) name: Arc<str>,
    pub(crate) counters: Counters,
    pub(crate) shared: Arc<Shared>,
    open: AtomicUsize,
}

impl Host {
    pub(crate) fn new(name: Arc<str>, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { name, counters: Counters::default(), shared, open: AtomicUsize::new(0) })
    }

    /// Whether nothing of this host exists: not open, not opening.
    pub(crate) fn is_vacant(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.shared.forgotten.absorb(&self.counters);
    }
}

/// The connections of one host that one runtime drives.
pub(crate) struct Lane {
    pub(crate) host: Arc<Host>,
    pub(crate) watcher: Arc<Watcher>,
    idle: Idle<Resting>,
}

struct Resting {
    connection: Box<Connection>,
    since: Instant,
}

impl Lane {
    pub(crate) fn new(host: Arc<Host>, watcher: Arc<Watcher>) -> Arc<Self> {
        Arc::new(Self { host, watcher, idle: Idle::new() })
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.watcher.runtime()
    }

    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Takes the connection that came home last, if it has not been idle for too long.
    pub(crate) fn checkout(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let Resting { connection, since } = self.idle.pop_newest()?;
        if self.is_expired(since, now) {
            // So are all the others, which are older: the watcher closes them, in batches.
            connection.discard(Reason::IdleTimeout);
            return None;
        }
        connection.leave_rest();
        if self.host.shared.settings.probe {
            connection.ask_kernel();
        }
        self.host.counters.reused();
        Some(Lease::new(connection, Arc::clone(self)))
    }

    /// Lays a connection to rest whose message has ended.
    pub(crate) fn checkin(&self, mut connection: Box<Connection>) {
        let shared = &self.host.shared;
        if shared.settings.idle_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return connection.discard(Reason::IdleTimeout);
        }
        let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
        match connection.rest(sequence) {
            Ok(()) => self.insert(sequence, connection, Instant::now()),
            Err(reason) => connection.discard(reason),
        }
    }

    fn insert(&self, sequence: u64, connection: Box<Connection>, since: Instant) {
        let waker = Arc::clone(connection.waker());
        self.idle.push(sequence, Resting { connection, since });
        waker.found();
        // Whoever closes the pool or loses the runtime empties the lane after saying so, and this looks
        // after filling it: one of the two finds the connection.
        if let Some(reason) = self.closed_for() {
            self.clear(reason);
        }
    }

    fn closed_for(&self) -> Option<Reason> {
        if self.host.shared.is_closed() {
            Some(Reason::PoolClosed)
        } else if self.watcher.is_gone() {
            Some(Reason::RuntimeGone)
        } else {
            None
        }
    }

    /// Looks at an idle connection that has stirred: closes it, or lays it back where it was.
    pub(crate) fn look_after(&self, sequence: u64) {
        let Some(Resting { mut connection, since }) = self.idle.take(sequence) else { return };
        match connection.rest_after_poll(sequence) {
            Ok(()) => self.insert(sequence, connection, since),
            Err(reason) => connection.discard(reason),
        }
    }

    /// Closes the connection that has been idle longest, if that is too long. False when there is none.
    pub(crate) fn reap_one(&self, now: Instant) -> bool {
        let expired = |resting: &Resting| self.is_expired(resting.since, now);
        match self.idle.pop_oldest_if(expired) {
            Some(resting) => {
                resting.connection.discard(Reason::IdleTimeout);
                true
            }
            None => false,
        }
    }

    /// When the connection that has been idle longest will have been so for too long.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        let timeout = self.host.shared.settings.idle_timeout?;
        self.idle.oldest(|resting| resting.since)?.checked_add(timeout)
    }

    /// Closes all that is idle.
    pub(crate) fn clear(&self, reason: Reason) {
        while let Some(resting) = self.idle.pop_newest() {
            resting.connection.discard(reason);
        }
    }

    fn is_expired(&self, since: Instant, now: Instant) -> bool {
        let timeout = self.host.shared.settings.idle_timeout;
        timeout.is_some_and(|timeout| now.saturating_duration_since(since) >= timeout)
    }
}

impl Watch for Lane {
    fn stirred(self: Arc<Self>, sequence: u64) {
        let watcher = Arc::clone(&self.watcher);
        watcher.look_after(self, sequence);
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("host", &self.host.name).field("idle", &self.idle()).finish()
    }
}

/// The right to open one connection; afterwards it counts that connection as open.
#[derive(Debug)]
pub(crate) struct Permit {
    host: Arc<Host>,
    watcher: Arc<Watcher>,
    reason: Option<Reason>,
}

impl Permit {
    /// A permit for a connection that is about to be opened; none if the lane's watcher has gone.
    pub(crate) fn new(lane: &Lane) -> Option<Self> {
        if !lane.watcher.add_connection() {
            return None;
        }
        let host = Arc::clone(&lane.host);
        host.open.fetch_add(1, Ordering::AcqRel);
        host.counters.opening();
        Some(Self { host, watcher: Arc::clone(&lane.watcher), reason: None })
    }

    /// The connection is open; if nobody says why it closes, its request was cancelled.
    pub(crate) fn opened(&mut self) {
        self.host.counters.opening_ended();
        self.host.counters.opened();
        self.reason = Some(Reason::Cancelled);
    }

    /// Says why the connection is about to close.
    pub(crate) fn closing(&mut self, reason: Reason) {
        self.reason = Some(reason);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.reason {
            Some(reason) => self.host.counters.closed(reason),
            None => self.host.counters.opening_ended(),
        }
        self.host.open.fetch_sub(1, Ordering::AcqRel);
        self.watcher.remove_connection();
    }
}
