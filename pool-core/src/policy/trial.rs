//! The request that has tried a connection in vain, and goes over another: that one tells what its silence has meant.
//!
//! What must hold: every trial ends, whatever becomes of the request, or no other connection would be tried. Where the other
//! connection has told nothing, as where the caller gives up, those that were set aside stay so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;

/// Judges when it is dropped: with the answer over the other connection, or with the request.
pub(crate) struct Trial {
    host: Arc<Host>,
    /// So long the connection that was tried has been silent.
    patience: Duration,
    /// Since when the request waits for an answer over another connection to the same address.
    sent_again: Option<Instant>,
    answered: bool,
}

impl Trial {
    /// Connection `id` has given no answer for so long. None if another has been tried since.
    pub(crate) fn begin(host: &Arc<Host>, id: u64, patience: Duration) -> Option<Self> {
        let judged = host.awaits_judgement(id);
        judged.then(|| Self { host: Arc::clone(host), patience, sent_again: None, answered: false })
    }

    /// The request goes over a connection to `host`, which may be another.
    pub(crate) fn sent_again(&mut self, host: &Arc<Host>) {
        self.sent_again = Arc::ptr_eq(host, &self.host).then(Instant::now);
    }

    /// The answer has come.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.host.judge(match self.sent_again {
            // What takes as long over another connection too would have come over the first.
            Some(sent) if sent.elapsed() >= self.patience => Some(false),
            Some(_) if self.answered => Some(true),
            _ => None,
        });
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("host", self.host.name()).finish_non_exhaustive()
    }
}
