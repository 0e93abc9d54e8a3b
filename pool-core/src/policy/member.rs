//! The part of a host in one runtime, as this layer sees it, and where it is entered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use tokio::time::Instant;

use super::runtime::Runtime;
use crate::report::Error;

/// The connections and waiters of one host in one runtime.
pub(crate) trait Member: Send + Sync {
    fn marks(&self) -> &Marks;

    fn runtime(&self) -> &Runtime;

    /// Whether a request waits.
    fn has_waiting(&self) -> bool;

    /// Whether a dial is wanted and could begin, if a limit allows: more requests wait than dials are under way; or,
    /// while the address fails, any request does, and the next dial is due.
    fn wants_dial(&self) -> bool;

    /// How many connections are idle here.
    fn idle(&self) -> usize;

    /// The sequence of the connection that has been idle longest.
    fn oldest_idle(&self) -> Option<u64>;

    /// Closes the connection that has been idle longest, because a limit wants its place. False if none is idle.
    fn evict_oldest(&self) -> bool;

    /// Has the watcher of the runtime close what is lost, and lend what was cleared; see `siblings`.
    fn reconsider_idle(self: Arc<Self>);

    /// Has the watcher of the runtime start the dials that are wanted. Connections close in any thread, and a dial
    /// starts only in its own runtime.
    fn request_dial(self: Arc<Self>, turn: Turn);

    /// When the oldest dial has begun for which no request waits any more; none if there is no such dial.
    fn left_behind_since(&self) -> Option<Instant>;

    /// Ends dials for which no request waits any more, all but the oldest `keep` of them, and `most` at most. False if
    /// there is none to end.
    fn end_left_behind(&self, keep: usize, most: usize) -> bool;

    /// Ends the dials that began before that time, so that their waiters dial anew.
    fn end_begun_before(&self, time: Instant);

    /// Fails the requests that wait, except those that dials under way may still serve.
    fn fail_waiting(&self, error: &dyn Fn() -> Error);
}

/// Members that wait for the total limit dial in the order of their queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The member dials of its own accord.
    Own,
    /// The limit queue, or the host, has told the member that there is room.
    Granted,
}

/// Where a member is entered already. Each mark changes together with the entry.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    dial_requested: AtomicBool,
    in_limit_queue: AtomicBool,
    in_lru: AtomicBool,
    in_left_behind: AtomicBool,
}

impl Marks {
    /// True if a dial was not requested already.
    pub(crate) fn request_dial(&self) -> bool {
        !self.dial_requested.swap(true, Ordering::SeqCst)
    }

    /// Whether a dial was requested, and the watcher has not come to it yet.
    pub(super) fn is_dial_requested(&self) -> bool {
        self.dial_requested.load(Ordering::SeqCst)
    }

    /// The watcher comes to the request for a dial, and checks what is wanted afterwards: a thread that relied on the
    /// request did so before.
    pub(crate) fn take_dial_request(&self) {
        self.dial_requested.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn enter_limit_queue(&self) -> bool {
        !self.in_limit_queue.swap(true, Ordering::SeqCst)
    }

    pub(super) fn is_in_limit_queue(&self) -> bool {
        self.in_limit_queue.load(Ordering::SeqCst)
    }

    pub(super) fn leave_limit_queue(&self) {
        self.in_limit_queue.store(false, Ordering::SeqCst);
    }

    pub(super) fn enter_left_behind(&self) -> bool {
        !self.in_left_behind.swap(true, Ordering::SeqCst)
    }

    pub(super) fn leave_left_behind(&self) {
        self.in_left_behind.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(super) fn enter_lru(&self) -> bool {
        !self.in_lru.swap(true, Ordering::SeqCst)
    }

    pub(super) fn leave_lru(&self) {
        self.in_lru.swap(false, Ordering::SeqCst);
    }
}
