//! What the pool knows about one address, whatever the type of the address.
//!
//! ```text
//!   Host (one per address)            name, counters, how many connections are open, what was learnt
//!    └─ Member (one per runtime)      idle connections and waiters: a lane
//!        └─ Permit                    one connection, while it exists
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::changes::Changes;
use super::idle_limit::LearntIdleLimit;
use super::member::Member;
use super::outage::Outage;
use super::peers::Peers;
use super::pool_state::PoolState;
use super::quarantine::Quarantine;
use super::retry_budget::{RetryBudget, RetryToken};
use super::siblings::Siblings;
use crate::report::{Counters, Error, Event, ServerInfo};
use crate::settings::Settings;
use crate::sync::{self, Mutex};

pub(crate) struct Host {
    server: Arc<ServerInfo>,
    pub(super) pool: Arc<PoolState>,
    settings: Arc<Settings>,
    quarantine: Quarantine,
    pub(super) siblings: Siblings,
    idle_limit: LearntIdleLimit,
    retry_budget: Arc<RetryBudget>,
    peers: Peers,
    pub(super) outage: Mutex<Outage>,
    /// Whether the outage is on; changes with it, under its lock, and spares most the lock.
    pub(super) fails: AtomicBool,
    /// How many requests wait in all members, so that the members are visited only when there are any.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) open: AtomicUsize,
    retired: AtomicBool,
    vacated: Notify,
    /// What those look at that stand in line.
    pub(super) changes: Changes,
    pub(super) members: Mutex<Vec<Weak<dyn Member>>>,
}

impl Host {
    pub(crate) fn new(
        server: Arc<ServerInfo>,
        pool: Arc<PoolState>,
        settings: Arc<Settings>,
    ) -> Arc<Self> {
        Arc::new(Self {
            server,
            pool,
            settings,
            quarantine: Quarantine::default(),
            siblings: Siblings::new(Instant::now()),
            idle_limit: LearntIdleLimit::default(),
            retry_budget: Arc::default(),
            peers: Peers::default(),
            outage: Mutex::default(),
            fails: AtomicBool::new(false),
            waiting: Arc::default(),
            open: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            vacated: Notify::new(),
            changes: Changes::default(),
            members: Mutex::default(),
        })
    }

    #[inline]
    pub(crate) fn name(&self) -> &Arc<str> {
        self.server.name()
    }

    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        self.server.counters()
    }

    pub(crate) fn server(&self) -> &Arc<ServerInfo> {
        &self.server
    }

    #[inline]
    pub(crate) fn pool(&self) -> &PoolState {
        &self.pool
    }

    #[inline]
    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// The count that the queues of all members share.
    pub(crate) fn waiting(&self) -> &Arc<AtomicUsize> {
        &self.waiting
    }

    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    pub(crate) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        self.settings().observed.tell(&self.server, event);
    }

    /// The socket addresses behind the address; none where it is no name.
    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    // What was learnt.

    /// A request found its connection given up by the server, after it had been idle for `idle_for`.
    pub(crate) fn note_stale(&self, idle_for: Duration, now: Instant) {
        self.counters().stale();
        self.note_idle_close(idle_for, now);
    }

    /// The server has closed a connection that had been idle for `idle_for`.
    pub(crate) fn note_idle_close(&self, idle_for: Duration, now: Instant) {
        self.idle_limit.note_close(idle_for, now);
    }

    /// A response has come over a connection that had carried `uses` requests with it, and had been idle before.
    #[inline]
    pub(crate) fn note_response(&self, uses: u64, idle_for: Duration) {
        if uses > 1 {
            self.counters().reused();
            self.idle_limit.prove(idle_for);
        }
    }

    /// The connection that closes had received bytes without a request.
    pub(super) fn note_unsolicited(&self, now: Instant) {
        if self.settings().quarantine {
            self.quarantine.strike(now);
        }
    }

    /// Whether no connection may be lent twice, because the server answers out of step.
    #[inline]
    pub(crate) fn is_quarantined(&self, now: Instant) -> bool {
        self.quarantine.is_on(now)
    }

    /// How long a connection may be idle: by the settings, and as far as the server keeps it.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        let timeout = self.settings().idle_timeout;
        match self.idle_limit.limit() {
            learnt @ Some(_) if self.settings().learn_idle_limit => {
                learnt.into_iter().chain(timeout).min()
            }
            _ => timeout,
        }
    }

    /// Tries what was learnt of the server anew, now and then. An unused host is only forgotten.
    pub(crate) fn relax(&self, now: Instant) {
        if self.has_connections() {
            self.idle_limit.relax(now);
        }
        if let Some(then) = self.idle_limit().and_then(|limit| now.checked_sub(limit)) {
            self.forget_siblings_before(then);
        }
    }

    /// Whether anything was learnt that is worth the memory of a host without connections.
    pub(crate) fn has_learnt(&self, now: Instant) -> bool {
        self.is_quarantined(now)
            || self.idle_limit.is_remembered(now)
            || self.outage.lock().is_remembered(now)
            || self.peers.are_remembered(now)
    }

    /// Leave to send a request again that had reached the server; none if the budget is spent.
    pub(crate) fn retry_token(&self) -> Option<RetryToken> {
        RetryToken::take(&self.retry_budget, self.counters().requests())
    }

    /// A dial has failed, whatever the reason.
    pub(crate) fn note_failed_dial(&self, error: &Error) {
        self.counters().failed_to_open();
        self.tell(|| Event::OpenFailed { error });
    }

    // Retired, vacant, vacated.

    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Retires the host or takes it back; true if that changes it.
    pub(crate) fn set_retired(&self, retired: bool) -> bool {
        let before = self.retired.swap(retired, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        before != retired
    }

    /// Whether the host has no connection, open or opening, and the caller has not retired it.
    pub(crate) fn is_vacant(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && !self.is_retired()
    }

    /// Waits until no connection of the host is open, and no request waits for one.
    pub(crate) async fn vacated(&self) {
        sync::wait_until(&self.vacated, || self.is_vacated()).await;
    }

    fn is_vacated(&self) -> bool {
        self.open.load(Ordering::SeqCst) == 0 && self.waiting.load(Ordering::SeqCst) == 0
    }

    /// A connection has closed, or a request no longer waits.
    pub(crate) fn notify_if_vacated(&self) {
        if self.is_vacated() {
            self.vacated.notify_waiters();
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("name", &self.name()).field("open", &self.open).finish()
    }
}
