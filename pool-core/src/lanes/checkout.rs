//! Check out: the newest idle connection that may be lent, or a stream of a shared one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::idle_connection::{CheckedOut, IdleConnection};
use super::lane::Lane;
use super::lease::{ConnectionLease, Lease};
use crate::policy::{Host, Standing};
use crate::report::Reason;

/// At most so many connections that may not be lent are closed on behalf of one request before it asks for a new one.
const CLOSED_AT_ONCE: usize = 8;

/// Which idle connections a request takes, after the failure of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// No failure is known.
    Any,
    Good,
    /// One that was set aside too, to try it.
    GoodOrTried,
}

impl Trust {
    /// Of a request that may try a connection, or may not.
    #[inline]
    pub(crate) fn of(host: &Host, may_try: impl FnOnce() -> bool) -> Self {
        match () {
            () if !host.doubts_idle() => Self::Any,
            () if may_try() => Self::GoodOrTried,
            () => Self::Good,
        }
    }
}

impl Lane {
    /// Takes the connection that was checked in last, unless other requests wait; gives the lane back if there is none.
    #[inline]
    pub(super) fn checkout(
        self: Arc<Self>,
        now: Instant,
        trust: Trust,
    ) -> Result<Lease, Arc<Self>> {
        if self.queue.waiting() > 0 { Err(self) } else { self.take_newest(now, trust) }
    }

    pub(super) fn take_newest(
        self: Arc<Self>,
        now: Instant,
        trust: Trust,
    ) -> Result<Lease, Arc<Self>> {
        if self.in_use.is_any()
            && let Some(stream) = self.take_stream(|connection| !self.tries(connection))
        {
            return Ok(Lease::Stream(Box::new(stream)));
        }
        for _ in 0..CLOSED_AT_ONCE {
            let Some(idle) = self.taken_out(self.pop_newest(trust)) else { return Err(self) };
            let idle_for = idle.idle_for(now);
            if let Some(reason) = self.unfit_after_idle(&idle, idle_for, now) {
                idle.discard(reason);
                if self.is_expired(idle_for) {
                    // So are all the others, which are older: the watcher closes them, in batches.
                    return Err(self);
                }
                // What is stored behind it may be younger.
                continue;
            }
            match idle.check_out(idle_for) {
                None => return Err(self),
                Some(CheckedOut::Http1(connection)) => {
                    return Ok(Lease::Connection(ConnectionLease::new(connection, self)));
                }
                Some(CheckedOut::Http2(connection)) => {
                    if let Some(stream) = self.use_idle(&connection, idle_for) {
                        return Ok(Lease::Stream(Box::new(stream)));
                    }
                }
            }
        }
        Err(self)
    }

    #[inline]
    fn pop_newest(&self, trust: Trust) -> Option<IdleConnection> {
        if trust == Trust::Any { self.idle.pop_newest() } else { self.pop_newest_good(trust) }
    }

    /// None if the newest is set aside or lost, as all that are older then are. The watcher closes what is lost.
    #[cold]
    fn pop_newest_good(&self, trust: Trust) -> Option<IdleConnection> {
        let may_try = trust == Trust::GoodOrTried;
        let good = |idle: &IdleConnection| {
            matches!(idle.standing(self.host(), may_try), Standing::Good | Standing::Tried)
        };
        self.idle.pop_newest_if(good)
    }

    /// Why a connection that has carried `uses` requests must not be lent again.
    #[inline(always)]
    pub(super) fn unfit(
        &self,
        (uses, used_up): (u64, Option<Reason>),
        now: Instant,
    ) -> Option<Reason> {
        let suspect = self.host().is_quarantined(now) && uses > 0;
        suspect.then_some(Reason::Quarantined).or(used_up)
    }

    /// As [`unfit`](Self::unfit), for a connection that has been idle for so long.
    #[inline]
    fn unfit_after_idle(
        &self,
        idle: &IdleConnection,
        idle_for: Duration,
        now: Instant,
    ) -> Option<Reason> {
        if self.is_expired(idle_for) || idle.is_past_hint(idle_for) {
            return Some(Reason::IdleTimeout);
        }
        self.unfit(idle.used_up(now), now)
    }

    /// Counts what has left the idle store.
    #[inline]
    pub(super) fn taken_out(&self, idle: Option<IdleConnection>) -> Option<IdleConnection> {
        if let Some(idle) = &idle {
            self.pool().remove_idle();
            if idle.is_parked() {
                self.parked.fetch_sub(1, Ordering::Relaxed);
            }
        }
        idle
    }
}
