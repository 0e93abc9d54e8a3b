//! What all hosts of a pool share: the settings, the total count, and the line for it.
//!
//! What must hold: the count of open connections never exceeds its limit, since it is raised only by a
//! compare-and-swap below it; and whoever was refused is called when one closes (`line.rs`).

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

use tokio::sync::Notify;

use crate::line::Line;
use crate::ranking::Ranking;
use crate::settings::Settings;
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) forgotten: Counters,
    /// The idle connections of all hosts by age, kept only where a limit asks for it.
    pub(crate) ranking: Ranking,
    /// Those who wait for the total limit.
    pub(crate) line: Line,
    /// Told when the pool closes.
    pub(crate) closing: Notify,
    open: AtomicUsize,
    idle: AtomicUsize,
    sequence: AtomicU64,
    connections: AtomicU64,
    closed: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            forgotten: Counters::default(),
            ranking: Ranking::default(),
            line: Line::default(),
            closing: Notify::new(),
            open: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            sequence: AtomicU64::new(1),
            connections: AtomicU64::new(1),
            closed: AtomicBool::new(false),
        }
    }

    /// From here on nothing comes home. Idle connections are the caller's to close afterwards.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.closing.notify_waiters();
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn next_connection_id(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// Orders check-ins over all hosts; from 1, so that there is something before the first.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts one more open connection, unless the pool is full.
    pub(crate) fn add_open(&self) -> bool {
        raise_below(&self.open, self.settings.max_connections)
    }

    pub(crate) fn remove_open(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn has_room(&self) -> bool {
        self.settings.max_connections.is_none_or(|limit| self.open.load(Ordering::SeqCst) < limit)
    }

    /// Counts one more idle connection; true if that is one too many.
    pub(crate) fn add_idle(&self) -> bool {
        match self.settings.max_idle {
            Some(limit) => self.idle.fetch_add(1, Ordering::Relaxed) >= limit,
            None => false,
        }
    }

    pub(crate) fn remove_idle(&self) {
        if self.settings.max_idle.is_some() {
            self.idle.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Closes the connection that has been idle longest, if somebody in the line is to have its place.
    ///
    /// Whoever is called then looks for itself, and closes more if need be.
    pub(crate) fn make_way(&self) {
        if self.settings.max_connections.is_some() && self.line.is_uncalled(std::ptr::null()) {
            self.ranking.evict();
        }
    }
}

/// Adds one, unless that would exceed the limit.
pub(crate) fn raise_below(count: &AtomicUsize, limit: Option<usize>) -> bool {
    let limit = limit.unwrap_or(usize::MAX);
    let raise = |count| (count < limit).then(|| count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).is_ok()
}
