//! Finishes a request whose caller does not wait any more, but whose connection may still be saved.
//!
//! A response body was dropped before its end, or ended while the request body was still going out. The drop itself
//! does no I/O: the watcher of the connection's runtime reads on for a little while and a little volume, and the
//! connection closes if that was not enough. What counts is what is read of the stream, and not what it carries.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::io::WaitsFor;
use crate::lanes::ConnectionLease;
use crate::report::Reason;

/// So far away that no task still waits then.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How many frames of one response are read before the other drains get their turn.
const FRAMES_AT_ONCE: usize = 16;

/// Leaves the rest to the watcher; closes the connection at once if more is announced than may be read.
pub(super) fn leave_to_watcher(incoming: Incoming, lease: ConnectionLease) {
    let limit = lease.settings().drain_limit;
    if limit.bytes == 0 || incoming.size_hint().lower() > limit.bytes {
        return lease.discard(Reason::BodyDropped);
    }
    let lane = Arc::clone(lease.lane());
    let deadline = after(limit.time);
    let end = lease.connection.traffic().read().saturating_add(limit.bytes);
    lane.leave_to_watcher(Drain { incoming, lease: Some(lease), end }.run(deadline));
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FAR_FUTURE)
}

struct Drain {
    incoming: Incoming,
    /// None when it has ended.
    lease: Option<ConnectionLease>,
    /// How much may have been read of the stream.
    end: u64,
}

/// What a poll has found.
enum Step {
    Read,
    /// The connection is ready for another request.
    Done,
    Closed,
    /// The time is over, enough was read, or too much of it was framing; or the request body of the user has panicked.
    GivenUp,
}

impl Drain {
    /// Cancel safety: the connection closes.
    async fn run(mut self, deadline: Instant) {
        let mut timer = pin!(sleep_until(deadline));
        let (mut written, mut frames) = (self.written(), 0);
        loop {
            let step = poll_fn(|cx| {
                let step = self.poll(cx);
                // A server that still takes in the request may finish.
                if self.written() != written {
                    written = self.written();
                    timer.as_mut().reset(after(self.time_limit()));
                }
                // By the clock too: a timer gets no turn while the connection uses up the budget of the task.
                let is_late = timer.deadline() <= Instant::now();
                match step {
                    Poll::Ready(Step::Read) if is_late => Poll::Ready(Step::GivenUp),
                    Poll::Pending => timer.as_mut().poll(cx).map(|()| Step::GivenUp),
                    ready => ready,
                }
            });
            match step.await {
                Step::Read => {}
                Step::Done => return self.end(ConnectionLease::checkin),
                Step::Closed => return self.end(|lease| lease.discard(Reason::Ended)),
                Step::GivenUp => return,
            }
            frames += 1;
            if frames % FRAMES_AT_ONCE == 0 {
                yield_now().await;
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        // This may poll a request body of the user's, and a panic must not take the watcher and all idle connections
        // along.
        let step = catch_unwind(AssertUnwindSafe(|| self.poll_connection(cx)));
        step.unwrap_or(Poll::Ready(Step::GivenUp))
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Self { incoming, lease, end } = self;
        let Some(ConnectionLease { connection, .. }) = lease else {
            return Poll::Ready(Step::GivenUp);
        };
        let read = connection.poll(cx, WaitsFor::Rest, |cx| {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    Poll::Ready(frame.data_ref().map_or(0, |data| data.len()))
                }
                // Ended, so that only the connection itself can still change.
                _ => Poll::Pending,
            }
        });
        let has_read_enough = connection.traffic().read() > *end;
        match read {
            Poll::Pending if connection.is_ready() => Poll::Ready(Step::Done),
            Poll::Pending if connection.is_finished() => Poll::Ready(Step::Closed),
            _ if has_read_enough => Poll::Ready(Step::GivenUp),
            Poll::Ready(bytes) if connection.is_mostly_framing(Some(bytes)) => {
                Poll::Ready(Step::GivenUp)
            }
            Poll::Ready(_) => Poll::Ready(Step::Read),
            Poll::Pending if connection.is_mostly_framing(None) => Poll::Ready(Step::GivenUp),
            Poll::Pending => Poll::Pending,
        }
    }

    fn written(&self) -> u64 {
        self.lease.as_ref().map_or(0, |lease| lease.connection.traffic().written())
    }

    fn time_limit(&self) -> Duration {
        self.lease.as_ref().map_or(FAR_FUTURE, |lease| lease.settings().drain_limit.time)
    }

    fn end(&mut self, end: impl FnOnce(ConnectionLease)) {
        if let Some(lease) = self.lease.take() {
            end(lease);
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.end(|lease| lease.discard(Reason::BodyDropped));
    }
}
