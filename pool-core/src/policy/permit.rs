//! The right to open one connection; afterwards the count of it.
//!
//! What must hold: a connection exists only with a [`Permit`], and what a permit counts is given back when it drops,
//! whatever path led there; then the members that were refused for it are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;
use super::runtime::Runtime;
use crate::report::{Carried, Event, Reason};

#[derive(Debug)]
pub(crate) struct Permit {
    host: Arc<Host>,
    runtime: Arc<Runtime>,
    connection: Opening,
}

/// How far the connection of a permit has come.
#[derive(Clone, Copy, Debug)]
enum Opening {
    UnderWay,
    Open {
        id: u64,
        since: Instant,
        /// Why it closes.
        reason: Reason,
    },
    /// Its end is told.
    Closed,
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The watcher of the runtime has gone.
    WatcherGone,
    AddressFull,
    PoolFull,
}

impl Permit {
    /// A permit for a connection to `host` that is about to be opened in `runtime`.
    pub(crate) fn new(host: &Arc<Host>, runtime: &Arc<Runtime>) -> Result<Self, Refusal> {
        if !runtime.stay() {
            return Err(Refusal::WatcherGone);
        }
        if !host.add_open() {
            runtime.leave();
            return Err(Refusal::AddressFull);
        }
        if !host.pool().add_open() {
            host.remove_open();
            runtime.leave();
            return Err(Refusal::PoolFull);
        }
        host.counters().opening();
        Ok(Self {
            host: Arc::clone(host),
            runtime: Arc::clone(runtime),
            connection: Opening::UnderWay,
        })
    }

    /// The connection is open since `now`; gives its id. Unless a reason is given before it closes, its request was cancelled.
    pub(crate) fn opened(&mut self, now: Instant, took: Duration) -> u64 {
        let id = self.host.pool().next_connection_id();
        self.host.counters().opening_ended();
        self.host.counters().opened();
        self.connection = Opening::Open { id, since: now, reason: Reason::Cancelled };
        self.host.tell(|| Event::Opened { id, took });
        id
    }

    /// The connection is about to close, for `why`.
    pub(crate) fn set_reason(&mut self, why: Reason) {
        if let Opening::Open { reason, .. } = &mut self.connection {
            *reason = why;
        }
        if why == Reason::Unsolicited {
            self.host.note_unsolicited(Instant::now());
        }
    }

    /// The connection has closed, and had carried so much.
    pub(crate) fn closed(&mut self, carried: Carried) {
        if let Opening::Open { id, since, reason } = self.connection {
            self.connection = Opening::Closed;
            self.host.counters().closed(reason);
            self.host.connection_closed(id);
            self.host.tell(|| Event::Closed { id, reason, age: since.elapsed(), carried });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.connection {
            Opening::UnderWay => self.host.counters().opening_ended(),
            Opening::Open { .. } => self.closed(Carried::default()),
            Opening::Closed => {}
        }
        self.host.pool().remove_open();
        self.host.remove_open();
        self.host.notify_if_vacated();
        self.runtime.leave();
        self.host.offer_room();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use tokio::runtime::Handle;

    use super::*;
    use crate::policy::fake_member::FakeMember;
    use crate::policy::member::Member;
    use crate::policy::pool_state::PoolState;
    use crate::report::{Holdings, ServerInfo, Stats};
    use crate::settings::Settings;

    fn host(total: Option<usize>, per_address: Option<usize>) -> (Arc<Host>, Arc<Runtime>) {
        let settings = Settings {
            max_connections: total,
            max_connections_per_address: per_address,
            ..Settings::default()
        };
        let pool = Arc::new(PoolState::new(settings));
        let settings = Arc::clone(pool.settings());
        let host = Host::new(ServerInfo::nowhere(), pool, settings);
        (host, Arc::new(Runtime::new(Handle::current().id())))
    }

    fn stats(host: &Host) -> Stats {
        let mut stats = Stats::default();
        stats.add(host.counters(), Holdings::default());
        stats
    }

    #[tokio::test]
    async fn no_permit_is_given_beyond_a_limit_and_one_that_drops_makes_room() {
        for (limits, refusal) in
            [((Some(2), None), Refusal::PoolFull), ((None, Some(2)), Refusal::AddressFull)]
        {
            let (host, runtime) = host(limits.0, limits.1);
            let permit = || Permit::new(&host, &runtime);
            let held = [permit().unwrap(), permit().unwrap()];
            assert_eq!(permit().unwrap_err(), refusal);
            drop(held);
            assert!(permit().is_ok());
        }
    }

    #[tokio::test]
    async fn a_permit_counts_its_connection_as_opening_then_open_then_closed() {
        let (host, runtime) = host(None, None);
        let mut permit = Permit::new(&host, &runtime).unwrap();
        assert_eq!((stats(&host).opening, stats(&host).opened), (1, 0));
        permit.opened(Instant::now(), Duration::ZERO);
        assert_eq!((stats(&host).opening, stats(&host).opened), (0, 1));
        permit.set_reason(Reason::IdleTimeout);
        drop(permit);
        assert_eq!(stats(&host).closed(Reason::IdleTimeout), 1);
        drop(Permit::new(&host, &runtime).unwrap());
        assert_eq!((stats(&host).opening, stats(&host).opened), (0, 1));
    }

    #[tokio::test]
    async fn members_that_wait_for_room_are_told_when_a_permit_drops() {
        let (total, runtime) = host(Some(1), None);
        let member = FakeMember::waiting();
        let permit = Permit::new(&total, &runtime).unwrap();
        let queued: Arc<dyn Member> = member.clone();
        total.pool().limit_queue.join(&queued);
        drop(permit);
        assert_eq!(member.times_told(), 1);

        let (per_address, runtime) = host(None, Some(1));
        let member = FakeMember::waiting();
        let weak: Weak<FakeMember> = Arc::downgrade(&member);
        per_address.add_member(weak);
        per_address.waiting().fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let permit = Permit::new(&per_address, &runtime).unwrap();
        assert_eq!(member.times_told(), 0);
        drop(permit);
        assert_eq!(member.times_told(), 1);
    }

    #[tokio::test]
    async fn a_runtime_whose_watcher_has_gone_gets_no_permit_and_keeps_no_count() {
        let (host, runtime) = host(Some(1), Some(1));
        runtime.set_gone();
        assert_eq!(Permit::new(&host, &runtime).unwrap_err(), Refusal::WatcherGone);
        assert!(host.has_room() && host.pool().has_room());
    }
}
