//! The socket addresses behind a name: which one the next dial tries, and which are gone.
//!
//! The order is that of the resolver, but an address that was reached comes first, and one that was not comes last. What
//! hangs is tried by no other dial.
//!
//! What must hold: an answer that leaves an address out is followed by the end of the connections to it, and an
//! empty answer, or an error, changes nothing where an answer is known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connector::{Gone, Resolved};
use crate::sync::Mutex;

/// For so long an address that could not be reached comes last. Its path may be back, and the one in use may be slower.
const REMEMBERED: Duration = Duration::from_secs(60);

/// After so long a name is resolved again whose last answer was an error; and so seldom where no dial needs the answer.
const AGAIN: Duration = Duration::from_secs(5);

/// An answer is good for so long at least, whatever its resolver says, so that a busy address asks no more often.
const SHORTEST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    list: Vec<Peer>,
    /// When the name is to be resolved again; none for never.
    expires: Option<Instant>,
    /// When the last answer came.
    answered: Option<Instant>,
    resolving: bool,
    requests_then: u64,
    /// Raised when addresses go.
    gone: u64,
}

impl State {
    fn is_due(&self, now: Instant) -> bool {
        let is_over = self.expires.is_some_and(|expires| expires <= now);
        !self.list.is_empty() && !self.resolving && is_over
    }
}

#[derive(Debug)]
struct Peer {
    address: SocketAddr,
    gone: Gone,
    reached: bool,
    last_failure: Option<Instant>,
    /// How many dials hang there while others try the next address.
    hanging: usize,
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        let gone = Gone::default();
        Self { address, gone, reached: false, last_failure: None, hanging: 0 }
    }

    /// Smaller comes first; in between the order of the resolver decides.
    fn rank(&self) -> (bool, Option<Instant>) {
        (!self.reached, self.last_failure)
    }

    /// What is still worth knowing when a new answer has come.
    fn aged(mut self, now: Instant) -> Self {
        let is_old = |failure: &Instant| now.saturating_duration_since(*failure) >= REMEMBERED;
        self.last_failure = self.last_failure.filter(|failure| !is_old(failure));
        self
    }
}

/// The addresses that were tried for one request, by its dial and by those in its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried(Arc<Mutex<Vec<SocketAddr>>>);

impl Tried {
    pub(crate) fn add(&self, address: SocketAddr) {
        self.0.lock().push(address);
    }

    fn has(&self, address: SocketAddr) -> bool {
        self.0.lock().contains(&address)
    }
}

/// Leave to resolve a name. Where it drops without an answer, the name is resolved again after a while.
pub(crate) struct Resolution<'p> {
    peers: &'p Peers,
    answered: bool,
    /// The answer is needed, because none is known.
    pub(crate) is_needed: bool,
}

impl Resolution<'_> {
    /// Takes over an answer; true if addresses have gone with it.
    pub(crate) fn resolved(mut self, answer: Resolved, now: Instant) -> bool {
        self.answered = !answer.addresses.is_empty();
        self.answered && self.peers.take_over(answer, now)
    }
}

impl Drop for Resolution<'_> {
    fn drop(&mut self) {
        let mut state = self.peers.0.lock();
        state.resolving = false;
        if !self.answered && !state.list.is_empty() {
            state.expires = Instant::now().checked_add(AGAIN);
        }
    }
}

/// A dial hangs at an address while another tries the next.
pub(crate) struct Hanging<'p> {
    peers: &'p Peers,
    address: SocketAddr,
}

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.peers.change(self.address, |peer| peer.hanging = peer.hanging.saturating_sub(1));
    }
}

impl Peers {
    /// Whether there is but one address, as far as is known, so that a dial shows nothing of others.
    pub(crate) fn are_one(&self) -> bool {
        self.0.lock().list.len() == 1
    }

    /// Whether any answer is known.
    pub(crate) fn are_known(&self) -> bool {
        !self.0.lock().list.is_empty()
    }

    /// Whether an answer is known that is no longer good, and none is asked for.
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        self.0.lock().is_due(now)
    }

    /// As [`are_due`](Self::are_due), where no dial needs the answer: at most once in a while, and only if there were requests since the
    /// last, which `requests` tells.
    pub(crate) fn are_due_unasked(&self, requests: u64, now: Instant) -> bool {
        let mut state = self.0.lock();
        let is_old =
            state.answered.is_some_and(|then| now.saturating_duration_since(then) >= AGAIN);
        if !is_old || !state.is_due(now) || state.requests_then == requests {
            return false;
        }
        state.requests_then = requests;
        true
    }

    /// Whether an answer is known that is good for a time which is not over.
    pub(super) fn are_remembered(&self, now: Instant) -> bool {
        let state = self.0.lock();
        !state.list.is_empty() && state.expires.is_some_and(|expires| now < expires)
    }

    /// Leave to resolve the name, if that is due, and nobody does; where no answer is known, every dial has it.
    pub(crate) fn resolution(&self, now: Instant) -> Option<Resolution<'_>> {
        let mut state = self.0.lock();
        let is_needed = state.list.is_empty();
        if !is_needed && !state.is_due(now) {
            return None;
        }
        state.resolving = true;
        Some(Resolution { peers: self, answered: false, is_needed })
    }

    fn take_over(&self, answer: Resolved, now: Instant) -> bool {
        let mut state = self.0.lock();
        state.answered = Some(now);
        state.expires = answer.good_for.and_then(|time| now.checked_add(time.max(SHORTEST)));
        let mut before = std::mem::take(&mut state.list);
        let known = |address| {
            let place = before.iter().position(|peer| peer.address == address);
            place.map_or_else(|| Peer::new(address), |place| before.swap_remove(place).aged(now))
        };
        state.list = answer.addresses.into_iter().map(known).collect();
        for peer in &before {
            peer.gone.set();
        }
        state.gone += u64::from(!before.is_empty());
        !before.is_empty()
    }

    /// How often addresses have gone: when this changes, connections to them may be idle.
    pub(crate) fn gone_count(&self) -> u64 {
        self.0.lock().gone
    }

    /// The address that a dial tries next: one that was not tried for its request, and where no other dial hangs.
    pub(crate) fn next(&self, tried: &Tried) -> Option<SocketAddr> {
        let state = self.0.lock();
        let untried = |peer: &&Peer| peer.hanging == 0 && !tried.has(peer.address);
        state.list.iter().filter(untried).min_by_key(|peer| peer.rank()).map(|peer| peer.address)
    }

    /// Whether such a dial could try another address than this one.
    pub(crate) fn has_other(&self, than: SocketAddr, tried: &Tried) -> bool {
        let state = self.0.lock();
        let untried = |peer: &Peer| peer.hanging == 0 && !tried.has(peer.address);
        state.list.iter().any(|peer| peer.address != than && untried(peer))
    }

    pub(crate) fn reached(&self, address: SocketAddr) {
        self.change(address, |peer| (peer.reached, peer.last_failure) = (true, None));
    }

    pub(crate) fn failed(&self, address: SocketAddr, now: Instant) {
        self.change(address, |peer| (peer.reached, peer.last_failure) = (false, Some(now)));
    }

    /// A dial hangs at that address, as long as what this returns is kept.
    pub(crate) fn hangs(&self, address: SocketAddr, now: Instant) -> Hanging<'_> {
        self.failed(address, now);
        self.change(address, |peer| peer.hanging += 1);
        Hanging { peers: self, address }
    }

    /// What tells connections to that address that it is gone; none where addresses are not resolved.
    pub(crate) fn gone(&self, address: SocketAddr) -> Option<Gone> {
        let state = self.0.lock();
        if state.list.is_empty() {
            return None;
        }
        let listed = state.list.iter().find(|peer| peer.address == address);
        // It has gone while the dial was under way.
        Some(listed.map_or_else(Gone::since_ever, |peer| peer.gone.clone()))
    }

    fn change(&self, address: SocketAddr, change: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.0.lock().list.iter_mut().find(|peer| peer.address == address) {
            change(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn peers(last: &[u8], now: Instant) -> Peers {
        let peers = Peers::default();
        peers.take_over(answer(last), now);
        peers
    }

    fn answer(last: &[u8]) -> Resolved {
        Resolved::interleaved(last.iter().copied().map(address)).with_good_for(MINUTE)
    }

    #[test]
    fn addresses_are_tried_in_order_and_each_once_by_a_dial() {
        let now = Instant::now();
        let peers = peers(&[1, 2, 3], now);
        let tried = Tried::default();
        for last in [1, 2, 3] {
            assert_eq!(peers.next(&tried), Some(address(last)));
            tried.add(address(last));
            peers.failed(address(last), now);
        }
        assert_eq!(peers.next(&tried), None);
        assert_eq!(peers.next(&Tried::default()), Some(address(1)), "another tries all again");
    }

    #[test]
    fn what_was_reached_comes_first_and_what_was_not_comes_last() {
        let now = Instant::now();
        let peers = peers(&[1, 2, 3], now);
        peers.failed(address(1), now);
        peers.reached(address(3));
        let (tried, mut order) = (Tried::default(), Vec::new());
        while let Some(next) = peers.next(&tried) {
            order.push(next);
            tried.add(next);
        }
        assert_eq!(order, [3, 2, 1].map(address));
    }

    #[test]
    fn an_address_where_a_dial_hangs_is_left_to_that_dial() {
        let now = Instant::now();
        let peers = peers(&[1, 2], now);
        let none = Tried::default();
        assert!(peers.has_other(address(1), &none));
        let hanging = peers.hangs(address(1), now);
        assert_eq!(peers.next(&none), Some(address(2)));
        assert!(!peers.has_other(address(2), &none));
        drop(hanging);
        assert!(peers.has_other(address(2), &none));
    }

    #[test]
    fn what_a_new_answer_leaves_out_is_gone_and_the_rest_is_remembered() {
        let now = Instant::now();
        let peers = peers(&[1, 2, 3], now);
        let [first, second] = [1, 2].map(|last| peers.gone(address(last)).expect("resolved"));
        peers.reached(address(2));
        assert!(peers.take_over(answer(&[3, 2]), now));
        assert!(first.is_set() && !second.is_set());
        assert_eq!(peers.next(&Tried::default()), Some(address(2)));
        assert!(peers.gone(address(9)).expect("resolved").is_set());
        let empty = peers.resolution(now + MINUTE).expect("it is due");
        assert!(!empty.resolved(answer(&[]), now + MINUTE), "an empty answer changes nothing");
        assert!(!second.is_set() && peers.next(&Tried::default()) == Some(address(2)));
    }

    #[test]
    fn a_failure_is_forgotten_by_an_answer_that_comes_a_minute_later() {
        let now = Instant::now();
        let peers = peers(&[1, 2], now);
        peers.failed(address(1), now);
        peers.take_over(answer(&[1, 2]), now + MINUTE / 2);
        assert_eq!(peers.next(&Tried::default()), Some(address(2)));
        peers.take_over(answer(&[1, 2]), now + MINUTE);
        assert_eq!(peers.next(&Tried::default()), Some(address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_when_its_answer_is_no_longer_good_and_once_at_a_time() {
        let peers = Peers::default();
        let [first, second] =
            [0, 1].map(|_| peers.resolution(Instant::now()).expect("none is known"));
        assert!(first.is_needed && second.is_needed);
        first.resolved(answer(&[1]), Instant::now());
        drop(second);
        assert!(peers.resolution(Instant::now()).is_none());
        tokio::time::advance(MINUTE).await;
        let held = peers.resolution(Instant::now()).expect("it is due");
        assert!(!held.is_needed && peers.resolution(Instant::now()).is_none());
        drop(held);
        assert!(peers.resolution(Instant::now()).is_none(), "not at once, without an answer");
        tokio::time::advance(AGAIN).await;
        assert!(peers.resolution(Instant::now()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_dial_needs_an_answer_only_a_name_in_use_is_resolved_and_seldom() {
        let (peers, now) = (Peers::default(), Instant::now());
        peers.take_over(answer(&[1]).with_good_for(Duration::ZERO), now);
        assert!(peers.are_due(now + SHORTEST) && !peers.are_due(now));
        assert!(!peers.are_due_unasked(1, now + SHORTEST));
        assert!(peers.are_due_unasked(1, now + AGAIN));
        assert!(!peers.are_due_unasked(1, now + AGAIN), "no request since");
        assert!(peers.are_due_unasked(2, now + AGAIN));
    }

    #[test]
    fn connections_to_what_was_never_resolved_are_never_told_that_it_is_gone() {
        assert!(Peers::default().gone(address(1)).is_none());
    }
}
