//! How far a response body has come: with its connection, without it, or over a stream.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::Incoming;

use super::arrived::{Arrived, Disconnected, End};
use super::stream_body::StreamBody;
use super::unfitting::unfitting;
use crate::io::SuppressWakes;
use crate::lanes::ConnectionLease;
use crate::report::{Error, Reason};

pub(super) enum State {
    Streaming {
        incoming: Incoming,
        lease: ConnectionLease,
    },
    Arrived {
        data: Option<Bytes>,
        trailers: Option<Box<HeaderMap>>,
    },
    Disconnected(Box<Disconnected>),
    /// A stream of a shared connection, which its task drives.
    Stream(Box<StreamBody>),
}

impl State {
    pub(super) const NOTHING: Self = Self::Arrived { data: None, trailers: None };

    /// The state of a message, as far as hyper has come with it.
    pub(super) fn of(mut incoming: Incoming, mut lease: ConnectionLease) -> Self {
        if lease.connection.is_ready() {
            let suppressed = SuppressWakes::begin();
            let Arrived { data, trailers, .. } = Arrived::of(&mut incoming);
            if let Some(why) = unfitting(trailers.as_deref()) {
                drop(suppressed);
                return Self::of_unfitting(data, incoming, lease, why);
            }
            drop((incoming, suppressed));
            lease.checkin();
            Self::Arrived { data, trailers }
        } else if lease.connection.is_finished() {
            Self::of_closed(incoming, lease)
        } else {
            lease.connection.begin_body();
            Self::Streaming { incoming, lease }
        }
    }

    /// The state of a message whose connection hyper has closed, as it does with the last of a connection.
    #[inline(never)]
    fn of_closed(mut incoming: Incoming, mut lease: ConnectionLease) -> Self {
        let Arrived { data, trailers, end } = Arrived::of(&mut incoming);
        let reason = lease.connection.ended_for();
        if let Some(why) = unfitting(trailers.as_deref()) {
            return Self::of_unfitting(data, incoming, lease, why);
        }
        if matches!(end, End::Reached) {
            lease.discard(reason);
            return Self::Arrived { data, trailers };
        }
        // What ended the connection says more than that it ended.
        let error = lease.connection.take_error().or(end.into_error());
        let address = Arc::clone(lease.lane().name());
        let attempt = lease.connection.attempt();
        let error = error.map(|error| Error::response_body(&address, error).at(attempt.clone()));
        lease.discard(reason);
        Self::Disconnected(Box::new(Disconnected { data, incoming, address, attempt, error }))
    }

    /// The state of a message whose trailers are none.
    #[cold]
    fn of_unfitting(
        data: Option<Bytes>,
        incoming: Incoming,
        lease: ConnectionLease,
        why: &'static str,
    ) -> Self {
        let address = Arc::clone(lease.lane().name());
        let attempt = lease.connection.attempt();
        let error = Some(Error::unfitting_trailers(&address, why).at(attempt.clone()));
        lease.discard(Reason::Failed);
        Self::Disconnected(Box::new(Disconnected { data, incoming, address, attempt, error }))
    }
}
