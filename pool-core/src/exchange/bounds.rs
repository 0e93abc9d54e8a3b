//! The total time of an exchange, and the time and the rate of a response body.
//!
//! A task that waits for a frame has one timer, for what is due first. No timer exists while nothing is set, and none that
//! would wake a task which does not wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::report::Error;
use crate::request::{LeastRate, Own};
use crate::settings::Settings;

/// The total time, as far as it is set. It runs from when this is made.
#[derive(Debug)]
pub(crate) struct Total {
    limit: Duration,
    end: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What bounds one exchange, beyond its head and its frames.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    total: Option<Total>,
    rate: Option<LeastRate>,
    /// What the request says for itself of the time for its head, and of that for each piece of the body.
    response: Option<Option<Duration>>,
    body: Option<Option<Duration>>,
}

impl Bounds {
    /// What a request says, and where it says nothing the settings.
    pub(super) fn of(own: Own, settings: &Settings) -> Self {
        let limit = own.total.unwrap_or(settings.total_timeout);
        let rate = own.rate.unwrap_or(settings.least_rate);
        // A time too long for the clock is never over.
        let now = Instant::now();
        let total = limit.and_then(|limit| Some((now.checked_add(limit)?, limit)));
        let deadline = own.deadline.map(|end| (end, end.saturating_duration_since(now)));
        let total = total.into_iter().chain(deadline).min();
        let total = total.map(|(end, limit)| Total { limit, end, timer: None });
        let Own { response, body, .. } = own;
        Self { total, rate, response, body }
    }

    pub(super) fn is_any(&self) -> bool {
        let Self { total, rate, response, body } = self;
        total.is_some() || rate.is_some() || response.is_some() || body.is_some()
    }

    /// The total time, if it is over.
    #[cold]
    pub(super) fn is_overdue(&self, now: Instant) -> Option<Duration> {
        self.total.as_ref().filter(|total| total.end <= now).map(|total| total.limit)
    }

    /// The total time, if any is set.
    pub(super) fn total(&self) -> Option<Duration> {
        self.total.as_ref().map(|total| total.limit)
    }

    /// How long the head of the response may take, where the request says so.
    pub(super) fn response(&self) -> Option<Option<Duration>> {
        self.response
    }

    /// Ready with the total time when it is over.
    pub(super) fn poll_total(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(Total { limit, end, timer }) = &mut self.total else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(*end)));
        timer.as_mut().poll(cx).map(|()| *limit)
    }
}

/// What a response body ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyOverrun {
    Frame(Duration),
    Total(Duration),
    Rate(LeastRate),
}

impl BodyOverrun {
    pub(super) fn into_error(self, address: &Arc<str>) -> Error {
        match self {
            Self::Frame(limit) => Error::body_timeout(address, limit),
            Self::Total(limit) => Error::total_timeout(address, limit),
            Self::Rate(LeastRate { bytes, period }) => Error::slow_body(address, bytes, period),
        }
    }
}

/// A frame, or the end.
type NextFrame<E> = Option<Result<Frame<Bytes>, E>>;

/// What bounds a response body, while a task waits for its next frame.
#[derive(Debug, Default)]
pub(super) struct BodyBounds(Option<Box<Running>>);

#[derive(Debug, Default)]
struct Running {
    frame: Option<Duration>,
    total: Option<(Instant, Duration)>,
    rate: Option<Rate>,
    /// Since when the task has waited for this frame.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How much has come in this period.
#[derive(Debug)]
struct Rate {
    least: LeastRate,
    bytes: u64,
    /// For how long it was waited for, without the present wait.
    waited: Duration,
    /// What the present wait counts from.
    from: Option<Instant>,
}

impl BodyBounds {
    #[inline]
    pub(super) fn new(frame: Option<Duration>) -> Self {
        Self(frame.map(|frame| Box::new(Running { frame: Some(frame), ..Running::default() })))
    }

    /// What bounds the whole exchange bounds this too.
    pub(super) fn add(&mut self, bounds: Bounds) {
        if !bounds.is_any() {
            return;
        }
        let running = self.0.get_or_insert_default();
        if let Some(frame) = bounds.body {
            running.frame = frame;
        }
        running.total = bounds.total.map(|total| (total.end, total.limit));
        running.rate =
            bounds.rate.map(|least| Rate { least, bytes: 0, waited: Duration::ZERO, from: None });
    }

    /// What `frame` gives, unless that takes too long, or too little has come.
    #[inline]
    pub(super) fn poll_within<E>(
        &mut self,
        cx: &mut Context<'_>,
        frame: impl FnOnce(&mut Context<'_>) -> Poll<NextFrame<E>>,
    ) -> Poll<Result<NextFrame<E>, BodyOverrun>> {
        match (frame(cx), &mut self.0) {
            (Poll::Ready(frame), None) => Poll::Ready(Ok(frame)),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Ready(frame), Some(running)) => {
                let bytes = match &frame {
                    Some(Ok(frame)) => frame.data_ref().map(Bytes::len),
                    _ => None,
                };
                match bytes.and_then(|bytes| running.come(bytes)) {
                    Some(overrun) => Poll::Ready(Err(overrun)),
                    None => Poll::Ready(Ok(frame)),
                }
            }
            (Poll::Pending, Some(running)) => running.wait(cx).map(Err),
        }
    }
}

impl Running {
    /// A frame of so many bytes has come.
    fn come(&mut self, bytes: usize) -> Option<BodyOverrun> {
        (self.timer, self.since) = (None, None);
        if self.total.is_none() && self.rate.is_none() {
            return None;
        }
        let now = Instant::now();
        // By the clock too: a body that always has a frame makes no caller wait.
        if let Some((_, limit)) = self.total.filter(|(end, _)| *end <= now) {
            return Some(BodyOverrun::Total(limit));
        }
        let rate = self.rate.as_mut()?;
        rate.bytes += bytes as u64;
        if let Some(from) = rate.from.take() {
            rate.waited += now - from;
        }
        rate.is_too_low().then_some(BodyOverrun::Rate(rate.least))
    }

    /// Nothing has come yet.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyOverrun> {
        loop {
            let now = Instant::now();
            let since = *self.since.get_or_insert(now);
            let rate_due = self.rate.as_mut().and_then(|rate| {
                let from = *rate.from.get_or_insert(now);
                from.checked_add(rate.least.period.saturating_sub(rate.waited))
            });
            let frame = self.frame.and_then(|limit| Some((since.checked_add(limit)?, limit)));
            let due = [frame.map(|(end, _)| end), self.total.map(|(end, _)| end), rate_due];
            let Some(due) = due.into_iter().flatten().min() else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            let over = |end: &(Instant, Duration)| end.0 <= due;
            if let Some((_, limit)) = self.total.filter(over) {
                return Poll::Ready(BodyOverrun::Total(limit));
            }
            if let Some((_, limit)) = frame.filter(over) {
                return Poll::Ready(BodyOverrun::Frame(limit));
            }
            if let Some(rate) = &mut self.rate {
                rate.waited = rate.least.period;
                rate.from = None;
                if rate.is_too_low() {
                    return Poll::Ready(BodyOverrun::Rate(rate.least));
                }
            }
        }
    }
}

impl Rate {
    /// Whether a period is over in which too little has come. If enough has come, another begins.
    fn is_too_low(&mut self) -> bool {
        if self.waited < self.least.period {
            return false;
        }
        if self.bytes < self.least.bytes {
            return true;
        }
        (self.bytes, self.waited) = (0, Duration::ZERO);
        false
    }
}
