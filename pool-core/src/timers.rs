//! The two clocks of an exchange: for the head of the response, and for the next frame of its body.
//!
//! Neither exists while its setting is off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Runs from the last byte of the request that the stream accepted.
#[derive(Debug)]
pub(crate) struct HeadTimer {
    limit: Duration,
    written: u64,
    timer: Pin<Box<Sleep>>,
}

impl HeadTimer {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, written: 0, timer: Box::pin(sleep(limit)) }
    }

    /// Ready when the time is over; starts anew if more has been `written` meanwhile.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, written: u64) -> Poll<Duration> {
        if written != self.written {
            self.written = written;
            self.timer.as_mut().reset(Instant::now() + self.limit);
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
