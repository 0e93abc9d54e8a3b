//! Requests that are followed: each observer that wants to has a follower of its own for each request.
//!
//! What must hold: a follower hears how its request ends exactly once, whichever way that is. So the followers of a request
//! go with it by value, from its future into its response, and what drops them unended has dropped the request.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, Version};

use super::error::Error;
use super::events::{Observed, Observer, unless_it_panics};
use super::info::ConnectionInfo;
use crate::request::RequestBody;

/// Hears what becomes of one request; from [`Observer::follow`](crate::Observer::follow).
///
/// It is called as an [`Observer`](crate::Observer) is, with the same limits. [`Ended`](RequestEvent::Ended),
/// [`Failed`](RequestEvent::Failed) or [`Dropped`](RequestEvent::Dropped) comes last, and one of them comes always.
pub trait Follower: Send + Sync + 'static {
    /// Something has become of the request.
    fn observe(&mut self, event: &RequestEvent<'_>);
}

/// What has become of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum RequestEvent<'a> {
    /// It is sent again, because an attempt failed in a way that [allows it](crate::Pool::http).
    Retried {
        /// How the attempt failed.
        error: &'a Error,
    },
    /// The head of its response has come.
    Answered {
        /// The status.
        status: StatusCode,
        /// The version that its connection speaks.
        version: Version,
        /// The fields.
        headers: &'a HeaderMap,
        /// Its connection, with how long the request waited for it, and which attempt this is.
        connection: &'a ConnectionInfo,
    },
    /// Its response has come whole, though its caller may not have read it yet. Also when its connection has become a tunnel.
    Ended {
        /// Bytes of content that came.
        received: u64,
    },
    /// It has failed: there is no response, or its body did not come whole.
    Failed {
        /// How.
        error: &'a Error,
        /// Bytes of content that came.
        received: u64,
    },
    /// Its caller has dropped it, or its response, before that was whole.
    Dropped {
        /// Bytes of content that came.
        received: u64,
    },
}

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
        address: &str,
        request: &Request<RequestBody>,
    ) -> Option<Box<Self>> {
        let follow = |observer: &Arc<_>| follow(observer, address, request);
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
        self.followers.clear();
    }

    #[cold]
    pub(crate) fn fail(mut self, error: &Error) {
        let received = self.received;
        self.tell(&RequestEvent::Failed { error, received });
        self.followers.clear();
    }
}

fn follow(
    observer: &Arc<dyn Observer>,
    address: &str,
    request: &Request<RequestBody>,
) -> Option<Box<dyn Follower>> {
    unless_it_panics(|| observer.follow(address, request)).flatten()
}

impl Drop for Following {
    fn drop(&mut self) {
        let received = self.received;
        self.tell(&RequestEvent::Dropped { received });
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following")
            .field("followers", &self.followers.len())
            .finish_non_exhaustive()
    }
}
