//! What an exchange does not wait for: a head or a frame that takes too long, and 1xx answers without end.
//!
//! No timer exists while its setting is off.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::error::Error;
use crate::stream::Traffic;

/// Waits for the head of a response, with limits.
pub(crate) struct Patience {
    timer: Option<Box<HeadTimer>>,
    read_before: u64,
}

pub(crate) enum Impatient {
    After(Duration),
    WithInterim,
}

/// More than hyper's limit for one head; only a run of 1xx answers can come to so much.
const MAX_INTERIM: u64 = 1024 * 1024;

impl Patience {
    #[inline]
    pub(crate) fn new(limit: Option<Duration>, traffic: &Traffic) -> Self {
        Self { timer: limit.map(HeadTimer::start), read_before: traffic.read() }
    }

    /// The head has come: no timer is left that would wake the task.
    #[inline]
    pub(crate) fn end(&mut self) {
        self.timer = None;
    }

    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, traffic: &Traffic) -> Poll<Impatient> {
        if traffic.read() - self.read_before > MAX_INTERIM {
            return Poll::Ready(Impatient::WithInterim);
        }
        match &mut self.timer {
            Some(timer) => timer.poll(cx, traffic.progress()).map(Impatient::After),
            None => Poll::Pending,
        }
    }
}

impl Impatient {
    pub(crate) fn into_error(self, address: &Arc<str>) -> Error {
        match self {
            Self::After(limit) => Error::response_timeout(address, limit),
            Self::WithInterim => Error::endless_informational(address),
        }
    }
}

/// Runs from the last byte of the request that the stream accepted.
#[derive(Debug)]
struct HeadTimer {
    limit: Duration,
    written: u64,
    timer: Pin<Box<Sleep>>,
}

impl HeadTimer {
    // Out of line, because most requests have none.
    #[inline(never)]
    fn start(limit: Duration) -> Box<Self> {
        Box::new(Self { limit, written: 0, timer: Box::pin(sleep(limit)) })
    }

    /// Ready when the time is over; starts anew if more has been `written` meanwhile.
    fn poll(&mut self, cx: &mut Context<'_>, written: u64) -> Poll<Duration> {
        if written != self.written {
            self.written = written;
            // A time without end has none anew.
            if let Some(end) = Instant::now().checked_add(self.limit) {
                self.timer.as_mut().reset(end);
            }
        }
        self.timer.as_mut().poll(cx).map(|()| self.limit)
    }
}

/// Runs while somebody waits for the next frame.
#[derive(Debug)]
pub(crate) struct FrameTimer {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl FrameTimer {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    /// A frame has come.
    pub(crate) fn stop(&mut self) {
        self.timer = None;
    }

    /// Ready when the time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).map(|()| limit)
    }
}
