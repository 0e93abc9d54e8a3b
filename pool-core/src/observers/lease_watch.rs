//! Which connections have been lent for too long: an observer that finds bodies which are never read to their end.
//!
//! In Rust a body that is dropped gives its connection up, so what leaks is a body that is held and neither read nor
//! dropped. The pool itself keeps no list of what is lent; a caller that wants one pays for it here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::report::{Event, Observer, ServerInfo};
use crate::sync::{Mutex, MutexGuard};

/// An [`Observer`] that remembers since when each connection has been checked out.
///
/// # Examples
///
/// ```
/// # use pool_core::{Connector, Pool};
/// # fn build(connector: impl Connector) -> Result<(), pool_core::BuildError> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use pool_core::LeaseWatch;
///
/// let leases = Arc::new(LeaseWatch::new());
/// let pool = Pool::builder(connector).observer(Arc::clone(&leases)).build()?;
/// for lease in leases.older_than(Duration::from_secs(60)) {
///     eprintln!("connection {} to {} is out for {:?}", lease.id, lease.address, lease.leased_for);
/// }
/// # drop(pool);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct LeaseWatch {
    leased: Mutex<HashMap<u64, Leased>>,
}

/// A connection that is lent.
#[derive(Debug)]
struct Leased {
    address: Arc<str>,
    /// Since when without a pause.
    since: Instant,
    /// Over HTTP/2 it is lent to many at once.
    times: usize,
}

/// A connection that has been lent for long; from [`LeaseWatch::older_than`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OldLease {
    /// The [`id`](crate::ConnectionInfo::id) of the connection.
    pub id: u64,
    /// Where it leads, as `Debug` text.
    pub address: Arc<str>,
    /// How long it has been lent.
    pub leased_for: Duration,
}

impl LeaseWatch {
    /// A watch that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connections that have been checked out for longer than `limit`, the oldest first.
    pub fn older_than(&self, limit: Duration) -> Vec<OldLease> {
        let now = Instant::now();
        let age = |since: Instant| now.saturating_duration_since(since);
        let mut old: Vec<_> = self
            .leased()
            .iter()
            .filter(|(_, lease)| age(lease.since) > limit)
            .map(|(id, lease)| OldLease {
                id: *id,
                address: Arc::clone(&lease.address),
                leased_for: age(lease.since),
            })
            .collect();
        old.sort_by_key(|lease| std::cmp::Reverse(lease.leased_for));
        old
    }

    fn leased(&self) -> MutexGuard<'_, HashMap<u64, Leased>> {
        self.leased.lock()
    }
}

impl Observer for LeaseWatch {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        match event {
            Event::CheckedOut { id, .. } => {
                let new = || Leased {
                    address: Arc::from(server.address()),
                    since: Instant::now(),
                    times: 0,
                };
                self.leased().entry(*id).or_insert_with(new).times += 1;
            }
            Event::CheckedIn { id } => {
                let mut leased = self.leased();
                if let Some(lease) = leased.get_mut(id) {
                    lease.times -= 1;
                    if lease.times == 0 {
                        leased.remove(id);
                    }
                }
            }
            Event::Closed { id, .. } => {
                self.leased().remove(id);
            }
            Event::Opened { .. }
            | Event::OpenFailed { .. }
            | Event::BackingOff { .. }
            | Event::Retried { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Carried, Reason};

    fn checked_out(id: u64) -> Event<'static> {
        Event::CheckedOut { id, use_number: 1, idle_for: Duration::ZERO }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_out_for_long_is_told_oldest_first_and_what_came_back_is_not() {
        let (watch, server) = (LeaseWatch::new(), ServerInfo::nowhere());
        for id in 0..4 {
            watch.observe(&server, &checked_out(id));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        watch.observe(&server, &Event::CheckedIn { id: 1 });
        watch.observe(
            &server,
            &Event::Closed {
                id: 3,
                reason: Reason::Ended,
                age: Duration::ZERO,
                carried: Carried::default(),
            },
        );
        let old: Vec<_> = watch.older_than(Duration::ZERO).iter().map(|lease| lease.id).collect();
        assert_eq!(old, [0, 2]);
        assert_eq!(watch.older_than(Duration::from_secs(3)).len(), 1);
    }
}
