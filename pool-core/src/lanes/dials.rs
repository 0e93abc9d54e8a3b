//! When a lane dials for its waiters, within the limits and the pace of its address, and when it ends dials again.
//!
//! What must hold: while a request waits without a dial on its account, a limit refuses a dial, or a timer runs after
//! which one may begin, or one is started. Announce-then-check: a lane that was refused stops counting its dial as under
//! way, and then checks for room again; a thread that makes room counts it, and then checks which lanes want a dial.
//! Likewise with dials that are left behind: a lane enters them, and then checks whether a limit keeps a request
//! waiting; a request waits, and then its lane checks for such dials.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use tokio::time::{Instant, sleep_until};

use super::lane::Lane;
use super::wants::{Offered, Pace};
use crate::policy::{Attempt, HANGS, Member, Permit, Refusal, Turn};
use crate::report::Error;

/// Why a dial does not begin.
enum Held {
    /// By a limit.
    Refused(Refusal),
    /// By the pace at which an address is dialled that fails, until then.
    Until(Instant),
}

/// What an attempt to dial has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// A dial has begun.
    pub(super) any: bool,
    /// One that hangs, or that no request waits for, gives way to the next.
    pub(super) gets_room: bool,
}

impl Lane {
    pub(super) fn pace(&self) -> Pace {
        if self.host().fails() { Pace::ForAll } else { Pace::ForEach }
    }

    /// Starts dials while more requests wait than dials are under way, and the limits and the pace allow. Only in the
    /// lane's runtime.
    pub(super) fn dial(self: &Arc<Self>, mut turn: Turn) -> Outcome {
        let mut done = Outcome::default();
        while let Some(begun) = self.queue.begin_dial(self.pace()) {
            let now = begun.at;
            let held = match self.begin(turn, now) {
                Ok((permit, attempt)) => {
                    self.pool().limit_queue.leave(&**self);
                    self.dialer().dial(Arc::clone(self), begun, permit, attempt);
                    // One place for each turn: other members wait in the limit queue too.
                    (turn, done.any) = (Turn::Own, true);
                    continue;
                }
                Err(held) => held,
            };
            let address_is_full = matches!(held, Held::Refused(Refusal::AddressFull));
            if address_is_full && turn == Turn::Granted || matches!(held, Held::Until(_)) {
                // Its own address tells it when there is room, or its timer; the limit queue is not blocked meanwhile.
                self.pool().limit_queue.leave(&**self);
            }
            self.queue.end_dial(begun.number);
            // Room may have been made while the dial was still counted as under way, by a thread that then saw no lane
            // in need.
            match held {
                Held::Refused(Refusal::AddressFull)
                    if self.host().has_room() || self.host().idle() > 0 => {}
                // The dial in whose place this was to begin tries the next address itself. To end that one for it would begin
                // anew for ever.
                Held::Refused(_) if begun.heir_of.is_some() => return done,
                Held::Refused(Refusal::AddressFull) => {
                    done.gets_room = self.host().end_one_left_behind();
                    self.look_again_if_it_fails(now);
                    return done;
                }
                Held::Refused(Refusal::PoolFull) => {
                    // The limit queue may have removed this lane, or seen no need, while its dial was counted.
                    if self.wants_dial() {
                        self.join_limit_queue();
                    }
                    self.look_again_if_it_fails(now);
                    self.host().offer_room();
                    return done;
                }
                Held::Refused(Refusal::WatcherGone) => return done,
                Held::Until(at) => {
                    self.dial_at(at);
                    self.host().offer_room();
                    return done;
                }
            }
        }
        done
    }

    /// What a dial needs to begin.
    fn begin(self: &Arc<Self>, turn: Turn, now: Instant) -> Result<(Permit, Attempt), Held> {
        // Before the permit, which would close a connection for a dial that may not begin.
        self.host().may_dial().map_err(Held::Until)?;
        let permit = if self.host().is_dialled_though_it_fails() {
            self.free_permit(turn, now)?
        } else {
            self.permit(turn).map_err(Held::Refused)?
        };
        match Attempt::begin(self.host(), now) {
            Ok(attempt) => Ok((permit, attempt)),
            // Another lane was faster.
            Err(at) => Err(Held::Until(at)),
        }
    }

    /// A permit, if need be in place of an idle connection that no request here can use.
    fn permit(self: &Arc<Self>, turn: Turn) -> Result<Permit, Refusal> {
        if turn == Turn::Own && self.pool().limit_queue.is_waiting() {
            self.join_limit_queue();
            return Err(Refusal::PoolFull);
        }
        loop {
            match Permit::new(self.host(), self.runtime()) {
                Err(Refusal::AddressFull) if self.host().evict() => {}
                Err(Refusal::PoolFull) if self.pool().lru.evict() => {}
                // Once in the queue, it checks again: what was stored before was not stored for it.
                Err(Refusal::PoolFull) if self.join_limit_queue() => {}
                done => return done,
            }
        }
    }

    /// A permit for one more dial beside one that hangs, which is worth no connection of others.
    fn free_permit(&self, turn: Turn, now: Instant) -> Result<Permit, Held> {
        let is_in_turn = turn == Turn::Granted || !self.pool().limit_queue.is_waiting();
        match is_in_turn.then(|| Permit::new(self.host(), self.runtime())) {
            Some(Ok(permit)) => Ok(permit),
            Some(Err(Refusal::WatcherGone)) => Err(Held::Refused(Refusal::WatcherGone)),
            Some(Err(_)) | None => Err(Held::Until(now + HANGS)),
        }
    }

    /// The dial that took the last place may hang, and then nothing tells the waiters here that another is due.
    fn look_again_if_it_fails(self: &Arc<Self>, now: Instant) {
        if self.host().fails() && self.has_waiting() {
            self.dial_at(now + HANGS);
        }
    }

    /// Joins the queue for the total limit; false if it waits there already.
    fn join_limit_queue(self: &Arc<Self>) -> bool {
        self.pool().limit_queue.join(&self.as_member())
    }

    fn as_member(self: &Arc<Self>) -> Arc<dyn Member> {
        let member: Arc<Self> = Arc::clone(self);
        member
    }

    /// Dials for the waiters at that time, unless it does so earlier.
    fn dial_at(self: &Arc<Self>, at: Instant) {
        let mut next = self.next_dial.lock();
        if next.as_ref().is_some_and(|(earlier, _)| *earlier <= at) {
            return;
        }
        let lane = Arc::downgrade(self);
        let timer = tokio::spawn(async move {
            sleep_until(at).await;
            if let Some(lane) = lane.upgrade() {
                lane.next_dial.lock().take_if(|(next, _)| *next == at);
                lane.dial(Turn::Own);
            }
        });
        if let Some((_, later)) = next.replace((at, timer.abort_handle())) {
            later.abort();
        }
    }

    /// A dial fails requests that came before it began, or have waited for a whole connect timeout: the one that it was
    /// for, or where it was for all, as many as could have dialled. A limit keeps the others waiting.
    pub(super) fn dial_failed(&self, before: u64, is_for_all: bool, error: Error) {
        let patience = self.settings().connect_timeout;
        let or_since = patience.and_then(|patience| Instant::now().checked_sub(patience));
        let offered = Offered::Failure { before, or_since };
        // The place of the dial itself is free again.
        let dials = if is_for_all { self.host().room().max(1) } else { 1 };
        let most = dials.saturating_mul(self.queue.per_dial());
        for _ in 1..most.min(self.queue.waiting()) {
            if self.queue.offer(Err(error.for_another()), offered).is_some() {
                return;
            }
        }
        self.queue.offer(Err(error), offered);
    }

    /// A request has left that waited, and with it perhaps the need for a dial; or a dial hangs whose request was served
    /// by another connection. Of such dials only the oldest goes on.
    pub(super) fn left_dials_behind(self: &Arc<Self>) {
        self.host().keep_oldest_left_behind();
        self.offer_left_behind();
    }

    /// Enters dials for which no request waits where they may have to give way, and has one do so if a limit keeps a
    /// request waiting.
    pub(super) fn offer_left_behind(self: &Arc<Self>) {
        let settings = self.settings();
        if !settings.limits_connections() || self.queue.left_behind_since(self.pace()).is_none() {
            return;
        }
        if settings.max_connections.is_some() {
            self.pool().left_behind.enter(&self.as_member());
        }
        // Announce-then-check: a request that a limit keeps waiting is counted, and then looks for such dials.
        fence(Ordering::SeqCst);
        if self.pool().limit_queue.is_waiting() || self.host().is_wanted_beside(&**self) {
            self.host().offer_room();
        }
    }
}
