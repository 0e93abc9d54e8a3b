//! Those who wait for a connection of one lane, first in, first out.
//!
//! A waiter takes whatever comes first, a returned connection or a new one; it does not own the dial that
//! was started on its account. The queue knows how many dials are under way, so that no more are started
//! than there are waiters.
//!
//! What must hold: an answer is never lost. It is handed to a waiter through a channel that gives it back
//! if the waiter has gone, and a waiter that goes looks into the channel one last time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::Error;
use crate::lane::Lane;
use crate::lent::Lent;

/// What a waiter gets: a connection, or the reason why its dial failed.
pub(crate) type Answer = Result<Lent, Error>;

/// What a waiter will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Whatever comes first.
    Any,
    /// One that comes straight from its dial.
    Fresh,
}

#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// As many as there are waiters; read without the lock on the way of every request.
    waiting: AtomicUsize,
    /// The sum for all queues of the address; read without any lock where a connection comes to rest or
    /// closes.
    waiting_beside: Arc<AtomicUsize>,
    per_dial: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiters: VecDeque<Waiter>,
    dials: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    wants: Wants,
    answer: oneshot::Sender<Answer>,
}

impl State {
    /// The place of the first whom what is good enough for `served` would serve; nearly always the first of all.
    fn first(&self, served: Wants) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.wants == Wants::Any || served == Wants::Fresh)
    }
}

impl Queue {
    /// A queue whose waiters count in `sum` too.
    pub(crate) fn new(sum: Arc<AtomicUsize>, may_share: bool) -> Self {
        Self {
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_beside: sum,
            per_dial: AtomicUsize::new(if may_share { usize::MAX } else { 1 }),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Joins the end of the queue of `lane`, which is this one. None if the lane's watcher has gone; it
    /// stays while anybody waits.
    pub(crate) fn join(&self, lane: &Arc<Lane>, wants: Wants) -> Option<Ticket> {
        if !lane.watcher.stay() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut state = self.state();
            state.next_ticket += 1;
            let ticket = state.next_ticket;
            state.waiters.push_back(Waiter { ticket, wants, answer: sender });
            self.waiting.store(state.waiters.len(), Ordering::SeqCst);
            self.waiting_beside.fetch_add(1, Ordering::SeqCst);
            ticket
        };
        // Whoever lays a connection to rest looks for waiters afterwards; who joins looks for
        // connections afterwards. One of the two sees the other.
        fence(Ordering::SeqCst);
        Some(Ticket { lane: Arc::clone(lane), number, answer: receiver })
    }

    /// Whether anybody waits for a fresh connection.
    pub(crate) fn wants_fresh(&self) -> bool {
        self.waiting() > 0 && self.state().waiters.iter().any(|waiter| waiter.wants == Wants::Fresh)
    }

    /// Whether anybody who waits would take a connection that rests.
    pub(crate) fn wants_idle(&self) -> bool {
        self.waiting() > 0 && self.state().first(Wants::Any).is_some()
    }

    /// False if the waiter has been served.
    fn leave(&self, ticket: u64) -> bool {
        let mut state = self.state();
        let Ok(place) = state.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) else {
            return false;
        };
        let gone = state.waiters.remove(place);
        self.left(&state);
        drop(state);
        gone.is_some()
    }

    /// One has left, whose lock is still held.
    fn left(&self, state: &State) {
        self.waiting.store(state.waiters.len(), Ordering::SeqCst);
        self.waiting_beside.fetch_sub(1, Ordering::SeqCst);
    }

    /// Hands the answer to the one of those who would take it that has waited longest; back if there is none.
    pub(crate) fn offer(&self, mut answer: Answer) -> Option<Answer> {
        loop {
            let served = match &answer {
                Ok(lent) if !lent.is_fresh() => Wants::Any,
                _ => Wants::Fresh,
            };
            let waiter = {
                let mut state = self.state();
                let place = state.first(served);
                let Some(waiter) = place.and_then(|place| state.waiters.remove(place)) else {
                    return Some(answer);
                };
                self.left(&state);
                waiter
            };
            match waiter.answer.send(answer) {
                Ok(()) => return None,
                Err(back) => answer = back,
            }
        }
    }

    /// Whether more wait than dials are under way and `limit` allows.
    pub(crate) fn is_over(&self, limit: usize) -> bool {
        let state = self.state();
        state.waiters.len().saturating_sub(self.covered(&state)) > limit
    }

    pub(crate) fn wants_dial(&self) -> bool {
        let state = self.state();
        state.waiters.len() > self.covered(&state)
    }

    /// How many waiters the dials under way are for.
    fn covered(&self, state: &State) -> usize {
        state.dials.saturating_mul(self.per_dial())
    }

    /// How many waiters one dial is for: more than one where its connection is shared, all of them where that
    /// is not known yet.
    pub(crate) fn per_dial(&self) -> usize {
        self.per_dial.load(Ordering::SeqCst)
    }

    /// A dial has shown how many its connection serves.
    pub(crate) fn set_per_dial(&self, waiters: usize) {
        self.per_dial.store(waiters.max(1), Ordering::SeqCst);
    }

    /// Counts one more dial, if one is wanted.
    pub(crate) fn begin_dial(&self) -> bool {
        let mut state = self.state();
        let wanted = state.waiters.len() > self.covered(&state);
        state.dials += usize::from(wanted);
        wanted
    }

    pub(crate) fn end_dial(&self) {
        self.state().dials -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue.
///
/// Cancel safety: a ticket that is dropped leaves the queue; a connection that it had just been given goes
/// to the next waiter, or to rest.
#[derive(Debug)]
pub(crate) struct Ticket {
    lane: Arc<Lane>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Ticket {
    /// Gives the place up, unless it has been served.
    pub(crate) fn give_up(&self) -> bool {
        self.lane.queue().leave(self.number)
    }
}

impl Future for Ticket {
    /// None if the queue went away with its runtime.
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        Pin::new(&mut self.answer).poll(cx).map(Result::ok)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.give_up() {
            // The line may have waited for this one.
            self.lane.host.offer_room();
        } else {
            self.answer.close();
            if let Ok(Ok(lent)) = self.answer.try_recv() {
                lent.give_back();
            }
        }
        // Who drains the address may have waited for this one too.
        self.lane.host.tell_if_vacated();
        self.lane.watcher.leave();
    }
}
