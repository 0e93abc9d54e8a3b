//! What a connection keeps for life, with HTTP state or without: its waker, its history, and what it holds.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use super::driver::Buffers;
use super::keep_alive::Hint;
use crate::conn::{Hold, Lifetime, Opened};
use crate::connector::{AbsoluteForm, KernelCheck};
use crate::io::{ConnectionWaker, Traffic};
use crate::report::{Carried, Established, Reason};

pub(crate) struct Core {
    pub(super) waker: Arc<ConnectionWaker>,
    /// The same, as streams know it.
    pub(super) own_waker: Waker,
    pub(super) traffic: Arc<Traffic>,
    pub(super) established: Arc<Established>,
    pub(super) uses: u64,
    /// The server speaks HTTP/1.0, which hyper then does too.
    pub(super) speaks_http10: bool,
    pub(super) buffers: Buffers,
    /// What the server has said of the life of the connection.
    pub(super) hint: Option<Hint>,
    kernel_check: Option<KernelCheck>,
    absolute_form: Option<AbsoluteForm>,
    /// What the stream was told last.
    pub(super) uploading: bool,
    lifetime: Lifetime,
    detached: bool,
    hold: Box<dyn Hold>,
}

/// Nothing is held by a connection that counts no more.
struct Detached;

impl Hold for Detached {
    fn closing(&mut self, _: Reason) {}

    fn closed(&mut self, _: Carried) {}
}

impl Core {
    pub(super) fn new(opened: Opened, traffic: Arc<Traffic>, waker: Arc<ConnectionWaker>) -> Self {
        let Opened {
            established,
            kernel_check,
            absolute_form,
            lifetime,
            max_head,
            max_fields,
            hold,
        } = opened;
        Self {
            own_waker: Waker::from(Arc::clone(&waker)),
            waker,
            traffic,
            established: Arc::new(established),
            uses: 0,
            speaks_http10: false,
            buffers: Buffers { gathers: false, max_head, max_fields },
            hint: None,
            kernel_check,
            absolute_form,
            uploading: false,
            lifetime,
            detached: false,
            hold,
        }
    }

    /// Polls until the stream is left with the waker, which tells its watch under `sequence` when it is woken.
    /// False if the poll has ended instead.
    ///
    /// The idle store has no task that could yield: with tokio's budget spent, a constrained poll would not reach the
    /// stream at all, and would leave no waker there.
    pub(super) fn become_idle(
        &self,
        sequence: u64,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> bool {
        let mut no_task = Context::from_waker(Waker::noop());
        self.traffic.turn().begin();
        for _ in 0..2 {
            self.waker.begin();
            let once = |_: &mut Context<'_>| {
                Poll::Ready(poll(&mut Context::from_waker(&self.own_waker)).is_ready())
            };
            let ended = pin!(unconstrained(std::future::poll_fn(once))).poll(&mut no_task);
            if ended == Poll::Ready(true) {
                return false;
            }
            if self.waker.become_idle(sequence) {
                return true;
            }
        }
        self.waker.become_idle_woken();
        true
    }

    pub(crate) fn id(&self) -> u64 {
        self.established.id
    }

    /// How requests name their target, if the connection ends at a proxy that forwards them.
    #[inline]
    pub(crate) fn absolute_form(&self) -> Option<&AbsoluteForm> {
        self.absolute_form.as_ref()
    }

    /// How many requests the connection has carried.
    #[inline]
    pub(crate) fn uses(&self) -> u64 {
        self.uses
    }

    /// Why the connection may carry no further request, if it has lived or worked long enough.
    #[inline]
    pub(crate) fn used_up(&self, now: Instant) -> Option<Reason> {
        match self.hint {
            Some(hint) if hint.uses_left == Some(0) => Some(Reason::MaxUses),
            _ => self.lifetime.used_up(self.uses, now),
        }
    }

    /// Whether the server has said that it does not keep connections idle for so long.
    #[inline]
    pub(crate) fn is_past_hint(&self, idle_for: Duration) -> bool {
        self.hint.and_then(|hint| hint.idle).is_some_and(|limit| idle_for >= limit)
    }

    /// Gives up what it holds: it counts as closed from here on, and carries no further request of the pool.
    pub(super) fn detach(&mut self) {
        self.closing(Reason::Detached);
        self.hold.closed(self.carried());
        self.hold = Box::new(Detached);
        self.lifetime.end();
        self.detached = true;
    }

    pub(super) fn is_detached(&self) -> bool {
        self.detached
    }

    /// The watch can find the connection in the idle store now.
    #[inline]
    pub(crate) fn can_be_found(&self) {
        self.waker.can_be_found();
    }

    /// Makes the next read reach the stream, and the kernel behind it, to find out whether an idle connection has been
    /// closed or written to.
    ///
    /// hyper reads before it writes, and hands an unsent request back when it finds an end or bytes that came unasked.
    #[inline]
    pub(super) fn probe(&self) {
        // A stream may know of its end before it wakes the connection.
        self.waker.disarm();
        if let Some(check) = &self.kernel_check {
            check.ask();
        }
    }

    /// Tells the stream whether an upload is under way.
    #[inline]
    pub(super) fn set_uploading(&mut self, uploading: bool) {
        if self.uploading != uploading {
            self.uploading = uploading;
            if let Some(check) = &self.kernel_check {
                check.set_uploading(uploading);
            }
        }
    }

    pub(super) fn closing(&mut self, reason: Reason) {
        self.hold.closing(reason);
    }

    fn carried(&self) -> Carried {
        let (written, read) = (self.traffic.written(), self.traffic.read());
        Carried { requests: self.uses, written, read }
    }
}

impl Drop for Core {
    /// No task waits for the connection any more, though clones of its waker may live on. Its socket has closed before.
    fn drop(&mut self) {
        self.waker.begin();
        self.hold.closed(self.carried());
    }
}
