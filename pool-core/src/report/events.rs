//! Events: what happens to connections, told to an observer as it happens.
//!
//! Without an observer an event costs one look at an empty option.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::stats::Reason;

/// Receives an event for everything that happens to the connections of a pool.
///
/// The pool calls it where the event happens, which may be in any task or thread and within a `Drop`: it must not
/// block, and must not call the pool. A panic of it is caught, and costs nothing but the event. Set by
/// [`Builder::observer`](crate::Builder::observer).
pub trait Observer: Send + Sync + 'static {
    /// Something has happened to a connection to `address`, which is given as its `Debug` text.
    fn observe(&self, address: &str, event: &Event<'_>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, address: &str, event: &Event<'_>) {
        (**self).observe(address, event);
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
    },
}

/// An observer, or none.
#[derive(Clone, Default)]
pub(crate) struct Observed(Option<Arc<dyn Observer>>);

impl Observed {
    pub(crate) fn by(observer: impl Observer) -> Self {
        Self(Some(Arc::new(observer)))
    }

    /// Tells the observer; the event is made only if there is one.
    ///
    /// Connections are told of while they drop, where a panic that goes on would take a count with it, or the process.
    pub(crate) fn tell<'a>(&self, address: &str, event: impl FnOnce() -> Event<'a>) {
        if let Some(observer) = &self.0 {
            tell(&**observer, address, &event());
        }
    }
}

// Out of line, because most pools have no observer.
#[cold]
fn tell(observer: &dyn Observer, address: &str, event: &Event<'_>) {
    // Whatever state a panic leaves the observer in, only the observer sees it.
    drop(catch_unwind(AssertUnwindSafe(|| observer.observe(address, event))));
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "observed" } else { "unobserved" })
    }
}
