//! What both versions note about an exchange: that it begins, and that its connection was stale.

use tokio::time::Instant;

use crate::policy::Host;
use crate::report::{Attempt, ConnectionInfo, Event};

/// A request goes over a connection. `info` is made only for an observer.
#[inline]
pub(super) fn checked_out(host: &Host, info: impl FnOnce() -> ConnectionInfo) {
    host.tell(|| {
        let info = info();
        Event::CheckedOut {
            id: info.id(),
            use_number: info.use_number(),
            idle_for: info.idle_for(),
        }
    });
}

/// An attempt has failed because its connection ended. The connection was stale if it had served, or been idle, and
/// nothing was read in answer.
pub(super) fn connection_ended(host: &Host, attempt: &Attempt) {
    if !attempt.is_fresh() && attempt.is_unanswered() {
        host.note_stale(attempt.connection().idle_for(), Instant::now());
    }
}
