//! Holds a request body back until the server asks for it.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const REFUSED: u8 = 2;

#[derive(Default)]
pub(crate) struct Gate {
    state: AtomicU8,
    waker: AtomicWaker,
}

impl Gate {
    /// The server has asked for the body.
    pub(super) fn open(&self) {
        self.leave_closed_for(OPEN);
    }

    /// The final answer has come: the server does not want a body that still waits. True if it does.
    pub(crate) fn refuse(&self) -> bool {
        self.leave_closed_for(REFUSED)
    }

    fn leave_closed_for(&self, state: u8) -> bool {
        let left = self.state.compare_exchange(CLOSED, state, Ordering::AcqRel, Ordering::Acquire);
        self.waker.wake();
        left.is_ok()
    }

    /// Ready when the server has asked for the body.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        match self.state.load(Ordering::Acquire) {
            OPEN => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    pub(super) fn is_refused(&self) -> bool {
        self.state.load(Ordering::Acquire) == REFUSED
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("state", &self.state).finish_non_exhaustive()
    }
}
