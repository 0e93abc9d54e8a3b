//! What becomes of requests, and who hears it.

use http::{HeaderMap, StatusCode, Version};

use super::error::Error;
use super::info::ConnectionInfo;

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
    #[non_exhaustive]
    Retried {
        /// How the attempt failed.
        error: &'a Error,
    },
    /// The head of its response has come.
    #[non_exhaustive]
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
    /// Its response has come whole, though its caller may not have read it yet; or its connection has become a tunnel.
    #[non_exhaustive]
    Ended {
        /// Bytes of content that came.
        received: u64,
    },
    /// It has failed: there is no response, or its body did not come whole.
    #[non_exhaustive]
    Failed {
        /// How.
        error: &'a Error,
        /// Bytes of content that came.
        received: u64,
    },
    /// Its caller has dropped it, or its response, before that was whole.
    #[non_exhaustive]
    Dropped {
        /// Bytes of content that came.
        received: u64,
    },
}
