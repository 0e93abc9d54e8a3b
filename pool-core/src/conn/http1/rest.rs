//! How a connection becomes idle, is lent again, and for how long it has rested.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use crate::report::Reason;

impl Connection {
    /// Makes the connection tell its watch, under `sequence`, when it is woken; or says why it must close.
    #[inline]
    pub(crate) fn become_idle(&mut self, sequence: u64) -> Result<(), Reason> {
        self.core.traffic.expect_nothing();
        if !self.sent {
            // hyper says that it is ready only once it was polled, and a wake while the connection was idle has used
            // its waker up.
            return self.become_idle_after_poll(sequence);
        }
        if self.last_use || !self.is_ready() {
            return Err(self.ended_for());
        }
        // The last poll has left the waker with the stream, unless a wake says that more has come.
        if self.core.waker.is_armed() && self.core.waker.become_idle(sequence) {
            return Ok(());
        }
        self.become_idle_after_poll(sequence)
    }

    /// As [`become_idle`](Self::become_idle), for a connection that may have been closed meanwhile.
    pub(crate) fn become_idle_after_poll(&mut self, sequence: u64) -> Result<(), Reason> {
        let Self { driver, core, .. } = self;
        if core.become_idle(sequence, |cx| driver.poll(cx)) {
            Ok(())
        } else {
            Err(self.closed_for())
        }
    }

    /// The connection was taken out of the idle store.
    pub(crate) fn leave_idle(&mut self, since: Instant, idle_for: Duration) {
        self.fresh = false;
        self.sent = false;
        self.attempted.number = 0;
        self.idle_for = idle_for;
        self.idle_since = Some(since);
        self.queue_time = Duration::ZERO;
        self.core.waker.begin();
    }

    /// It goes from one request to the next without being idle.
    pub(crate) fn handed_on(&mut self, now: Instant) {
        // What has not served meanwhile has rested ever since.
        if self.sent {
            self.idle_for = Duration::ZERO;
            self.idle_since = Some(now);
            self.sent = false;
        }
    }

    /// The request waited so long for this connection.
    pub(crate) fn note_queue_time(&mut self, waited: Duration) {
        self.queue_time = waited;
    }

    /// Since when it had been idle when it was lent; none if it comes straight from its dial.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle_since
    }
}
