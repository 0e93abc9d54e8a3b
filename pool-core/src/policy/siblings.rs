//! What the failure of a reused connection tells of its siblings, the idle connections to the same address.
//!
//! A path that has forgotten its connections, as a firewall does after a while, says nothing: no FIN comes and no RST,
//! and each request over one of them would fail for itself. So one failure tells of all that had been idle at least as
//! long; the younger ones may be good.
//!
//! | what has happened, with nothing read | the siblings that had been idle at least as long |
//! | --- | --- |
//! | an error of the path | are lost, and close |
//! | a response timeout, after a rest of at least a second | are set aside: only one at a time is lent, to be tried |
//! | no answer over the one that is tried, and a faster one over another | all that are set aside are lost |
//! | no answer over the one that is tried, and none as fast over another | all are as good as before: the server is slow |
//! | an answer over one of them | all are as good as before |
//!
//! What must hold: at most one connection is tried at a time, and the next one may be when that one has closed or
//! answered, and been judged, whatever became of its request. Connections that became idle later are never concerned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A connection that had been idle for less is not silent because it rested: its server is slow.
const RESTED: Duration = Duration::from_secs(1);

/// No time, and no connection.
const NONE: u64 = 0;

/// In place of the id of a connection: the one that was tried has closed without an answer, and is to be judged.
const JUDGED: u64 = u64::MAX;

/// How an idle connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// It is not lent for now.
    SetAside,
    /// It was set aside, and the request that it is lent to tries it.
    Tried,
    /// It must close.
    Lost,
}

#[derive(Debug)]
pub(super) struct Siblings {
    /// Times count from here, in nanoseconds, so that they can be read for every request without a lock.
    epoch: Instant,
    /// What became idle up to then is lost, or set aside.
    doubted: AtomicU64,
    /// What became idle up to then is lost; never later than `doubted`, but for a moment.
    lost: AtomicU64,
    /// The id of the connection that is tried.
    tried: AtomicU64,
}

impl Siblings {
    pub(super) fn new(epoch: Instant) -> Self {
        let [doubted, lost, tried] = [(); 3].map(|()| AtomicU64::new(NONE));
        Self { epoch, doubted, lost, tried }
    }

    /// Whether any connection may stand otherwise than good.
    #[inline]
    pub(super) fn are_doubted(&self) -> bool {
        self.doubted.load(Ordering::SeqCst) != NONE
    }

    /// How connection `id` stands, which has been idle since then; from here on it is tried if it can be.
    pub(super) fn ask(&self, id: u64, since: Instant, may_try: bool) -> Standing {
        let since = self.time(since);
        if since > self.doubted.load(Ordering::SeqCst) {
            Standing::Good
        } else if since <= self.lost.load(Ordering::SeqCst) {
            Standing::Lost
        } else if may_try && self.change(&self.tried, NONE, id) {
            Standing::Tried
        } else {
            Standing::SetAside
        }
    }

    #[inline]
    pub(super) fn is_any_tried(&self) -> bool {
        self.tried.load(Ordering::SeqCst) != NONE
    }

    pub(super) fn is_tried(&self, id: u64) -> bool {
        self.tried.load(Ordering::SeqCst) == id
    }

    /// The path has failed a connection that had been idle since then. True if that changes anything.
    pub(super) fn path_failed(&self, since: Instant) -> bool {
        self.lose(self.time(since))
    }

    fn lose(&self, up_to: u64) -> bool {
        let more = self.lost.fetch_max(up_to, Ordering::SeqCst) < up_to;
        self.doubted.fetch_max(up_to, Ordering::SeqCst);
        more
    }

    /// Connection `id`, which had been idle since then and for so long, has given no answer in time. True if that
    /// closes others.
    pub(super) fn gave_no_answer(&self, id: u64, since: Instant, idle_for: Duration) -> bool {
        if self.is_tried(id) {
            return self.lose(self.doubted.load(Ordering::SeqCst));
        }
        if idle_for >= RESTED {
            self.doubted.fetch_max(self.time(since), Ordering::SeqCst);
        }
        false
    }

    /// Connection `id`, which is tried, has given no answer in time; what that says is [judged](Self::judge) later. False if
    /// it is not tried any more.
    pub(super) fn await_judgement(&self, id: u64) -> bool {
        self.change(&self.tried, id, JUDGED)
    }

    /// The connection that was tried is lost, or its server is merely slow, if the caller knows. True if that changes anything.
    pub(super) fn judge(&self, is_lost: Option<bool>) -> bool {
        let doubted = self.doubted.load(Ordering::SeqCst);
        let changes = match is_lost {
            Some(true) => self.lose(doubted),
            Some(false) => self.clear(doubted),
            None => false,
        };
        self.change(&self.tried, JUDGED, NONE);
        changes
    }

    /// What was set aside up to then is good again; what is lost is not.
    fn clear(&self, doubted: u64) -> bool {
        let lost = self.lost.load(Ordering::SeqCst);
        let clears = lost < doubted && self.change(&self.doubted, doubted, lost);
        if clears {
            // The path may have failed meanwhile.
            self.doubted.fetch_max(self.lost.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        clears
    }

    /// Connection `id`, which had been idle since then, has brought an answer. True if that clears others.
    pub(super) fn answered(&self, id: u64, since: Instant) -> bool {
        let (since, doubted) = (self.time(since), self.doubted.load(Ordering::SeqCst));
        let says_so = self.lost.load(Ordering::SeqCst) < since && since <= doubted;
        let clears = says_so && self.clear(doubted);
        self.ended(id);
        clears
    }

    /// Connection `id` has closed.
    pub(super) fn ended(&self, id: u64) {
        if self.is_tried(id) {
            self.change(&self.tried, id, NONE);
        }
    }

    /// No connection is left that became idle before then.
    pub(super) fn forget_before(&self, then: Instant) {
        let then = self.time(then);
        let doubted = self.doubted.load(Ordering::SeqCst);
        if doubted < then {
            self.change(&self.doubted, doubted, NONE);
        }
    }

    fn change(&self, mark: &AtomicU64, from: u64, to: u64) -> bool {
        mark.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn time(&self, instant: Instant) -> u64 {
        let nanos = instant.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Siblings, and when the connections 1, 2 and 3 became idle, a second apart.
    async fn three() -> (Siblings, [Instant; 3]) {
        let siblings = Siblings::new(Instant::now());
        let mut since = [Instant::now(); 3];
        for instant in &mut since {
            *instant = Instant::now();
            tokio::time::advance(SECOND).await;
        }
        (siblings, since)
    }

    fn standings(siblings: &Siblings, since: [Instant; 3]) -> [Standing; 3] {
        [1, 2, 3].map(|id| siblings.ask(id, since[id as usize - 1], false))
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_the_path_loses_what_had_been_idle_as_long_and_leaves_what_is_younger() {
        let (siblings, since) = three().await;
        assert!(!siblings.are_doubted());
        assert!(siblings.path_failed(since[1]));
        assert!(siblings.are_doubted());
        assert_eq!(standings(&siblings, since), [Standing::Lost, Standing::Lost, Standing::Good]);
        assert!(!siblings.path_failed(since[0]), "it is known already");
        assert_eq!(siblings.ask(2, since[1], true), Standing::Lost, "what is lost is not tried");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_after_a_rest_sets_aside_and_one_after_none_says_nothing() {
        let (siblings, since) = three().await;
        siblings.gave_no_answer(9, since[1], SECOND - Duration::from_millis(1));
        assert!(!siblings.are_doubted());
        assert!(!siblings.gave_no_answer(9, since[1], SECOND), "nothing closes");
        let aside = Standing::SetAside;
        assert_eq!(standings(&siblings, since), [aside, aside, Standing::Good]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_is_tried_at_a_time_and_another_when_that_has_closed() {
        let (siblings, since) = three().await;
        siblings.gave_no_answer(9, since[2], SECOND);
        assert_eq!(siblings.ask(3, since[2], true), Standing::Tried);
        assert!(siblings.is_tried(3) && !siblings.is_tried(2));
        assert_eq!(siblings.ask(2, since[1], true), Standing::SetAside);
        siblings.ended(1);
        assert_eq!(siblings.ask(2, since[1], true), Standing::SetAside);
        siblings.ended(3);
        assert_eq!(siblings.ask(2, since[1], true), Standing::Tried);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_over_one_that_was_set_aside_clears_all_and_one_over_a_younger_one_none() {
        let (siblings, since) = three().await;
        siblings.gave_no_answer(9, since[1], SECOND);
        assert_eq!(siblings.ask(2, since[1], true), Standing::Tried);
        assert!(!siblings.answered(3, since[2]));
        assert_eq!(siblings.ask(1, since[0], true), Standing::SetAside);
        assert!(siblings.answered(2, since[1]));
        assert_eq!(standings(&siblings, since), [Standing::Good; 3]);
        siblings.gave_no_answer(9, since[1], SECOND);
        assert_eq!(siblings.ask(1, since[0], true), Standing::Tried, "the other trial is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_without_an_answer_loses_all_that_were_set_aside() {
        let (siblings, since) = three().await;
        siblings.gave_no_answer(9, since[1], SECOND);
        assert_eq!(siblings.ask(1, since[0], true), Standing::Tried);
        // A request that was sent before says nothing new.
        assert!(!siblings.gave_no_answer(8, since[0], SECOND));
        assert!(siblings.gave_no_answer(1, since[0], SECOND));
        assert_eq!(standings(&siblings, since), [Standing::Lost, Standing::Lost, Standing::Good]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_connection_is_left_for_is_forgotten() {
        let (siblings, since) = three().await;
        siblings.path_failed(since[0]);
        siblings.gave_no_answer(9, since[1], SECOND);
        siblings.forget_before(since[1]);
        let standing = [Standing::Lost, Standing::SetAside, Standing::Good];
        assert_eq!(standings(&siblings, since), standing);
        siblings.forget_before(since[2]);
        assert!(!siblings.are_doubted());
        siblings.gave_no_answer(9, since[2], SECOND);
        assert_eq!(siblings.ask(3, since[2], false), Standing::SetAside);
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_tried_while_another_is_judged_and_the_judgement_is_for_all() {
        for is_lost in [None, Some(false), Some(true)] {
            let (siblings, since) = three().await;
            siblings.gave_no_answer(9, since[1], SECOND);
            assert_eq!(siblings.ask(1, since[0], true), Standing::Tried);
            assert!(siblings.await_judgement(1) && !siblings.await_judgement(1));
            siblings.ended(1);
            assert_eq!(siblings.ask(2, since[1], true), Standing::SetAside);
            assert_eq!(siblings.judge(is_lost), is_lost.is_some());
            let standing = match is_lost {
                Some(true) => Standing::Lost,
                Some(false) => Standing::Good,
                None => Standing::SetAside,
            };
            assert_eq!(standings(&siblings, since), [standing, standing, Standing::Good]);
            assert!(!siblings.is_any_tried());
        }
    }
}
