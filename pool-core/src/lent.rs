//! What a request is lent: a connection of its own, or a stream of a shared one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Response;

use crate::body::Body;
use crate::error::Error;
use crate::info::ConnectionInfo;
use crate::lane::Lane;
use crate::lease::Lease;
use crate::message::Message;
use crate::multiplex::Slot;
use crate::stats::Reason;

pub(crate) enum Lent {
    /// HTTP/1.
    Connection(Lease),
    /// HTTP/2.
    Stream(Box<Slot>),
}

impl Lent {
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        match self {
            Self::Connection(lease) => &lease.lane,
            Self::Stream(slot) => &slot.lane,
        }
    }

    /// Whether its connection comes straight from being opened.
    pub(crate) fn is_fresh(&self) -> bool {
        match self {
            Self::Connection(lease) => lease.connection.is_fresh(),
            Self::Stream(slot) => slot.multiplex.is_fresh(),
        }
    }

    /// Whether it is fit for a request, whose body may be of unknown length.
    pub(crate) fn can_carry(&self, chunked: bool) -> bool {
        match self {
            Self::Connection(lease) => lease.can_carry(chunked),
            Self::Stream(_) => true,
        }
    }

    /// The request waited so long for it.
    pub(crate) fn note_queue_time(&mut self, waited: Duration) {
        match self {
            Self::Connection(lease) => lease.connection.note_queue_time(waited),
            Self::Stream(slot) => slot.queue_time = waited,
        }
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        match self {
            Self::Connection(lease) => lease.connection.info(),
            Self::Stream(slot) => slot.info(0),
        }
    }

    /// It is not needed after all.
    pub(crate) fn give_back(self) {
        match self {
            Self::Connection(lease) => lease.checkin(),
            Self::Stream(slot) => drop(slot),
        }
    }

    /// Its connection must not come back; a shared one ends with its last stream.
    pub(crate) fn discard(self, reason: Reason) {
        match self {
            Self::Connection(lease) => lease.discard(reason),
            Self::Stream(slot) => slot.lane.stop_using(&slot.multiplex, reason),
        }
    }

    /// Sends the request and waits for the head of its response; see [`Lease::send`].
    pub(crate) async fn send(self, message: &mut Message) -> Result<Response<Body>, Error> {
        match self {
            Self::Connection(lease) => lease.send(message).await,
            Self::Stream(slot) => {
                let (back, sent) = Box::pin(slot.send(std::mem::take(message))).await;
                *message = back;
                sent
            }
        }
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("lane", self.lane()).finish_non_exhaustive()
    }
}

/// Something lent that has carried nothing yet, and goes back to the pool unless it is used.
#[derive(Debug)]
pub(crate) struct Held {
    lane: Arc<Lane>,
    lent: Option<Lent>,
}

impl Held {
    pub(crate) fn new(lent: Lent) -> Self {
        Self { lane: Arc::clone(lent.lane()), lent: Some(lent) }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    pub(crate) fn can_carry(&self, chunked: bool) -> bool {
        self.lent.as_ref().is_some_and(|lent| lent.can_carry(chunked))
    }

    /// What is lent, which is now to be used.
    pub(crate) fn release(mut self) -> Lent {
        let Some(lent) = self.lent.take() else { unreachable!("only this and the drop take it") };
        lent
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            lent.give_back();
        }
    }
}
