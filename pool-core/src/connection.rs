//! One HTTP/1 connection, driven by whoever holds it.
//!
//! hyper's connection future is not spawned. It lives here beside its `SendRequest`, in one box that moves
//! between lease and idle store, and is polled by the request future, by the response body, and once by
//! the idle store. The waker it is polled with is the connection's own (`waker.rs`).
//!
//! ```text
//!   open ─► send ─► poll … poll ─► is_ready? ─► rest ─► leave_rest ─► send …
//!                     │ is_finished              │ ▲
//!                     ▼                      park▼ │wake
//!                  the socket is closed         Parked
//! ```
//!
//! What must hold: the futures that hyper answers through (the response, the next frame) are completed by
//! our own poll of the connection alone, so they are polled right after it and need no waker; they must
//! not be bound by tokio's coop budget, which would.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::body_handle::BodySlot;
use crate::driver::{Bare, Drive, Ending, Sender};
use crate::host::Permit;
use crate::info::{ConnectionInfo, Visit};
use crate::kept::{Birth, Kept};
use crate::parked::Parked;
use crate::replay::Replay;
use crate::sending::Sent;
use crate::stats::Reason;
use crate::stream::{Counted, Traffic, Unasked};
use crate::waker::{Awaits, Watch};

pub(crate) struct Connection {
    pub(crate) sender: Sender,
    // Before what is kept: a limit must not be free while the socket is still open.
    pub(crate) driver: Box<dyn Drive>,
    pub(crate) last_use: bool,
    /// It comes straight from its dial.
    pub(crate) fresh: bool,
    /// hyper has been given the last request that was meant for it, and so was polled.
    pub(crate) begun: bool,
    /// What it takes to send the last request again.
    pub(crate) replay: Replay,
    pub(crate) sent: Sent,
    pub(crate) body_slot: BodySlot,
    idle_for: Duration,
    queue_time: Duration,
    pub(crate) kept: Kept,
}

/// Opens HTTP/1 over a stream. No byte goes over it yet.
pub(crate) fn open<S>(
    stream: S,
    birth: Birth,
    permit: Permit,
    watch: Weak<dyn Watch>,
) -> hyper::Result<Box<Connection>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, traffic) = Counted::new(stream);
    let bare: Box<dyn Bare> = Box::new(stream);
    let kept = Kept::new(birth, traffic, permit, watch);
    let (sender, driver) = bare.shake_hands(&kept)?;
    Ok(Connection::new(sender, driver, kept))
}

impl Connection {
    pub(crate) fn new(sender: Sender, driver: Box<dyn Drive>, kept: Kept) -> Box<Self> {
        let body_slot = BodySlot::new(Arc::clone(&kept.traffic));
        Box::new(Self {
            sender,
            driver,
            last_use: false,
            fresh: true,
            begun: false,
            replay: Replay::default(),
            sent: Sent::default(),
            body_slot,
            idle_for: Duration::ZERO,
            queue_time: Duration::ZERO,
            kept,
        })
    }

    /// Drives the connection for the task of `cx`, until `answer` is ready.
    ///
    /// `answer` is a future that hyper completes: it is polled after each poll of the connection, and
    /// cannot become ready otherwise.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        awaits: Awaits,
        mut answer: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Polling the answer may itself ask hyper for more, which it notes by a wake: hence twice. A
        // note that stands after that goes to the task, so that hyper's own yields are honoured.
        for _ in 0..2 {
            self.kept.waker.begin();
            let ended = self.driver.poll(&mut Context::from_waker(&self.kept.own_waker)).is_ready();
            // hyper answers a request in a poll that has read something of it, or ends. But where the stream may become
            // something else, which is its last use, it tells of a failure before it shuts the stream down, which may
            // take long.
            let may_be_answered = ended || self.progress().1 > 0 || self.last_use;
            if may_be_answered || awaits == Awaits::Rest {
                let answer = answer(&mut Context::from_waker(Waker::noop()));
                if answer.is_ready() {
                    return answer;
                }
            }
            if !self.kept.waker.is_noted() {
                break;
            }
        }
        self.kept.waker.wait(cx.waker(), awaits);
        Poll::Pending
    }

    /// Whether hyper has done with the last message, both ways, and takes another request.
    pub(crate) fn is_ready(&self) -> bool {
        // What hyper has copied it forgets about: it may be ready while a part of that is still to be written.
        self.sender.is_ready() && self.kept.traffic.is_flushed() && !self.is_finished()
    }

    /// Whether hyper has closed the connection.
    pub(crate) fn is_finished(&self) -> bool {
        self.driver.ending().is_some()
    }

    /// Why hyper has closed the connection, or why it must be closed now that its message has ended.
    pub(crate) fn ended_for(&self) -> Reason {
        match (self.kept.traffic.unasked(), self.driver.ending()) {
            (Unasked::Bytes, _) | (Unasked::Nothing, Some(Ending::Surplus)) => Reason::Unsolicited,
            (Unasked::RequestTimeout, _) => Reason::ClosedByPeer,
            (Unasked::Nothing, Some(Ending::Failed)) => Reason::Failed,
            (Unasked::Nothing, _) => Reason::Ended,
        }
    }

    /// As [`ended_for`](Self::ended_for), while no message was under way.
    pub(crate) fn closed_for(&self) -> Reason {
        match self.ended_for() {
            Reason::Ended | Reason::Failed => Reason::ClosedByPeer,
            reason => reason,
        }
    }

    /// What ended the connection, if it was an error that concerned no response.
    pub(crate) fn take_error(&mut self) -> Option<hyper::Error> {
        self.driver.take_error()
    }

    /// Makes the connection tell its watch, under `sequence`, when it stirs; or says why it must close.
    #[inline]
    pub(crate) fn rest(&mut self, sequence: u64) -> Result<(), Reason> {
        self.kept.traffic.expect_nothing();
        if !self.begun {
            // hyper says that it is ready only once it was polled, and what stirred while the connection
            // rested has used its waker up.
            return self.rest_after_poll(sequence);
        }
        if self.last_use || !self.is_ready() {
            return Err(self.ended_for());
        }
        // The last poll has left the waker with the stream, unless a wake says that more has come.
        if self.kept.waker.is_quiet() && self.kept.waker.rest(sequence) {
            return Ok(());
        }
        self.rest_after_poll(sequence)
    }

    /// As [`rest`](Self::rest), for a connection that may have been closed meanwhile.
    pub(crate) fn rest_after_poll(&mut self, sequence: u64) -> Result<(), Reason> {
        let Self { driver, kept, .. } = self;
        if kept.rest_after_poll(sequence, |cx| driver.poll(cx)) {
            Ok(())
        } else {
            Err(self.closed_for())
        }
    }

    /// Gives up the HTTP state; none if the stream cannot be had without it, and then it is closed.
    pub(crate) fn park(self) -> Option<Box<Parked>> {
        let Self { driver, mut kept, .. } = self;
        match driver.give_up_http() {
            Some(stream) => Some(Parked::new(stream, kept)),
            None => {
                kept.closing(Reason::Failed);
                None
            }
        }
    }

    /// The connection was taken out of the idle store.
    pub(crate) fn leave_rest(&mut self, idle_for: Duration) {
        self.fresh = false;
        self.begun = false;
        self.idle_for = idle_for;
        self.queue_time = Duration::ZERO;
        self.kept.waker.begin();
    }

    /// The request waited so long for this connection, which then was not idle.
    pub(crate) fn note_queue_time(&mut self, waited: Duration) {
        self.idle_for = Duration::ZERO;
        self.queue_time = waited;
    }

    /// Whether a body of unknown length can be sent: to an HTTP/1.0 server hyper would send it empty.
    pub(crate) fn can_send_chunked(&self) -> bool {
        !self.kept.speaks_http10
    }

    /// Whether it comes straight from its dial: it has neither served nor rested.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    pub(crate) fn id(&self) -> u64 {
        self.kept.origin.id
    }

    pub(crate) fn visit(&self) -> Visit {
        Visit {
            use_number: self.kept.use_number,
            attempt: self.sent.attempt,
            idle_for: self.idle_for,
            queue_time: self.queue_time,
        }
    }

    /// What a response that it brought says of it.
    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo::new(Arc::clone(&self.kept.origin), self.visit())
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.kept.traffic
    }

    /// Closes the connection at once.
    pub(crate) fn discard(mut self, reason: Reason) {
        self.kept.closing(reason);
    }
}
