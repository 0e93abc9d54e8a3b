//! Counters: what the pool has done and what it holds.
//!
//! Each host counts for itself, so that requests to different addresses share no counter; a host that is forgotten
//! leaves its sums with the pool. The numbers are exact while nothing moves:
//! `opened = leased + idle + parked + closed`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error_kind::ErrorKind;
use crate::sync::Mutex;

/// Why a connection left the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The message ended the connection: `Connection: close`, HTTP/1.0, or a body that ends with it.
    Ended,
    /// The server closed it while it was idle, or before it had accepted the next request. Over HTTP/2, the server
    /// ended it, or takes no further request.
    ClosedByPeer,
    /// Bytes arrived while no request was on it.
    Unsolicited,
    /// Its server has lately sent bytes without a request, on this connection or another.
    Quarantined,
    /// It had been idle for longer than the idle timeout, or than its server keeps connections.
    IdleTimeout,
    /// Its lifetime was over.
    MaxLifetime,
    /// Its server is no longer among those of its name; see [`Connector::resolve`](crate::Connector::resolve).
    AddressGone,
    /// It had served as many requests as it may.
    MaxUses,
    /// A limit on idle or open connections wanted its place.
    Evicted,
    /// The program has taken it for itself, and it counts no more; see [`Held::detach`](crate::Held::detach).
    Detached,
    /// The program wanted no idle connections; see [`Pool::close_idle`](crate::Pool::close_idle).
    Unwanted,
    /// More connections were idle than had been needed for a while; see
    /// [`Builder::shrink_idle_after`](crate::Builder::shrink_idle_after).
    Surplus,
    /// The path to its server had failed another connection that had been idle for no longer; see
    /// [`Builder::response_timeout`](crate::Builder::response_timeout).
    SiblingFailed,
    /// Reading, writing or parsing failed.
    Failed,
    /// The server took longer than the response or body timeout, or sent 1xx answers without end. Over HTTP/2, it gave no
    /// sign of life in time.
    TimedOut,
    /// The server sent HTTP/2 frames that serve no request, by the thousand.
    Flooded,
    /// The request was dropped before its response came, or the checkout was closed.
    Cancelled,
    /// The response body was dropped early, and what was left went beyond the drain limit.
    BodyDropped,
    /// It cannot carry what the next request needs, as an HTTP/1.0 server cannot a body of unknown length.
    Unsuitable,
    /// It became something else: an upgrade or a tunnel.
    Upgraded,
    /// The runtime that drove it has gone.
    RuntimeGone,
    /// Its address was retired.
    Retired,
    /// The pool was closed or dropped.
    PoolClosed,
}

const REASONS: usize = Reason::ALL.len();

const KINDS: usize = ErrorKind::ALL.len();

/// What a pool has done and what it holds, at one moment.
///
/// Its `Debug` text names the reasons for which connections were closed, and the kinds of errors in which requests ended, and
/// leaves out those that have not come up.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections opened since the pool was built.
    pub opened: u64,
    /// Requests that asked for a connection, each counted once however often it was sent. The rate of reuse is
    /// `reused / requests`.
    pub requests: u64,
    /// Responses that came over a connection that had carried a request before.
    pub reused: u64,
    /// Attempts over a reused connection that the server had given up: it ended before anything was read in answer.
    pub stale: u64,
    /// Attempts that were made because an earlier one had failed; at most two for each request, or five where HTTP/2 servers refuse
    /// it.
    pub retried: u64,
    /// Connections that could not be opened.
    pub failed_to_open: u64,
    /// Addresses that fail, and are dialled by one dial at a time; see [`Builder::backoff`](crate::Builder::backoff).
    pub backing_off: usize,
    /// Addresses whose servers have sent bytes without a request, and whose connections serve one request each for now; see
    /// [`Builder::quarantine`](crate::Builder::quarantine).
    pub quarantined: usize,
    /// Connections being opened.
    pub opening: usize,
    /// Connections checked out.
    pub leased: usize,
    /// Idle connections with their HTTP state.
    pub idle: usize,
    /// Idle connections parked as bare streams.
    pub parked: usize,
    /// Requests that wait for a connection, and services of [`Pool::to`](crate::Pool::to) that are about to send one: they
    /// wait for their turn, or it has come and has not lapsed.
    pub waiting: usize,
    /// Streams open on HTTP/2 connections.
    pub streams: usize,
    closed: [u64; REASONS],
    failed: [u64; KINDS],
}

impl Stats {
    /// Requests that have ended in an error of this kind since the pool was built, with those whose response failed after its
    /// head. A limit has refused as many as failed with [`QueueFull`](ErrorKind::QueueFull) or
    /// [`CheckoutTimeout`](ErrorKind::CheckoutTimeout).
    ///
    /// One that is refused before it asks for a connection, as an [invalid one](ErrorKind::InvalidRequest), is not among
    /// [`requests`](Self::requests). One that its caller drops has not failed. A [checkout](crate::Pool::lease) is no request,
    /// only what is sent over it is. Of a request to [any of several addresses](crate::Pool::http_any) the first that may
    /// serve it has the failure, but for that of its response after the head, which is counted where it came from.
    pub fn failed(&self, kind: ErrorKind) -> u64 {
        self.failed[kind as usize]
    }

    /// Requests that have ended in an error since the pool was built, whatever its kind.
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Connections closed for `reason` since the pool was built.
    pub fn closed(&self, reason: Reason) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections closed since the pool was built, whatever the reason.
    pub fn closed_total(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(crate) fn add(&mut self, counters: &Counters, held: Holdings) {
        self.waiting += held.waiting;
        self.streams += held.streams;
        self.backing_off += usize::from(held.backing_off);
        self.quarantined += usize::from(held.quarantined);
        self.requests += counters.requests.load(Ordering::Relaxed);
        self.stale += counters.stale.load(Ordering::Relaxed);
        self.retried += counters.retried.load(Ordering::Relaxed);
        self.failed_to_open += counters.failed_to_open.load(Ordering::Relaxed);
        let opened = counters.opened.load(Ordering::Relaxed);
        let mut closed_here = 0;
        for (sum, counter) in self.closed.iter_mut().zip(&counters.closed) {
            let closed = counter.load(Ordering::Relaxed);
            *sum += closed;
            closed_here += closed;
        }
        for (sum, count) in self.failed.iter_mut().zip(&counters.failed.lock().by_kind) {
            *sum += count;
        }
        self.opened += opened;
        self.reused += counters.reused.load(Ordering::Relaxed);
        self.opening += usize::try_from(counters.opening.load(Ordering::Relaxed)).unwrap_or(0);
        self.idle += held.idle.saturating_sub(held.parked);
        self.parked += held.parked;
        let open = usize::try_from(opened.saturating_sub(closed_here)).unwrap_or(usize::MAX);
        self.leased += open.saturating_sub(held.idle);
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = Reason::ALL.iter().map(|reason| (reason.as_str(), self.closed(*reason)));
        let failed = ErrorKind::ALL.iter().map(|kind| (kind.as_str(), self.failed(*kind)));
        f.debug_struct("Stats")
            .field("opened", &self.opened)
            .field("requests", &self.requests)
            .field("reused", &self.reused)
            .field("stale", &self.stale)
            .field("retried", &self.retried)
            .field("failed_to_open", &self.failed_to_open)
            .field("backing_off", &self.backing_off)
            .field("quarantined", &self.quarantined)
            .field("opening", &self.opening)
            .field("leased", &self.leased)
            .field("idle", &self.idle)
            .field("parked", &self.parked)
            .field("waiting", &self.waiting)
            .field("streams", &self.streams)
            .field("closed", &Named(closed.collect()))
            .field("failed", &Named(failed.collect()))
            .finish()
    }
}

/// Counts with their names, without those that are zero.
struct Named(Vec<(&'static str, u64)>);

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, count) in self.0.iter().filter(|(_, count)| *count > 0) {
            map.entry(&format_args!("{name}"), count);
        }
        map.finish()
    }
}

/// What one host holds at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holdings {
    /// Idle connections, parked ones included.
    pub(crate) idle: usize,
    pub(crate) parked: usize,
    pub(crate) waiting: usize,
    pub(crate) streams: usize,
    pub(crate) backing_off: bool,
    pub(crate) quarantined: bool,
}

/// The counters of one host, or the sums over forgotten hosts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    opening: AtomicU64,
    opened: AtomicU64,
    requests: AtomicU64,
    reused: AtomicU64,
    stale: AtomicU64,
    retried: AtomicU64,
    failed_to_open: AtomicU64,
    closed: [AtomicU64; REASONS],
    failed: Mutex<Failed>,
}

/// Requests that failed. A response body may outlive its host in the map: when it fails then, the heir counts it.
#[derive(Debug, Default)]
struct Failed {
    by_kind: [u64; KINDS],
    heir: Option<Arc<Counters>>,
}

impl Counters {
    pub(crate) fn opening(&self) {
        self.opening.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn opening_ended(&self) {
        self.opening.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reused(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    /// A server had given up the connection of a request.
    pub(crate) fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed_to_open(&self) {
        self.failed_to_open.fetch_add(1, Ordering::Relaxed);
    }

    /// A request asks for a connection for the first time.
    pub(crate) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests have asked for a connection.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether a connection is open.
    pub(crate) fn are_open(&self) -> bool {
        self.open() > 0
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        let closed: u64 = self.closed.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        let open = self.opened.load(Ordering::Relaxed).saturating_sub(closed);
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    pub(crate) fn closed(&self, reason: Reason) {
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request has ended in an error.
    pub(crate) fn failed(&self, kind: ErrorKind) {
        let mut failed = self.failed.lock();
        match failed.heir.clone() {
            None => failed.by_kind[kind as usize] += 1,
            Some(heir) => {
                drop(failed);
                heir.failed(kind);
            }
        }
    }

    /// Takes over the sums of a host that is forgotten.
    pub(crate) fn absorb(self: &Arc<Self>, gone: &Self) {
        {
            let mut failed = gone.failed.lock();
            failed.heir = Some(Arc::clone(self));
            let mut sums = self.failed.lock();
            for (sum, count) in sums.by_kind.iter_mut().zip(&mut failed.by_kind) {
                *sum += std::mem::take(count);
            }
        }
        let pairs = [
            (&self.opened, &gone.opened),
            (&self.requests, &gone.requests),
            (&self.reused, &gone.reused),
            (&self.stale, &gone.stale),
            (&self.retried, &gone.retried),
            (&self.failed_to_open, &gone.failed_to_open),
        ];
        for (sum, counter) in pairs.into_iter().chain(self.closed.iter().zip(&gone.closed)) {
            sum.fetch_add(counter.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body may be kept for longer than its address is remembered, and fail when it is read.
    #[test]
    fn what_fails_after_its_host_was_forgotten_is_counted_with_the_forgotten() {
        let (host, forgotten) = (Counters::default(), Arc::<Counters>::default());
        host.failed(ErrorKind::ResponseBody);
        forgotten.absorb(&host);
        host.failed(ErrorKind::ResponseBody);
        host.failed(ErrorKind::BodyTimeout);
        let mut stats = Stats::default();
        stats.add(&forgotten, Holdings::default());
        let failed =
            [ErrorKind::ResponseBody, ErrorKind::BodyTimeout].map(|kind| stats.failed(kind));
        assert_eq!((failed, stats.failed_total()), ([2, 1], 3));
    }
}
