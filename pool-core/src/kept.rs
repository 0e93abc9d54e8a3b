//! What a connection keeps for life, with HTTP state or without: its waker, its permit, its history.

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::connector::KernelCheck;
use crate::host::Permit;
use crate::info::Origin;
use crate::keep_alive::Hint;
use crate::shared::Shared;
use crate::stats::Reason;
use crate::stream::Traffic;
use crate::waker::{ConnectionWaker, Watch};

pub(crate) struct Kept {
    pub(crate) waker: Arc<ConnectionWaker>,
    pub(crate) own_waker: Waker,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) use_number: u64,
    /// The server speaks HTTP/1.0, which hyper then does too.
    pub(crate) speaks_http10: bool,
    /// Whether hyper writes the buffers of a request as they lie, many at a time. Else it copies them into one, which
    /// is cheaper for small requests.
    pub(crate) gathers: bool,
    /// What the server has said of the life of the connection.
    pub(crate) hint: Option<Hint>,
    kernel_check: Option<KernelCheck>,
    retires: Option<Instant>,
    permit: Permit,
}

/// What is known of a stream that has just been opened.
pub(crate) struct Birth {
    pub(crate) origin: Origin,
    pub(crate) kernel_check: Option<KernelCheck>,
    pub(crate) retires: Option<Instant>,
}

impl Kept {
    /// The stream is open: from here on the permit counts it.
    pub(crate) fn new(
        mut birth: Birth,
        traffic: Arc<Traffic>,
        mut permit: Permit,
        watch: Weak<dyn Watch>,
    ) -> Self {
        let waker = ConnectionWaker::new(watch, permit.due());
        birth.origin.id = permit.opened(birth.origin.connect_time);
        Self {
            own_waker: Waker::from(Arc::clone(&waker)),
            waker,
            traffic,
            origin: Arc::new(birth.origin),
            use_number: 0,
            speaks_http10: false,
            gathers: false,
            hint: None,
            kernel_check: birth.kernel_check,
            retires: birth.retires,
            permit,
        }
    }

    /// Polls until the waker is left with the stream, to tell the watch under `sequence` when it stirs.
    /// False if the poll has ended instead.
    ///
    /// The idle store has no task that could be told to yield: with its budget spent, a constrained poll
    /// would not reach the stream at all and leave no waker there.
    pub(crate) fn rest_after_poll(
        &self,
        sequence: u64,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> bool {
        let mut quiet = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            self.waker.begin();
            let once = |_: &mut Context<'_>| {
                Poll::Ready(poll(&mut Context::from_waker(&self.own_waker)).is_ready())
            };
            let ended = pin!(unconstrained(std::future::poll_fn(once))).poll(&mut quiet);
            if ended == Poll::Ready(true) {
                return false;
            }
            if self.waker.rest(sequence) {
                return true;
            }
        }
        self.waker.rest_stirred();
        true
    }

    /// Why the connection should serve no further request, if it has lived or worked long enough.
    pub(crate) fn worn_out(&self, shared: &Shared, now: Instant) -> Option<Reason> {
        let spent = self.hint.is_some_and(|hint| hint.uses_left == Some(0));
        if spent || shared.settings.max_uses.is_some_and(|limit| self.use_number >= limit) {
            Some(Reason::MaxUses)
        } else if self.retires.is_some_and(|retires| retires <= now) {
            Some(Reason::MaxLifetime)
        } else {
            None
        }
    }

    /// Whether it has rested for as long as its server allows, by what the server itself has said.
    pub(crate) fn has_rested(&self, rest: Duration) -> bool {
        self.hint.and_then(|hint| hint.rest).is_some_and(|limit| rest >= limit)
    }

    /// Makes the next read ask the kernel whether an idle connection is still quiet.
    ///
    /// hyper reads before it writes, and hands an unsent request back when it finds an end or bytes that
    /// nobody asked for.
    pub(crate) fn ask_kernel(&self) {
        if let Some(check) = &self.kernel_check {
            check.ask();
        }
    }

    pub(crate) fn closing(&mut self, reason: Reason) {
        self.permit.closing(reason);
    }
}

impl Drop for Kept {
    /// Nobody waits for the connection any more, whoever keeps a clone of its waker.
    fn drop(&mut self) {
        self.waker.begin();
    }
}

impl Birth {
    pub(crate) fn new(
        addresses: (Option<std::net::SocketAddr>, Option<std::net::SocketAddr>),
        connect_time: Duration,
        kernel_check: Option<KernelCheck>,
        retires: Option<Instant>,
    ) -> Self {
        let (local_address, peer_address) = addresses;
        let origin = Origin { id: 0, local_address, peer_address, connect_time };
        Self { origin, kernel_check, retires }
    }
}
