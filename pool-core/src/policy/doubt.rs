//! What a host does where the failure of one connection casts doubt on the idle ones; the rule itself is in `siblings`.

use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;
use super::siblings::Standing;

impl Host {
    /// Whether an idle connection may stand otherwise than good. Asked for every request.
    #[inline]
    pub(crate) fn doubts_idle(&self) -> bool {
        self.siblings.are_doubted()
    }

    /// How connection `id` stands, which has been idle since then; if it was set aside and `may_try`, it is tried from
    /// here on, unless another one is.
    pub(crate) fn standing(&self, id: u64, since: Instant, may_try: bool) -> Standing {
        self.siblings.ask(id, since, may_try)
    }

    /// Whether any connection is tried. Asked for every request.
    #[inline]
    pub(crate) fn tries_idle(&self) -> bool {
        self.siblings.is_any_tried()
    }

    /// Whether connection `id` is tried: none of its siblings is lent until it has answered or closed.
    pub(crate) fn is_tried(&self, id: u64) -> bool {
        self.siblings.is_tried(id)
    }

    /// The path has failed a connection that had been idle since then, before anything was read in answer.
    pub(crate) fn path_failed(&self, since: Instant) {
        if self.siblings.path_failed(since) {
            self.reconsider_idle();
        }
    }

    /// Connection `id`, which had been idle since then and for so long, has given no answer in time.
    pub(crate) fn gave_no_answer(&self, id: u64, since: Instant, idle_for: Duration) {
        if self.siblings.gave_no_answer(id, since, idle_for) {
            self.reconsider_idle();
        }
    }

    /// Connection `id`, which is tried, has given no answer in time, and is to be judged. False if it is not tried any more.
    pub(super) fn awaits_judgement(&self, id: u64) -> bool {
        self.siblings.await_judgement(id)
    }

    /// Whether the connection that was tried is lost, and all that are set aside with it, if that is known.
    pub(super) fn judge(&self, is_lost: Option<bool>) {
        if self.siblings.judge(is_lost) {
            self.reconsider_idle();
        }
    }

    /// A response has come over connection `id`, which had been idle since then.
    pub(crate) fn answered(&self, id: u64, since: Instant) {
        if self.siblings.answered(id, since) {
            self.reconsider_idle();
        }
    }

    pub(super) fn connection_closed(&self, id: u64) {
        self.siblings.ended(id);
    }

    /// Connections that became idle before then have been closed.
    pub(super) fn forget_siblings_before(&self, then: Instant) {
        if self.doubts_idle() {
            self.siblings.forget_before(then);
        }
    }

    /// Has every member close what is lost, and lend what was cleared.
    pub(crate) fn reconsider_idle(&self) {
        // Announce-then-check: a request that joins its queue looks at the marks afterwards.
        fence(Ordering::SeqCst);
        for member in self.members() {
            member.reconsider_idle();
        }
    }
}
