//! Requests that wait for a connection of one lane, first in, first out.
//!
//! A waiter takes what comes first, a returned connection or a new one; it does not own the dial that was started on
//! its account. The queue knows how many dials are under way, so that no more are started than there are waiters. It
//! knows neither lanes nor connections, and is tested with integers.
//!
//! What must hold: an answer is never lost. It goes to a waiter through a channel that gives it back if the waiter has
//! left, and a waiter that leaves checks the channel one last time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::sync::Mutex;

/// What a waiter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// Any connection.
    Any,
    /// Only a connection that comes straight from its dial.
    Fresh,
    /// Only a connection whose id is greater than that of every connection which was open then.
    Newer(u64),
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// A connection of that id.
    Connection { id: u64, fresh: bool },
    /// The news that a dial has failed.
    Failure,
}

impl Wants {
    pub(super) fn accepts(self, offered: Offered) -> bool {
        match (self, offered) {
            (_, Offered::Failure) | (Self::Any, _) => true,
            (Self::Fresh, Offered::Connection { fresh, .. }) => fresh,
            (Self::Newer(than), Offered::Connection { id, .. }) => id > than,
        }
    }
}

#[derive(Debug)]
pub(super) struct WaitQueue<T> {
    state: Mutex<State<T>>,
    /// The number of waiters; read without the lock for every request.
    waiting: AtomicUsize,
    /// The sum over all queues of the address; read without any lock where a connection becomes idle or closes.
    waiting_in_all: Arc<AtomicUsize>,
    per_dial: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    waiters: VecDeque<Waiter<T>>,
    dials: usize,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter<T> {
    ticket: u64,
    wants: Wants,
    answer: oneshot::Sender<T>,
}

/// A place in the queue. Its owner leaves by its number.
#[derive(Debug)]
pub(super) struct Ticket<T> {
    number: u64,
    answer: oneshot::Receiver<T>,
}

impl<T> State<T> {
    /// Index of the first waiter that accepts what is offered; nearly always the first of all.
    fn first(&self, offered: Offered) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.wants.accepts(offered))
    }
}

impl<T> WaitQueue<T> {
    /// An empty queue, whose waiters count in `sum` too. Where a connection may be shared, one dial is for all waiters
    /// until it has shown how many its connection serves.
    pub(super) fn new(sum: Arc<AtomicUsize>, may_share: bool) -> Self {
        let state = State { waiters: VecDeque::new(), dials: 0, next_ticket: 0 };
        Self {
            state: Mutex::new(state),
            waiting: AtomicUsize::new(0),
            waiting_in_all: sum,
            per_dial: AtomicUsize::new(if may_share { usize::MAX } else { 1 }),
        }
    }

    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Joins the end of the queue.
    pub(super) fn join(&self, wants: Wants) -> Ticket<T> {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            state.next_ticket += 1;
            let ticket = state.next_ticket;
            state.waiters.push_back(Waiter { ticket, wants, answer: sender });
            self.waiting.store(state.waiters.len(), Ordering::SeqCst);
            self.waiting_in_all.fetch_add(1, Ordering::SeqCst);
            ticket
        };
        // Announce-then-check: the caller checks for idle connections after this, and a thread that stores one checks
        // for waiters afterwards.
        fence(Ordering::SeqCst);
        Ticket { number, answer: receiver }
    }

    /// Leaves the queue; false if the waiter was served already.
    pub(super) fn leave(&self, ticket: &Ticket<T>) -> bool {
        let mut state = self.state.lock();
        let found = state.waiters.binary_search_by_key(&ticket.number, |waiter| waiter.ticket);
        let Ok(place) = found else { return false };
        let gone = state.waiters.remove(place);
        self.count_down(&state);
        drop(state);
        gone.is_some()
    }

    /// One waiter has left. The lock is still held.
    fn count_down(&self, state: &State<T>) {
        self.waiting.store(state.waiters.len(), Ordering::SeqCst);
        self.waiting_in_all.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a waiter wants a connection that has still to be opened.
    pub(super) fn wants_fresh(&self) -> bool {
        self.wants(|wants| wants != Wants::Any)
    }

    /// Whether a waiter would take any idle connection.
    pub(super) fn wants_idle(&self) -> bool {
        self.wants(|wants| wants == Wants::Any)
    }

    /// Whether a waiter would take what is offered.
    pub(super) fn would_take(&self, offered: Offered) -> bool {
        self.wants(|wants| wants.accepts(offered))
    }

    fn wants(&self, is_so: impl Fn(Wants) -> bool) -> bool {
        self.waiting() > 0 && self.state.lock().waiters.iter().any(|waiter| is_so(waiter.wants))
    }

    /// Hands the answer to the waiter that has waited longest and accepts it; gives it back if there is none.
    pub(super) fn offer(&self, mut answer: T, offered: Offered) -> Option<T> {
        loop {
            let waiter = {
                let mut state = self.state.lock();
                let place = state.first(offered);
                let Some(waiter) = place.and_then(|place| state.waiters.remove(place)) else {
                    return Some(answer);
                };
                self.count_down(&state);
                waiter
            };
            match waiter.answer.send(answer) {
                Ok(()) => return None,
                Err(back) => answer = back,
            }
        }
    }

    /// Whether more requests wait than dials are under way and `limit` allows.
    pub(super) fn is_over(&self, limit: usize) -> bool {
        let state = self.state.lock();
        state.waiters.len().saturating_sub(self.covered(&state)) > limit
    }

    /// Whether more requests wait than dials are under way.
    pub(super) fn wants_dial(&self) -> bool {
        let state = self.state.lock();
        state.waiters.len() > self.covered(&state)
    }

    /// How many waiters the dials under way are for.
    fn covered(&self, state: &State<T>) -> usize {
        state.dials.saturating_mul(self.per_dial())
    }

    /// How many waiters one dial is for: more than one where its connection is shared, all of them where the number is
    /// not known yet.
    pub(super) fn per_dial(&self) -> usize {
        self.per_dial.load(Ordering::SeqCst)
    }

    /// A dial has shown how many waiters its connection serves.
    pub(super) fn set_per_dial(&self, waiters: usize) {
        self.per_dial.store(waiters.max(1), Ordering::SeqCst);
    }

    /// Counts one more dial, if one is wanted.
    pub(super) fn begin_dial(&self) -> bool {
        let mut state = self.state.lock();
        let wanted = state.waiters.len() > self.covered(&state);
        state.dials += usize::from(wanted);
        wanted
    }

    pub(super) fn end_dial(&self) {
        self.state.lock().dials -= 1;
    }
}

impl<T> Ticket<T> {
    /// Ready with the answer; with none if the queue went away with its runtime.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.answer).poll(cx).map(Result::ok)
    }

    /// Takes no answer from here on; gives the one that had come already.
    pub(super) fn close(&mut self) -> Option<T> {
        self.answer.close();
        self.answer.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> WaitQueue<u32> {
        WaitQueue::new(Arc::default(), false)
    }

    const IDLE: Offered = Offered::Connection { id: 1, fresh: false };
    const FRESH: Offered = Offered::Connection { id: 2, fresh: true };

    fn answer(ticket: &mut Ticket<u32>) -> Option<u32> {
        match ticket.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_waiter_that_came_first_is_served_first() {
        let queue = queue();
        let [mut first, mut second] = [queue.join(Wants::Any), queue.join(Wants::Any)];
        assert_eq!((queue.offer(1, IDLE), queue.offer(2, IDLE)), (None, None));
        assert_eq!((answer(&mut first), answer(&mut second)), (Some(1), Some(2)));
        assert_eq!(queue.offer(3, IDLE), Some(3));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_waiter_for_a_fresh_connection_is_passed_over_by_an_idle_one() {
        let queue = queue();
        let [mut fresh, mut any] = [queue.join(Wants::Fresh), queue.join(Wants::Any)];
        assert!(queue.wants_idle() && queue.wants_fresh());
        assert_eq!(queue.offer(1, IDLE), None);
        assert_eq!((answer(&mut fresh), answer(&mut any)), (None, Some(1)));
        assert!(!queue.wants_idle());
        assert_eq!((queue.offer(2, IDLE), queue.offer(3, FRESH)), (Some(2), None));
        assert_eq!(answer(&mut fresh), Some(3));
    }

    #[test]
    fn a_waiter_for_a_newer_connection_takes_it_fresh_or_not_and_every_waiter_takes_a_failure() {
        let queue = queue();
        let [mut newer, mut fresh] = [queue.join(Wants::Newer(1)), queue.join(Wants::Fresh)];
        assert_eq!(queue.offer(1, IDLE), Some(1));
        let used = Offered::Connection { id: 2, fresh: false };
        assert!(queue.would_take(used) && !queue.would_take(IDLE));
        assert_eq!((queue.offer(2, used), answer(&mut newer)), (None, Some(2)));
        assert_eq!((queue.offer(3, Offered::Failure), answer(&mut fresh)), (None, Some(3)));
    }

    #[test]
    fn an_answer_to_a_waiter_that_has_gone_goes_to_the_next() {
        let queue = queue();
        let first = queue.join(Wants::Any);
        let mut second = queue.join(Wants::Any);
        drop(first);
        assert_eq!(queue.offer(1, IDLE), None);
        assert_eq!(answer(&mut second), Some(1));
    }

    #[test]
    fn a_waiter_that_leaves_knows_whether_it_was_served() {
        let sum = Arc::<AtomicUsize>::default();
        let queue = WaitQueue::new(Arc::clone(&sum), false);
        let [mut served, left] = [queue.join(Wants::Any), queue.join(Wants::Any)];
        assert_eq!(queue.offer(1, IDLE), None);
        assert_eq!(
            (queue.leave(&served), queue.leave(&left), queue.leave(&left)),
            (false, true, false)
        );
        assert_eq!(served.close(), Some(1));
        assert_eq!((queue.waiting(), sum.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn no_more_dials_begin_than_requests_wait() {
        let queue = queue();
        let _waiting = [queue.join(Wants::Any), queue.join(Wants::Any)];
        assert_eq!(
            [queue.begin_dial(), queue.begin_dial(), queue.begin_dial()],
            [true, true, false]
        );
        assert!(!queue.wants_dial() && !queue.is_over(0));
        queue.end_dial();
        assert!(queue.wants_dial() && queue.is_over(0) && !queue.is_over(1));
    }

    #[test]
    fn one_dial_is_for_all_until_it_has_shown_how_many_its_connection_serves() {
        let queue = WaitQueue::<u32>::new(Arc::default(), true);
        let _waiting: Vec<_> = (0..5).map(|_| queue.join(Wants::Any)).collect();
        assert_eq!([queue.begin_dial(), queue.begin_dial()], [true, false]);
        queue.set_per_dial(3);
        assert_eq!([queue.begin_dial(), queue.begin_dial()], [true, false]);
    }
}
