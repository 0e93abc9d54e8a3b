//! A service that stands in line at an address, and when its turn comes.
//!
//! Its turn has come when a request of it would be served at once, or next: [`Supply`] has the rule. Three
//! things follow from it.
//!
//! Back-pressure is true: at a limit no more turns count than can be served at once, whether idle connections, free streams,
//! dials under way or room for dials serve them, and each counts until its request has come.
//!
//! Nothing is kept for a position. A connection that comes home goes to the request that waits, or becomes idle, whichever
//! services stand in line; a turn that is not used lapses after 10 ms. So a service that is held ready for an hour, or is
//! never polled again, costs the others these 10 ms once. What it keeps is its age: the request of a service comes before all
//! that have waited for less long, in `poll_ready` or for a connection.
//!
//! And no position waits for what may never happen. It waits while older requests do, or while a turn counts, or while all that
//! the limits allow are connections of its own address, open or opening. The first end, the second lapses, and the third come
//! back or close; each of that tells the task that looks after the line. Where connections of other addresses are what
//! fills the pool, one turn comes at once: the request takes its place in the limit queue, which alone is fair between addresses.
//! While the address fails, a position waits until the next dial is due, for a second at most unless the pool pauses, and then the
//! turn of all has come: one dial is for all. So a balancer goes to other addresses meanwhile, and comes back by itself.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::hosts::Hosts;
use super::lane::Lane;
use super::line::{Next, Standing, Supply};
use crate::connector::Connector;

/// Where a service stands in line. Dropping it gives the position to the next.
#[derive(Debug)]
pub(crate) struct Position {
    // A balancer may hold it for long after the address is gone.
    lane: Weak<Lane>,
    number: u64,
    was_ready: bool,
}

impl Position {
    /// Its number, if it stands in this line.
    pub(super) fn number_in(&self, lane: &Arc<Lane>) -> Option<u64> {
        std::ptr::eq(self.lane.as_ptr(), Arc::as_ptr(lane)).then_some(self.number)
    }

    fn ask(&mut self, waker: &Waker) -> Standing {
        let is_here = |lane: &Arc<Lane>| {
            Handle::try_current().is_ok_and(|here| here.id() == lane.runtime().id())
                && !lane.runtime().is_gone()
        };
        let Some(lane) = self.lane.upgrade().filter(is_here) else { return Standing::Lapsed };
        let (now, supply) = (Instant::now(), lane.supply());
        let standing = lane.line.ask(self.number, self.was_ready, waker, now, supply);
        lane.see_to(standing);
        self.was_ready |= standing == Standing::Turn;
        standing
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.upgrade()
            && lane.line.leave(self.number)
        {
            lane.host().changes().tell();
        }
    }
}

impl<C: Connector> Hosts<C> {
    /// Ready when a request to `address` may come. What is wrong with the address the request is told.
    pub(crate) fn poll_turn(
        self: &Arc<Self>,
        address: &C::Address,
        position: &mut Option<Position>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let held = position.as_mut().map(|held| held.ask(cx.waker()));
        let standing = match held {
            Some(standing @ (Standing::Waits { .. } | Standing::Turn)) => standing,
            None | Some(Standing::Lapsed) => {
                let Ok(lane) = self.lane_for(address, false) else { return Poll::Ready(()) };
                let (now, supply) = (Instant::now(), lane.supply());
                let draw = || lane.queue.next_number();
                let (number, standing) = lane.line.enter(cx.waker(), now, draw, supply);
                lane.see_to(standing);
                let was_ready = standing == Standing::Turn;
                *position = Some(Position { lane: Arc::downgrade(&lane), number, was_ready });
                standing
            }
        };
        if standing == Standing::Turn { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Lane {
    /// Has a position that waits looked after. Only in the lane's runtime.
    fn see_to(self: &Arc<Self>, standing: Standing) {
        match standing {
            // What has changed since the supply was counted.
            Standing::Waits { is_attended: true } => self.host().changes().tell(),
            Standing::Waits { is_attended: false } => {
                tokio::spawn(attend(Attendant { lane: Arc::clone(self), is_done: false }));
            }
            Standing::Turn | Standing::Lapsed => {}
        }
    }

    fn supply(&self) -> Supply {
        let ahead = self.queue.standing();
        let idle = self.idle().saturating_add(self.in_use.room());
        let nothing_else = Supply {
            served: idle,
            waiting: ahead.waiting,
            first: None,
            takes_one: false,
            takes_all: self.closed_for().is_some(),
            until: None,
        };
        if self.host().fails() {
            return match self.host().may_dial() {
                Ok(()) => Supply { takes_all: true, ..nothing_else },
                Err(until) => Supply { until: Some(until), ..nothing_else },
            };
        }
        let dials = self.host().room_for_dials(self.idle()).saturating_mul(self.queue.per_dial());
        Supply {
            served: ahead.covered.saturating_add(idle).saturating_add(dials),
            first: ahead.first,
            takes_one: self.host().is_kept_out_by_others(),
            ..nothing_else
        }
    }
}

/// Looks after the line of a lane as long as any position waits there.
async fn attend(mut attendant: Attendant) {
    let lane = Arc::clone(&attendant.lane);
    let changes = lane.host().changes().enter();
    loop {
        let changed = changes.next();
        match lane.line.go_on(Instant::now(), lane.supply()) {
            // Whether that time comes or something changes, the line is looked at again.
            Next::Until(Some(time)) => drop(timeout_at(time, changed).await),
            Next::Until(None) => changed.await,
            Next::Over => break,
        }
    }
    attendant.is_done = true;
}

struct Attendant {
    lane: Arc<Lane>,
    is_done: bool,
}

impl Drop for Attendant {
    fn drop(&mut self) {
        if !self.is_done {
            self.lane.line.abandon();
        }
    }
}
