//! What an exchange does not wait for: a head that takes too long, and 1xx answers without end.
//!
//! No timer exists while its setting is off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::io::Traffic;
use crate::report::Error;

/// The part of the response timeout after which a connection that is tried has shown no sign of life: the request has waited
/// little when it goes over another connection, and that one tells whether the server is merely slow.
pub(super) const TRIED: u32 = 4;

/// The limits while a request waits for the head of its response.
#[derive(Default)]
pub(super) struct HeadLimits {
    timer: Option<Box<HeadTimer>>,
    read_before: u64,
    max_head: usize,
}

/// Why no head is waited for any more.
pub(super) enum HeadOverrun {
    Time(Duration),
    /// 1xx answers have come to more than they may.
    Interim(usize),
    /// The total time is over.
    Total(Duration),
    /// Over HTTP/2, which has no upgrades: RFC 9113 8.6.
    Switch,
}

impl HeadLimits {
    #[inline]
    pub(super) fn new(limit: Option<Duration>, max_head: usize, traffic: &Traffic) -> Self {
        let start = |limit| HeadTimer::start(limit, None);
        Self { timer: limit.map(start), read_before: traffic.read(), max_head }
    }

    /// As [`new`](Self::new), for a connection that is tried: it has to show a sign of life sooner.
    #[cold]
    pub(super) fn of_trial(limit: Option<Duration>, max_head: usize, traffic: &Traffic) -> Self {
        let start = |limit| HeadTimer::start(limit, Some(limit / TRIED));
        Self { timer: limit.map(start), read_before: traffic.read(), max_head }
    }

    /// The head has come: no timer is left that would wake the task.
    #[inline]
    pub(super) fn end(&mut self) {
        self.timer = None;
    }

    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, traffic: &Traffic) -> Poll<HeadOverrun> {
        // hyper ends a single head by itself, so there were 1xx answers.
        if traffic.read() - self.read_before > self.max_head as u64 {
            return Poll::Ready(HeadOverrun::Interim(self.max_head));
        }
        match &mut self.timer {
            Some(timer) => {
                let answered = traffic.read() > self.read_before;
                timer.poll(cx, traffic.written(), answered).map(HeadOverrun::Time)
            }
            None => Poll::Pending,
        }
    }
}

impl HeadOverrun {
    pub(super) fn into_error(self, address: &Arc<str>) -> Error {
        match self {
            Self::Time(limit) => Error::response_timeout(address, limit),
            Self::Total(limit) => Error::total_timeout(address, limit),
            Self::Interim(most) => Error::endless_informational(address, most),
            Self::Switch => Error::misframed(address, "101 over HTTP/2, which has no upgrades"),
        }
    }
}

/// Runs from the last byte of the request that the stream accepted.
#[derive(Debug)]
struct HeadTimer {
    limit: Duration,
    written: u64,
    /// How long it runs as long as nothing was read, if that is less than the limit.
    patience: Option<Duration>,
    timer: Pin<Box<Sleep>>,
}

impl HeadTimer {
    // Out of line, because most requests have none.
    #[inline(never)]
    fn start(limit: Duration, patience: Option<Duration>) -> Box<Self> {
        let timer = Box::pin(sleep(patience.unwrap_or(limit)));
        Box::new(Self { limit, written: 0, patience, timer })
    }

    /// Ready when the time is over; starts anew if more has been `written` meanwhile.
    fn poll(&mut self, cx: &mut Context<'_>, written: u64, answered: bool) -> Poll<Duration> {
        if written != self.written {
            self.written = written;
            self.run_for(self.patience.unwrap_or(self.limit));
        }
        ready!(self.timer.as_mut().poll(cx));
        if let Some(patience) = self.patience.take_if(|_| answered) {
            self.run_for(self.limit - patience);
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(self.limit)
    }

    fn run_for(&mut self, time: Duration) {
        // A time too long for the clock is never over.
        if let Some(end) = Instant::now().checked_add(time) {
            self.timer.as_mut().reset(end);
        }
    }
}
