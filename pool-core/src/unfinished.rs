//! A message that nobody waits for any more, but whose connection may still be saved.
//!
//! A response body was dropped before its end, or ended while the request body was still going out. The
//! drop itself does no I/O: the rest is left to the watcher of the connection's runtime, which reads on
//! for a little while and a little volume, and closes what is not done by then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::lease::Lease;
use crate::stats::Reason;
use crate::waker::Awaits;

/// So many frames are read of one message before the others get their turn.
const FRAMES_PER_POLL: usize = 16;

pub(crate) struct Unfinished {
    message: Option<Message>,
    left: u64,
    written: u64,
    deadline: Instant,
}

/// So far away that nothing still waits then.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + FAR_FUTURE)
}

struct Message {
    incoming: Incoming,
    lease: Lease,
}

impl Unfinished {
    pub(crate) fn new(incoming: Incoming, lease: Lease) -> Self {
        let limit = lease.lane.host.shared.settings.drain_limit;
        Self {
            left: limit.bytes,
            deadline: after(limit.time),
            written: lease.connection.traffic().written(),
            message: Some(Message { incoming, lease }),
        }
    }

    /// Hands the message over; closes its connection at once if more is announced than may be read.
    pub(crate) fn leave_to_watcher(mut self) {
        let Some(Message { incoming, lease }) = &self.message else { return };
        if incoming.size_hint().lower() > self.left || self.left == 0 {
            self.give_up();
        } else {
            let watcher = std::sync::Arc::clone(&lease.lane.watcher);
            watcher.finish(self);
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn give_up(&mut self) {
        if let Some(message) = self.message.take() {
            message.lease.discard(Reason::BodyDropped);
        }
    }

    /// Reads on; ready when the connection is home or closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..FRAMES_PER_POLL {
            let Some(message) = &mut self.message else { return Poll::Ready(()) };
            // It may poll a request body of the caller's, and one that panics must not take the watcher
            // and all idle connections along.
            let Ok(step) = catch_unwind(AssertUnwindSafe(|| message.poll(cx))) else {
                self.give_up();
                return Poll::Ready(());
            };
            // A server that still takes in the request is let finish.
            let written = message.lease.connection.traffic().written();
            if written != self.written {
                self.written = written;
                self.deadline = after(message.lease.lane.shared().settings.drain_limit.time);
            }
            match step {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Step::Read(bytes)) => match self.left.checked_sub(bytes) {
                    Some(left) => self.left = left,
                    None => self.give_up(),
                },
                Poll::Ready(Step::Done) => {
                    if let Some(Message { lease, .. }) = self.message.take() {
                        lease.checkin();
                    }
                }
                Poll::Ready(Step::Closed) => {
                    if let Some(Message { lease, .. }) = self.message.take() {
                        lease.discard(Reason::Ended);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

enum Step {
    Read(u64),
    Done,
    Closed,
}

impl Message {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let Self { incoming, lease } = self;
        let connection = &mut lease.connection;
        let frame =
            connection.poll(cx, Awaits::Rest, |cx| match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    Poll::Ready(frame.data_ref().map_or(0, |data| data.len() as u64))
                }
                // Ended, so that only the connection itself can still change.
                _ => Poll::Pending,
            });
        if let Poll::Ready(bytes) = frame {
            return Poll::Ready(Step::Read(bytes));
        }
        if connection.is_ready() {
            Poll::Ready(Step::Done)
        } else if connection.is_finished() {
            Poll::Ready(Step::Closed)
        } else {
            Poll::Pending
        }
    }
}
