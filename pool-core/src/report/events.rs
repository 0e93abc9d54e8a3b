//! Events: what happens to connections, told to observers as it happens.
//!
//! Without an observer an event costs one look at an empty option.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use http::Request;

use super::error::Error;
use super::following::Follower;
use super::stats::Reason;
use crate::request::RequestBody;

/// Receives an event for everything that happens to the connections of a pool, and may follow its requests.
///
/// The pool calls it where the event happens, which may be in any task or thread and within a `Drop`: it must not
/// block, and must not call the pool. A panic of it is caught, and costs nothing but the event. Set by
/// [`Builder::observer`](crate::Builder::observer).
pub trait Observer: Send + Sync + 'static {
    /// Something has happened to a connection to `address`, which is given as its `Debug` text.
    fn observe(&self, address: &str, event: &Event<'_>);

    /// A request to `address` has come; what this gives follows it to its end, as a listener for each call does in OkHttp.
    ///
    /// It is called when the future of the request is polled first, in the task that polls it. By default no request is
    /// followed. A request that is sent over several connections, one after the other, is followed once.
    fn follow(&self, address: &str, request: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        let _ = (address, request);
        None
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, address: &str, event: &Event<'_>) {
        (**self).observe(address, event);
    }

    fn follow(&self, address: &str, request: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        (**self).follow(address, request)
    }
}

/// What has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was opened.
    Opened {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// How long that took.
        took: Duration,
    },
    /// No connection could be opened.
    OpenFailed {
        /// Why.
        error: &'a Error,
    },
    /// The address fails, and is not dialled for a while; only with [`Backoff::Fail`](crate::Backoff::Fail).
    BackingOff {
        /// For how long.
        pause: Duration,
    },
    /// A request is sent again, because an attempt failed in a way that [allows it](crate::Pool::http).
    Retried {
        /// How the attempt failed.
        error: &'a Error,
    },
    /// A connection was lent to a request.
    CheckedOut {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// The ordinal of this request on its connection, from 1.
        use_number: u64,
        /// How long the connection had been idle.
        idle_for: Duration,
    },
    /// A connection was checked in; over HTTP/2, the stream of a request has ended.
    CheckedIn {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
    },
    /// A connection was closed.
    Closed {
        /// Its [`id`](crate::ConnectionInfo::id).
        id: u64,
        /// Why.
        reason: Reason,
        /// How long it was open.
        age: Duration,
        /// What it has carried.
        carried: Carried,
    },
}

/// What a connection has carried in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Requests; over HTTP/2 those of which the server may have seen the beginning.
    pub requests: u64,
    /// Bytes that the connection has accepted, heads and framing included; over TLS before they were encrypted.
    pub written: u64,
    /// Bytes that it has delivered, likewise.
    pub read: u64,
}

/// The observers of a pool, mostly none.
#[derive(Clone, Default)]
pub(crate) struct Observed(Option<Arc<[Arc<dyn Observer>]>>);

impl Observed {
    /// These observers, and one more.
    pub(crate) fn and(self, observer: impl Observer) -> Self {
        let all = self.all().iter().map(Arc::clone);
        let one: Arc<dyn Observer> = Arc::new(observer);
        Self(Some(all.chain([one]).collect()))
    }

    pub(super) fn all(&self) -> &[Arc<dyn Observer>] {
        self.0.as_deref().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// Tells the observers; the event is made only if there are any.
    #[inline]
    pub(crate) fn tell<'a>(&self, address: &str, event: impl FnOnce() -> Event<'a>) {
        if let Some(observers) = &self.0 {
            tell(observers, address, &event());
        }
    }
}

// Out of line, because most pools have no observer.
#[cold]
fn tell(observers: &[Arc<dyn Observer>], address: &str, event: &Event<'_>) {
    for observer in observers {
        unless_it_panics(|| observer.observe(address, event));
    }
}

/// What code of the caller gives, or nothing if it panics.
///
/// Connections are told of while they drop, where a panic that goes on would take a count with it, or the process.
pub(super) fn unless_it_panics<T>(of_caller: impl FnOnce() -> T) -> Option<T> {
    // Whatever state a panic leaves an observer in, only the observer sees it.
    catch_unwind(AssertUnwindSafe(of_caller)).ok()
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_any() { "observed" } else { "unobserved" })
    }
}
