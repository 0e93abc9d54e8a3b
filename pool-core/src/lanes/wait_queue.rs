//! Requests that wait for a connection of one lane, first in, first out.
//!
//! A waiter takes what comes first, a returned connection or a new one; it does not own the dial that was started on
//! its account. The queue knows the dials under way, so that no more are started than there are waiters, and none goes on
//! that no waiter needs. It knows neither lanes nor connections, and is tested with integers.
//!
//! Waiters and dials draw numbers from one counter. A dial that fails tells nothing to a waiter that came after it had
//! begun, and so has a greater number: the server may have come back in between.
//!
//! What must hold: an answer is never lost. It goes to a waiter through a channel that gives it back if the waiter has
//! left, and a waiter that leaves checks the channel one last time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cover::Cover;
use super::under_way::{Begun, DialsUnderWay, Needed};
use super::wants::{Offered, Pace, Wants};
use crate::policy::Tried;
use crate::sync::Mutex;

/// An empty queue keeps room for so many; what a crowd has needed beyond that is given back.
const KEPT: usize = 64;

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
    dials: DialsUnderWay,
    /// The last number that was drawn.
    number: u64,
    /// No waiter has come later.
    newest_since: Option<Instant>,
}

#[derive(Debug)]
struct Waiter<T> {
    ticket: u64,
    wants: Wants,
    since: Instant,
    answer: oneshot::Sender<T>,
}

impl<T> Waiter<T> {
    fn accepts(&self, offered: Offered) -> bool {
        match offered {
            Offered::Failure { before, or_since } => {
                self.ticket < before || or_since.is_some_and(|since| self.since <= since)
            }
            Offered::End | Offered::Connection { .. } => self.wants.accepts(offered),
        }
    }
}

/// What is ahead of a newcomer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) waiting: usize,
    /// How many waiters the dials under way are for.
    pub(super) covered: usize,
    /// The number of the waiter that came first.
    pub(super) first: Option<u64>,
}

/// A place in the queue. Its owner leaves by its number.
#[derive(Debug)]
pub(super) struct Ticket<T> {
    number: u64,
    answer: oneshot::Receiver<T>,
}

impl<T> State<T> {
    fn draw_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Index of the first waiter that accepts what is offered; nearly always the first of all.
    fn first(&self, offered: Offered) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.accepts(offered))
    }
}

impl<T> WaitQueue<T> {
    /// An empty queue, whose waiters count in `sum` too. Where a connection may be shared, one dial is for all waiters
    /// until it has shown how many its connection serves.
    pub(super) fn new(sum: Arc<AtomicUsize>, may_share: bool) -> Self {
        let state = State {
            waiters: VecDeque::new(),
            dials: DialsUnderWay::default(),
            number: 0,
            newest_since: None,
        };
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

    /// Joins the end of the queue, or where its number belongs if it has one, which was drawn here and never used.
    pub(super) fn join(&self, wants: Wants, since: Instant, number: Option<u64>) -> Ticket<T> {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            let ticket = number.unwrap_or_else(|| state.draw_number());
            state.newest_since = state.newest_since.max(Some(since));
            let behind = state.waiters.iter().rev().take_while(|waiter| waiter.ticket > ticket);
            let place = state.waiters.len() - behind.count();
            state.waiters.insert(place, Waiter { ticket, wants, since, answer: sender });
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
        self.count_down(&mut state);
        drop(state);
        gone.is_some()
    }

    /// One waiter has left. The lock is still held.
    fn count_down(&self, state: &mut State<T>) {
        if state.waiters.is_empty() && state.waiters.capacity() > KEPT {
            state.waiters = VecDeque::new();
        }
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
                self.count_down(&mut state);
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
        self.uncovered(&self.state.lock()) > limit
    }

    /// What a newcomer has before it.
    pub(super) fn standing(&self) -> Ahead {
        let state = self.state.lock();
        Ahead {
            waiting: state.waiters.len(),
            covered: state.dials.relied_on().saturating_mul(self.per_dial()),
            first: state.waiters.front().map(|waiter| waiter.ticket),
        }
    }

    /// Whether a waiter wants a dial that has still to begin.
    pub(super) fn wants_dial(&self, pace: Pace) -> bool {
        self.is_wanted(&self.state.lock(), pace)
    }

    fn is_wanted(&self, state: &State<T>, pace: Pace) -> bool {
        match pace {
            Pace::ForEach => self.uncovered(state) > 0,
            Pace::ForAll => !state.waiters.is_empty(),
        }
    }

    /// How many waiters no dial under way is for.
    fn uncovered(&self, state: &State<T>) -> usize {
        match self.cover(state) {
            Some(cover) => cover.uncovered,
            None => {
                let places = state.dials.relied_on().saturating_mul(self.per_dial());
                state.waiters.len().saturating_sub(places)
            }
        }
    }

    /// Which dials are for which waiters. None if each is for all of them, as where none hangs.
    fn cover(&self, state: &State<T>) -> Option<Cover> {
        if state.newest_since.is_none_or(|since| state.dials.are_for(since)) {
            return None;
        }
        let since = state.waiters.iter().map(|waiter| waiter.since).collect();
        Some(state.dials.cover(since, self.per_dial()))
    }

    /// Which of the dials under way that are not overtaken the waiters need.
    fn needed(&self, state: &State<T>, pace: Pace) -> Needed {
        if pace == Pace::ForAll && !state.waiters.is_empty() {
            return Needed::All;
        }
        match self.cover(state) {
            Some(cover) if !state.waiters.is_empty() => Needed::These(cover.needed),
            _ => Needed::Oldest(state.waiters.len().div_ceil(self.per_dial())),
        }
    }

    /// How many waiters one dial is for: more than one where its connection is shared, all of them where the number is
    /// not known yet.
    pub(super) fn per_dial(&self) -> usize {
        self.per_dial.load(Ordering::SeqCst)
    }

    /// Where no dial is under way, the next one is for all that wait.
    pub(super) fn let_first_be_for_all(&self) {
        // Under the lock, so that no dial begins meanwhile that counts for one.
        let state = self.state.lock();
        if state.dials.len() == 0 {
            self.set_per_dial(usize::MAX);
        }
    }

    /// A dial has shown how many waiters its connection serves.
    pub(super) fn set_per_dial(&self, waiters: usize) {
        self.per_dial.store(waiters.max(1), Ordering::SeqCst);
    }

    /// Counts one more dial, if one is wanted.
    pub(super) fn begin_dial(&self, pace: Pace) -> Option<Begun> {
        // Changed under the lock, and so a dial that has ended sees a waiter that has relied on it.
        if self.waiting() == 0 {
            return None;
        }
        let mut state = self.state.lock();
        if !self.is_wanted(&state, pace) {
            return None;
        }
        let number = state.draw_number();
        Some(state.dials.begin(number, Instant::now()))
    }

    /// The number by which a dial that asks the server from now on tells waiters that came before from later ones.
    pub(super) fn next_number(&self) -> u64 {
        self.state.lock().draw_number()
    }

    /// A dial has connected, and waits for a word of the server: it does not hang.
    pub(super) fn dial_has_connected(&self, number: u64) {
        self.state.lock().dials.has_connected(number);
    }

    /// A dial has ended, which may have been told to before.
    pub(super) fn end_dial(&self, number: u64) {
        self.state.lock().dials.end(number);
    }

    /// A dial hangs: from here on waiters, also those that come later, want another in its place. False if they do already.
    pub(super) fn overtake(&self, number: u64, tried: Tried) -> bool {
        self.state.lock().dials.overtake(number, tried)
    }

    pub(super) fn is_overtaken(&self, number: u64) -> bool {
        self.state.lock().dials.is_overtaken(number)
    }

    /// Another dial has begun in the place of this one, or none could. Then it is the waiters' own again, where there are any; true if so.
    pub(super) fn end_overtaking(&self, number: u64, begun: bool) -> bool {
        let mut state = self.state.lock();
        state.dials.disinherit();
        !begun && !state.waiters.is_empty() && state.dials.take_back(number)
    }

    /// A dial has failed. True if the waiters have another one: this was overtaken, or another was and is theirs again.
    pub(super) fn has_other(&self, number: u64) -> bool {
        let mut state = self.state.lock();
        state.dials.take_back(number) || state.dials.take_back_last()
    }

    /// When the oldest dial has begun that no waiter needs.
    pub(super) fn left_behind_since(&self, pace: Pace) -> Option<Instant> {
        let state = self.state.lock();
        if state.dials.len() == 0 {
            // Asked for each connection that is handed on, where limits are.
            return None;
        }
        state.dials.left_behind_since(&self.needed(&state, pace))
    }

    /// Ends dials that no waiter needs, all but the oldest `keep` of them, and `most` at most. False if there is none to
    /// end.
    pub(super) fn end_left_behind(&self, pace: Pace, keep: usize, most: usize) -> bool {
        let ends = {
            let mut state = self.state.lock();
            let needed = self.needed(&state, pace);
            // As long as a request waits, what is overtaken races for it, and gives way to a limit alone.
            let spares_overtaken = most > 1 && !state.waiters.is_empty();
            state.dials.take_left_behind(&needed, keep, most, spares_overtaken)
        };
        tell(ends)
    }

    /// Ends the dials that began before that time, so that their waiters want others.
    pub(super) fn end_begun_before(&self, time: Instant) {
        let ends = self.state.lock().dials.take_begun_before(time);
        tell(ends);
    }
}

/// Tells dials to end, after the lock. False if there are none.
fn tell(ends: Vec<oneshot::Sender<()>>) -> bool {
    let any = !ends.is_empty();
    for end in ends {
        // It may have opened its connection just now, and then the connection is kept.
        end.send(()).ok();
    }
    any
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

    fn join(queue: &WaitQueue<u32>, wants: Wants) -> Ticket<u32> {
        queue.join(wants, Instant::now(), None)
    }

    fn begin(queue: &WaitQueue<u32>) -> Option<u64> {
        queue.begin_dial(Pace::ForEach).map(|begun| begun.number)
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
        let [mut first, mut second] = [join(&queue, Wants::Any), join(&queue, Wants::Any)];
        assert_eq!((queue.offer(1, IDLE), queue.offer(2, IDLE)), (None, None));
        assert_eq!((answer(&mut first), answer(&mut second)), (Some(1), Some(2)));
        assert_eq!(queue.offer(3, IDLE), Some(3));
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn a_waiter_with_a_number_of_its_own_stands_where_that_belongs() {
        let queue = queue();
        let first = join(&queue, Wants::Any);
        let number = queue.next_number();
        let mut later = join(&queue, Wants::Any);
        let mut between = queue.join(Wants::Any, Instant::now(), Some(number));
        assert!(queue.leave(&first));
        let ahead = queue.standing();
        assert_eq!((ahead.waiting, ahead.first), (2, Some(number)));
        assert_eq!((queue.offer(1, IDLE), queue.offer(2, IDLE)), (None, None));
        assert_eq!((answer(&mut between), answer(&mut later)), (Some(1), Some(2)));
    }

    #[test]
    fn a_waiter_for_a_fresh_connection_is_passed_over_by_an_idle_one() {
        let queue = queue();
        let [mut fresh, mut any] = [join(&queue, Wants::Fresh), join(&queue, Wants::Any)];
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
        let [mut newer, mut fresh] = [join(&queue, Wants::Newer(1)), join(&queue, Wants::Fresh)];
        assert_eq!(queue.offer(1, IDLE), Some(1));
        let used = Offered::Connection { id: 2, fresh: false };
        assert!(queue.would_take(used) && !queue.would_take(IDLE));
        assert_eq!((queue.offer(2, used), answer(&mut newer)), (None, Some(2)));
        assert_eq!((queue.offer(3, Offered::End), answer(&mut fresh)), (None, Some(3)));
    }

    #[test]
    fn an_answer_to_a_waiter_that_has_gone_goes_to_the_next() {
        let queue = queue();
        let first = join(&queue, Wants::Any);
        let mut second = join(&queue, Wants::Any);
        drop(first);
        assert_eq!(queue.offer(1, IDLE), None);
        assert_eq!(answer(&mut second), Some(1));
    }

    #[test]
    fn a_waiter_that_leaves_knows_whether_it_was_served() {
        let sum = Arc::<AtomicUsize>::default();
        let queue = WaitQueue::new(Arc::clone(&sum), false);
        let [mut served, left] = [join(&queue, Wants::Any), join(&queue, Wants::Any)];
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
        let _waiting = [join(&queue, Wants::Any), join(&queue, Wants::Any)];
        let dials = [begin(&queue), begin(&queue), begin(&queue)];
        assert_eq!(dials.map(|dial| dial.is_some()), [true, true, false]);
        let wants_dial = || queue.wants_dial(Pace::ForEach);
        assert!(!wants_dial() && !queue.is_over(0));
        queue.end_dial(dials[0].expect("it has begun"));
        assert!(wants_dial() && queue.is_over(0) && !queue.is_over(1));
    }

    #[test]
    fn one_dial_is_for_all_until_it_has_shown_how_many_its_connection_serves() {
        let queue = WaitQueue::<u32>::new(Arc::default(), true);
        let _waiting: Vec<_> = (0..5).map(|_| join(&queue, Wants::Any)).collect();
        assert_eq!([begin(&queue), begin(&queue)].map(|dial| dial.is_some()), [true, false]);
        queue.set_per_dial(3);
        assert_eq!([begin(&queue), begin(&queue)].map(|dial| dial.is_some()), [true, false]);
    }

    #[test]
    fn a_failed_dial_is_news_only_to_waiters_that_came_before_it_or_waited_long_enough() {
        for may_share in [false, true] {
            let queue = WaitQueue::new(Arc::default(), may_share);
            let start = Instant::now();
            let at = |seconds| start + std::time::Duration::from_secs(seconds);
            let mut before = queue.join(Wants::Any, at(0), None);
            let dial = begin(&queue).expect("one is wanted");
            let before_it = queue.next_number();
            let mut after =
                [queue.join(Wants::Fresh, at(1), None), queue.join(Wants::Newer(7), at(2), None)];
            let fail = |answer, or_since| {
                queue.offer(answer, Offered::Failure { before: before_it, or_since })
            };
            assert_eq!((fail(1, None), fail(2, None)), (None, Some(2)));
            assert_eq!(answer(&mut before), Some(1));
            assert_eq!((fail(3, Some(at(0))), fail(4, Some(at(1)))), (Some(3), None));
            assert_eq!(after.each_mut().map(answer), [Some(4), None]);
            queue.end_dial(dial);
            assert!(queue.wants_dial(Pace::ForEach), "the last takes part in the next");
        }
    }

    #[test]
    fn while_the_address_fails_a_dial_may_begin_beside_another_for_the_same_waiter() {
        let queue = queue();
        let begin = || queue.begin_dial(Pace::ForAll);
        assert!(begin().is_none());
        let waiting = join(&queue, Wants::Any);
        let mut dials = [begin(), begin()].map(|dial| dial.expect("a request waits"));
        let end = |keep| queue.end_left_behind(Pace::ForAll, keep, usize::MAX);
        assert!(!end(0), "both are for the waiter");
        queue.leave(&waiting);
        assert!(queue.left_behind_since(Pace::ForAll).is_some() && end(1) && !end(1));
        let ended = dials.each_mut().map(|dial| dial.unwanted.try_recv().is_ok());
        assert_eq!(ended, [false, true], "the oldest goes on");
    }

    #[test]
    fn as_many_dials_go_on_as_requests_wait_and_one() {
        let queue = queue();
        let mut waiting: Vec<_> = (0..5).map(|_| join(&queue, Wants::Any)).collect();
        let _dials: Vec<_> = (0..5).map_while(|_| queue.begin_dial(Pace::ForEach)).collect();
        for left in waiting.drain(2..) {
            queue.leave(&left);
        }
        assert!(queue.end_left_behind(Pace::ForEach, 1, usize::MAX));
        assert_eq!(queue.state.lock().dials.len(), 3);
        let _more = [join(&queue, Wants::Any), join(&queue, Wants::Any)];
        assert_eq!([begin(&queue), begin(&queue)].map(|dial| dial.is_some()), [true, false]);
    }
}
