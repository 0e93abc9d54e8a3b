//! The one dial that tries an address again during a pause; another may, if this one ends before it has tried.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::backoff::Leave;
use super::host::Host;

/// How a dial may begin.
#[derive(Debug)]
pub(crate) enum Admission {
    /// As any other dial.
    Free,
    /// As the dial that tries.
    Trial(Trial),
    /// Not at all: another dial tries already.
    Held,
}

impl Admission {
    /// Asks leave to dial.
    pub(crate) fn to(host: &Arc<Host>, now: Instant) -> Self {
        match host.failures.ask_leave(now) {
            Leave::Free => Self::Free,
            Leave::Held => Self::Held,
            Leave::ToTry(pause) => {
                Self::Trial(Trial { host: Arc::clone(host), pause, ended: false })
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct Trial {
    host: Arc<Host>,
    pause: Duration,
    ended: bool,
}

impl Trial {
    /// How long it has to wait before it tries.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    /// Waits until the pause is over. Its end then requests the dials that are wanted.
    pub(crate) async fn wait(self) {
        sleep(self.pause).await;
    }

    /// It has tried, or cannot because a limit is reached. A permit that drops requests the dials that are wanted.
    pub(crate) fn end(mut self) {
        // Once: from here on another dial may have leave to try.
        self.ended = true;
        self.host.failures.end_trial();
    }
}

impl Drop for Trial {
    /// Its pause is over, or it went with its runtime: the requests that it held back check for themselves.
    fn drop(&mut self) {
        if !self.ended && self.host.failures.end_trial() {
            self.host.request_dials();
        }
    }
}
