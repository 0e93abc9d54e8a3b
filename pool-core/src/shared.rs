//! What all hosts of a pool share: the settings, the total count, and the line for it.
//!
//! What must hold: the count of open connections never exceeds its limit, since it is raised only by a
//! compare-and-swap below it; and whoever was refused is called when one closes. A lane that was refused
//! joins the line and then looks once more; whoever closes a connection counts it down and then looks at
//! the line. One of the two sees the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::lane::Lane;
use crate::ranking::Ranking;
use crate::settings::Settings;
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) forgotten: Counters,
    /// The idle connections of all hosts by age, kept only where a limit asks for it.
    pub(crate) ranking: Ranking,
    /// Told when the pool closes.
    pub(crate) closing: Notify,
    open: AtomicUsize,
    idle: AtomicUsize,
    line: Mutex<VecDeque<Weak<Lane>>>,
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
            closing: Notify::new(),
            open: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
            line: Mutex::default(),
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

    /// Puts a lane that the full pool refused at the end of the line; false if it stands there already.
    pub(crate) fn join_line(&self, lane: &Arc<Lane>) -> bool {
        // The lane's mark changes with the line, under its lock.
        let mut line = self.line();
        let joins = lane.standing.enter_line();
        if joins {
            line.push_back(Arc::downgrade(lane));
        }
        joins
    }

    /// The first lane of each runtime in the line; they stay there until they have what they wait for.
    ///
    /// Of each, because one runtime may stand still and must not hold up the others. Lanes that want nothing
    /// any more, or cannot come, are sent away.
    pub(crate) fn heads_of_line(&self) -> Vec<Arc<Lane>> {
        let lanes: Vec<_> = self.line().iter().filter_map(Weak::upgrade).collect();
        let mut heads: Vec<Arc<Lane>> = Vec::new();
        for lane in lanes {
            if lane.watcher.is_gone() || !lane.queue().wants_dial() {
                self.leave_line(&lane);
            } else if !heads.iter().any(|head| head.runtime() == lane.runtime()) {
                heads.push(lane);
            }
        }
        heads
    }

    pub(crate) fn leave_line(&self, lane: &Arc<Lane>) {
        if lane.standing.is_in_line() {
            let mut line = self.line();
            lane.standing.leave_line();
            line.retain(|waiting| !std::ptr::eq(waiting.as_ptr(), Arc::as_ptr(lane)));
        }
    }

    /// Whether anybody stands in the line who still wants to dial.
    pub(crate) fn is_line_waiting(&self) -> bool {
        self.is_line_waiting_beside(std::ptr::null())
    }

    /// As [`is_line_waiting`](Self::is_line_waiting), for anybody but one lane.
    pub(crate) fn is_line_waiting_beside(&self, lane: *const Lane) -> bool {
        if self.settings.max_connections.is_none() {
            return false;
        }
        // Out of the lock before they are dropped, which may close connections.
        let lanes: Vec<_> = self.line().iter().filter_map(Weak::upgrade).collect();
        lanes.iter().any(|other| Arc::as_ptr(other) != lane && other.queue().wants_dial())
    }

    fn line(&self) -> MutexGuard<'_, VecDeque<Weak<Lane>>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds one, unless that would exceed the limit.
pub(crate) fn raise_below(count: &AtomicUsize, limit: Option<usize>) -> bool {
    let limit = limit.unwrap_or(usize::MAX);
    let raise = |count| (count < limit).then(|| count + 1);
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raise).is_ok()
}
