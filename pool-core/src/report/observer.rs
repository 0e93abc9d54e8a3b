//! Observers, which are told of connections and of requests as things happen.
//!
//! Without an observer an event costs one look at an empty option.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::Request;

use super::events::Event;
use super::request_events::Follower;
use super::server::ServerInfo;
use crate::request::RequestBody;

/// Receives an event for everything that happens to the connections of a pool, and may follow its requests.
///
/// The pool calls it where the event happens, which may be in any task or thread and within a `Drop`: it must not
/// block, and must not call the pool. A panic of it is caught, and costs nothing but the event. Set by
/// [`Builder::observer`](crate::Builder::observer).
pub trait Observer: Send + Sync + 'static {
    /// Something has happened to a connection to that server.
    fn observe(&self, server: &ServerInfo, event: &Event<'_>);

    /// A request to that server has come; what this gives follows it to its end, as a listener for each call does in OkHttp.
    ///
    /// It is called when the future of the request is polled first, in the task that polls it. By default no request is
    /// followed. A request that is sent over several connections, one after the other, is followed once. One to
    /// [any of several addresses](crate::Pool::http_any) is told to go to the first that may serve it; which one
    /// did, its [connection](crate::ConnectionInfo::server) tells.
    fn follow(
        &self,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<dyn Follower>> {
        let _ = (server, request);
        None
    }
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        (**self).observe(server, event);
    }

    fn follow(
        &self,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<dyn Follower>> {
        (**self).follow(server, request)
    }
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
    pub(crate) fn tell<'a>(&self, server: &ServerInfo, event: impl FnOnce() -> Event<'a>) {
        if let Some(observers) = &self.0 {
            tell(observers, server, &event());
        }
    }
}

// Out of line, because most pools have no observer.
#[cold]
fn tell(observers: &[Arc<dyn Observer>], server: &ServerInfo, event: &Event<'_>) {
    for observer in observers {
        unless_it_panics(|| observer.observe(server, event));
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
