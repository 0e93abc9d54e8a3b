//! A service that stands in line at an address, and when its turn comes.
//!
//! Its turn has come when a request of it would be served at once, or next: [`Supply`](super::line::Supply) has the rule. Three
//! things follow from it.
//!
//! Back-pressure is true: at a limit no more turns count than can be served at once, whether idle connections, free streams,
//! dials under way or room for dials serve them, and each counts until its request has come.
//!
//! Nothing is kept for a position. A connection that comes home goes to the request that waits, or becomes idle, whoever
//! stands in line; a turn that is not used lapses after 10 ms. So a service that is held ready for an hour, or is
//! never polled again, costs the others these 10 ms once. What it keeps is its age: the request of a service comes before all
//! that have waited for less long, in `poll_ready` or for a connection.
//!
//! And no position waits for what may never happen. It waits while older requests do, or while a turn counts, or while all that
//! the limits allow are connections of its own address, open or opening. The first end, the second lapses, and the third come
//! back or close; each of that tells the task that looks after the line. Where connections of other addresses are what
//! fills the pool, one turn comes at once: the request takes its place in the limit queue, which alone is fair between addresses.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, timeout_at};

use super::hosts::Hosts;
use super::lane::Lane;
use super::line::{Entered, Next, Standing, Supply};
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
        let lane = self.lane.upgrade().filter(|lane| !lane.runtime().is_gone());
        let Some(lane) = lane else { return Standing::Lapsed };
        let standing = lane.line.ask(self.number, self.was_ready, waker, Instant::now());
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
        if let Some(held) = position {
            match held.ask(cx.waker()) {
                Standing::Waits => return Poll::Pending,
                Standing::Turn => return Poll::Ready(()),
                Standing::Lapsed => *position = None,
            }
        }
        let Ok(lane) = self.lane_for(address, false) else { return Poll::Ready(()) };
        let entered = lane.enter_line(cx.waker());
        let held = Position {
            lane: Arc::downgrade(&lane),
            number: entered.number,
            was_ready: entered.is_turn,
        };
        *position = Some(held);
        if entered.is_turn { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Lane {
    /// Only in the lane's runtime.
    fn enter_line(self: &Arc<Self>, waker: &Waker) -> Entered {
        let draw = || self.queue.next_number();
        let entered = self.line.enter(waker, Instant::now(), draw, self.supply());
        if !entered.is_turn {
            if entered.is_attended {
                // What has changed since the supply was counted.
                self.host().changes().tell();
            } else {
                tokio::spawn(attend(Attendant { lane: Arc::clone(self), is_done: false }));
            }
        }
        entered
    }

    fn supply(&self) -> Supply {
        let ahead = self.queue.standing();
        let idle = self.idle().saturating_add(self.in_use.room());
        let dials = self.host().room_for_dials(self.idle()).saturating_mul(self.queue.per_dial());
        Supply {
            served: ahead.covered.saturating_add(idle).saturating_add(dials),
            waiting: ahead.waiting,
            first: ahead.first,
            takes_one: self.host().is_kept_out_by_others(),
            refuses: self.closed_for().is_some(),
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
            // Whether a turn lapses or something changes, the line is looked at again.
            Next::Until(Some(lapses)) => drop(timeout_at(lapses, changed).await),
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
