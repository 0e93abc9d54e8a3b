//! The connections of one host that one runtime drives: at rest, or waited for.
//!
//! A connection is driven by the runtime that opened it, so it is lent only to requests of that runtime:
//! idle connections and waiters stand in lanes.
//!
//! What must hold: while anybody waits nothing stays at rest. Who lays a connection to rest looks for waiters
//! afterwards; who joins the queue looks for connections afterwards. One of the two sees the other.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use crate::backoff::Trial;
use crate::connector::Target;
use crate::head::Naming;
use crate::host::{Host, Permit};
use crate::idle::Idle;
use crate::kept::Kept;
use crate::lease::Lease;
use crate::lent::Lent;
use crate::multiplex::Multiplex;
use crate::queue::Queue;
use crate::resting::{Resting, Woken};
use crate::shared::Shared;
use crate::standing::Standing;
use crate::stats::Reason;
use crate::streams::InUse;
use crate::waker::Watch;
use crate::watcher::Watcher;

pub(crate) struct Lane {
    pub(crate) host: Arc<Host>,
    pub(crate) watcher: Arc<Watcher>,
    pub(crate) idle: Idle<Resting>,
    pub(crate) naming: Naming,
    pub(crate) in_use: InUse,
    queue: Queue,
    dialer: Box<dyn Dial>,
    pub(crate) parked: AtomicUsize,
    /// Every older connection at rest is parked; only the watcher parks.
    pub(crate) parked_up_to: AtomicU64,
    /// How many connections were handed on here while others stood in the line.
    pub(crate) handed_on: AtomicUsize,
    pub(crate) standing: Standing,
}

/// So many connections that are worn out are closed on behalf of one request before it asks for a new one.
const WORN_AT_ONCE: usize = 8;

/// Opens connections to the lane's address, whose type only the implementor knows.
pub(crate) trait Dial: Send + Sync {
    /// Starts a task of the current runtime, the lane's, that ends in
    /// [`checkin`](Lane::checkin) or [`dial_failed`](Lane::dial_failed).
    ///
    /// A `trial` waits first.
    fn dial(&self, lane: Arc<Lane>, permit: Permit, trial: Option<Trial>);

    /// Whether a connection that it opens may serve many at once.
    fn may_share(&self) -> bool;

    /// What the address means in HTTP.
    fn target(&self) -> Target;
}

impl Lane {
    pub(crate) fn new(
        host: Arc<Host>,
        watcher: Arc<Watcher>,
        dialer: Box<dyn Dial>,
        naming: Naming,
    ) -> Arc<Self> {
        let queue = Queue::new(Arc::clone(&host.waiting), dialer.may_share());
        let lane = Arc::new(Self {
            host,
            watcher,
            idle: Idle::new(),
            naming,
            in_use: InUse::default(),
            queue,
            dialer,
            parked: AtomicUsize::new(0),
            parked_up_to: AtomicU64::new(0),
            handed_on: AtomicUsize::new(0),
            standing: Standing::default(),
        });
        lane.host.add_lane(&lane);
        lane
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.watcher.runtime()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn dialer(&self) -> &dyn Dial {
        &*self.dialer
    }

    /// How many connections rest here, parked ones included.
    pub(crate) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.host.shared
    }

    // The way of every request: check out, check in.

    /// Takes the connection that came home last, unless others have waited longer.
    pub(crate) fn checkout(self: Arc<Self>, now: Instant) -> Option<Lent> {
        if self.queue.waiting() > 0 { None } else { self.take_newest(now) }
    }

    pub(crate) fn take_newest(self: Arc<Self>, now: Instant) -> Option<Lent> {
        if self.in_use.is_any()
            && let Some(slot) = self.take_stream(|_| true)
        {
            return Some(Lent::Stream(Box::new(slot)));
        }
        for _ in 0..WORN_AT_ONCE {
            let resting = self.out(self.idle.pop_newest())?;
            let rested = resting.age(now);
            if let Some(reason) = self.unfit_after_rest(&resting, rested, now) {
                resting.discard(reason);
                if self.is_expired(rested) {
                    // So are all the others, which are older: the watcher closes them, in batches.
                    return None;
                }
                // What rests behind it may be younger.
                continue;
            }
            match resting.wake(rested)? {
                Woken::Connection(connection) => {
                    return Some(Lent::Connection(Lease::new(connection, self)));
                }
                Woken::Multiplex(multiplex) => {
                    if let Some(slot) = self.use_rested(&multiplex, rested) {
                        return Some(Lent::Stream(Box::new(slot)));
                    }
                }
            }
        }
        None
    }

    /// Why a connection must not be lent again.
    #[inline(always)]
    pub(crate) fn unfit(&self, connection: &Kept, now: Instant) -> Option<Reason> {
        let suspect = self.is_suspect(connection.use_number, now);
        suspect.then_some(Reason::Quarantined).or_else(|| connection.worn_out(self.shared(), now))
    }

    /// Why a connection that has rested since then must not be lent again.
    fn unfit_after_rest(
        &self,
        resting: &Resting,
        rested: Duration,
        now: Instant,
    ) -> Option<Reason> {
        if self.is_expired(rested) {
            return Some(Reason::IdleTimeout);
        }
        match resting.kept() {
            Some(kept) if kept.has_rested(rested) => Some(Reason::IdleTimeout),
            Some(kept) => self.unfit(kept, now),
            None => self.unfit_to_share(resting.multiplex()?, now),
        }
    }

    fn unfit_to_share(&self, multiplex: &Multiplex, now: Instant) -> Option<Reason> {
        let suspect = self.is_suspect(multiplex.use_number(), now);
        suspect.then_some(Reason::Quarantined).or_else(|| multiplex.worn_out(self.shared(), now))
    }

    /// Whether a connection that has served is not to be trusted.
    fn is_suspect(&self, use_number: u64, now: Instant) -> bool {
        self.host.quarantine.is_on(now) && use_number > 0
    }

    /// Why nothing rests here any more, if that is so.
    #[inline]
    pub(crate) fn closed_for(&self) -> Option<Reason> {
        let [closed, retired, gone] =
            [self.shared().is_closed(), self.host.is_retired(), self.watcher.is_gone()];
        (closed | retired | gone).then(|| why_closed(closed, retired))
    }

    /// Counts what has left the idle store.
    pub(crate) fn out(&self, resting: Option<Resting>) -> Option<Resting> {
        if let Some(resting) = &resting {
            self.shared().remove_idle();
            if resting.is_parked() {
                self.parked.fetch_sub(1, Ordering::Relaxed);
            }
        }
        resting
    }

    pub(crate) fn is_expired(&self, rested: Duration) -> bool {
        self.idle_limit().is_some_and(|limit| rested >= limit)
    }

    /// How long connections may rest: by the settings, and as far as the server keeps them.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        let timeout = self.shared().settings.idle_timeout;
        match self.host.horizon.limit() {
            learnt @ Some(_) if self.shared().settings.learn_idle_limit => {
                learnt.into_iter().chain(timeout).min()
            }
            _ => timeout,
        }
    }
}

#[cold]
fn why_closed(closed: bool, retired: bool) -> Reason {
    if closed {
        Reason::PoolClosed
    } else if retired {
        Reason::Retired
    } else {
        Reason::RuntimeGone
    }
}

impl Watch for Lane {
    fn stirred(self: Arc<Self>, sequence: u64) {
        let watcher = Arc::clone(&self.watcher);
        watcher.look_after(self, sequence);
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("host", &self.host.name)
            .field("idle", &self.idle())
            .field("waiting", &self.queue.waiting())
            .finish()
    }
}
