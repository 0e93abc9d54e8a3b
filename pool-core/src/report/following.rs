//! Requests that are followed: each observer that wants to has a follower of its own for each request.
//!
//! What must hold: a follower hears how its request ends exactly once, whichever way that is. So the followers of a request
//! go with it by value, from its future into its response, and what drops them unended has dropped the request.

use std::fmt;
use std::sync::Arc;

use http::Request;

use super::error::Error;
use super::observer::{Observed, Observer, unless_it_panics};
use super::request_events::{Follower, RequestEvent};
use super::server::ServerInfo;
use crate::request::RequestBody;

/// The followers of one request.
pub(crate) struct Following {
    followers: Vec<Box<dyn Follower>>,
    received: u64,
}

impl Following {
    /// None if no observer follows this request.
    #[cold]
    pub(crate) fn begin(
        observed: &Observed,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<Self>> {
        let follow = |observer: &Arc<_>| follow(observer, server, request);
        let followers: Vec<_> = observed.all().iter().filter_map(follow).collect();
        (!followers.is_empty()).then(|| Box::new(Self { followers, received: 0 }))
    }

    #[cold]
    pub(crate) fn tell(&mut self, event: &RequestEvent<'_>) {
        for follower in &mut self.followers {
            unless_it_panics(|| follower.observe(event));
        }
    }

    /// So many bytes of content have come.
    pub(crate) fn receive(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    #[cold]
    pub(crate) fn end(mut self) {
        let received = self.received;
        self.tell(&RequestEvent::Ended { received });
        self.drop_all();
    }

    #[cold]
    pub(crate) fn fail(mut self, error: &Error) {
        let received = self.received;
        self.tell(&RequestEvent::Failed { error, received });
        self.drop_all();
    }

    /// Dropping one is code of the caller too, such as what exports the span that it holds.
    fn drop_all(&mut self) {
        for follower in self.followers.drain(..) {
            unless_it_panics(|| drop(follower));
        }
    }
}

fn follow(
    observer: &Arc<dyn Observer>,
    server: &ServerInfo,
    request: &Request<RequestBody>,
) -> Option<Box<dyn Follower>> {
    unless_it_panics(|| observer.follow(server, request)).flatten()
}

impl Drop for Following {
    fn drop(&mut self) {
        let received = self.received;
        self.tell(&RequestEvent::Dropped { received });
        self.drop_all();
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("followers", &self.followers.len())
            .finish_non_exhaustive()
    }
}
