//! A member for the tests of this layer: idle connections are numbers, and what it is told is counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::member::{Marks, Member, Turn};
use super::runtime::Runtime;
use crate::report::Error;
use crate::sync::Mutex;

pub(super) struct FakeMember {
    marks: Marks,
    runtime: Arc<Runtime>,
    pub(super) wants: AtomicBool,
    /// The sequences of its idle connections, the oldest first.
    pub(super) idle: Mutex<VecDeque<u64>>,
    /// How many of its dials no request waits for.
    pub(super) left_behind: AtomicUsize,
    /// How often it was told to dial.
    pub(super) told: AtomicUsize,
}

impl FakeMember {
    /// A member of the current runtime in which a request waits.
    pub(super) fn waiting() -> Arc<Self> {
        Self::in_runtime(&Arc::new(Runtime::new(Handle::current().id())))
    }

    pub(super) fn in_runtime(runtime: &Arc<Runtime>) -> Arc<Self> {
        Arc::new(Self {
            marks: Marks::default(),
            runtime: Arc::clone(runtime),
            wants: AtomicBool::new(true),
            idle: Mutex::default(),
            left_behind: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
        })
    }

    pub(super) fn with_idle(sequences: impl IntoIterator<Item = u64>) -> Arc<Self> {
        let member = Self::waiting();
        member.wants.store(false, Ordering::SeqCst);
        member.idle.lock().extend(sequences);
        member
    }

    pub(super) fn times_told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

impl Member for FakeMember {
    fn marks(&self) -> &Marks {
        &self.marks
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    fn has_waiting(&self) -> bool {
        self.wants_dial()
    }

    fn wants_dial(&self) -> bool {
        self.wants.load(Ordering::SeqCst)
    }

    fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    fn oldest_idle(&self) -> Option<u64> {
        self.idle.lock().front().copied()
    }

    fn evict_oldest(&self) -> bool {
        self.idle.lock().pop_front().is_some()
    }

    fn reconsider_idle(self: Arc<Self>) {}

    fn request_dial(self: Arc<Self>, _: Turn) {
        if self.marks.request_dial() {
            self.told.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn left_behind_since(&self) -> Option<Instant> {
        (self.left_behind.load(Ordering::SeqCst) > 0).then(Instant::now)
    }

    fn end_left_behind(&self, keep: usize, most: usize) -> bool {
        let end = |left: usize| Some(left - left.saturating_sub(keep).min(most));
        let before = self.left_behind.fetch_update(Ordering::SeqCst, Ordering::SeqCst, end);
        before.is_ok_and(|left| left > keep)
    }

    fn end_begun_before(&self, _: Instant) {}

    fn fail_waiting(&self, _: &dyn Fn() -> Error) {
        self.wants.store(false, Ordering::SeqCst);
    }
}
