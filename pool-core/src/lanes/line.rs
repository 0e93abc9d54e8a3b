//! Services that ask whether they may be called, first come, first served. It knows neither lanes nor connections.
//!
//! A position is a number, and nothing else: no connection and no permit is kept for it. When its turn comes it is told, and
//! from then on it counts as one request that is about to come, until its service is called, or dropped, or has let the turn
//! lapse. A service that was told once is ready, however late it looks: the turn counts anew from there.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::Mutex;

/// How long a turn counts that is not used. A service is nearly always called by the poll that finds it ready, and a busy
/// runtime takes some milliseconds to come to that; a service that a balancer keeps in reserve costs the others no more than
/// this.
pub(super) const LAPSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By their numbers.
    entries: VecDeque<Entry>,
    /// A task looks after the line.
    is_attended: bool,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    stands: Stands,
}

#[derive(Debug)]
enum Stands {
    Waits(Waker),
    /// Its turn has come, and counts from then.
    Told(Instant),
}

/// What an address can serve, at a moment that is hardly over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supply {
    /// How many requests are served by what there is: idle connections, free streams, dials, and room for dials.
    pub(super) served: usize,
    /// How many wait for that.
    pub(super) waiting: usize,
    /// The number of the first of them.
    pub(super) first: Option<u64>,
    /// One may come without any of that.
    pub(super) takes_one: bool,
    /// All may come: each is refused, or one dial is for all.
    pub(super) takes_all: bool,
    /// When that may change by itself.
    pub(super) until: Option<Instant>,
}

impl Supply {
    /// Whether it is the turn of that position, beside so many whose turn it is.
    fn is_turn(&self, told: usize, number: u64) -> bool {
        let is_next = self.first.map_or(self.takes_one, |first| number < first);
        self.takes_all || self.served > self.waiting.saturating_add(told) || told == 0 && is_next
    }
}

/// How a position stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Waits {
        /// A task looks after the line already.
        is_attended: bool,
    },
    Turn,
    /// Its turn has come, and has lapsed.
    Lapsed,
}

/// What the task that looks after the line waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A change, or this time.
    Until(Option<Instant>),
    /// Nothing: no position waits.
    Over,
}

impl State {
    fn forget_lapsed(&mut self, now: Instant) {
        self.entries.retain(|entry| match entry.stands {
            Stands::Told(at) => now < at + LAPSE,
            Stands::Waits(_) => true,
        });
    }

    fn waits(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.stands, Stands::Waits(_))).count()
    }

    fn told(&self) -> usize {
        self.entries.len() - self.waits()
    }

    /// A position waits, which is for a task to look after.
    fn attend(&mut self) -> Standing {
        Standing::Waits { is_attended: std::mem::replace(&mut self.is_attended, true) }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number)
    }
}

impl Line {
    /// Joins the end of the line; gives the number of the position.
    pub(super) fn enter(
        &self,
        waker: &Waker,
        now: Instant,
        draw: impl FnOnce() -> u64,
        supply: Supply,
    ) -> (u64, Standing) {
        let mut state = self.0.lock();
        state.forget_lapsed(now);
        let number = draw();
        let is_turn = state.waits() == 0 && supply.is_turn(state.told(), number);
        let stands = if is_turn { Stands::Told(now) } else { Stands::Waits(waker.clone()) };
        state.entries.push_back(Entry { number, stands });
        let standing = if is_turn { Standing::Turn } else { state.attend() };
        (number, standing)
    }

    /// How a position stands. Once it has been ready, a turn may lapse, or go because others have come before it.
    pub(super) fn ask(
        &self,
        number: u64,
        was_ready: bool,
        waker: &Waker,
        now: Instant,
        supply: Supply,
    ) -> Standing {
        let mut state = self.0.lock();
        if was_ready {
            state.forget_lapsed(now);
        }
        let others = state.told().saturating_sub(1);
        let place = match state.find(number) {
            Ok(place) => place,
            Err(_) if was_ready => return Standing::Lapsed,
            Err(place) => {
                state.entries.insert(place, Entry { number, stands: Stands::Told(now) });
                return Standing::Turn;
            }
        };
        let stands = &mut state.entries[place].stands;
        match stands {
            Stands::Waits(waiting) => waiting.clone_from(waker),
            Stands::Told(_) if was_ready && !supply.is_turn(others, number) => {
                *stands = Stands::Waits(waker.clone());
            }
            Stands::Told(at) => {
                *at = if was_ready { *at } else { now };
                return Standing::Turn;
            }
        }
        state.attend()
    }

    /// Leaves the line; false if its turn has lapsed.
    pub(super) fn leave(&self, number: u64) -> bool {
        let mut state = self.0.lock();
        let gone = state.find(number).ok().and_then(|place| state.entries.remove(place));
        drop(state);
        gone.is_some()
    }

    /// How many stand here.
    pub(super) fn len(&self, now: Instant) -> usize {
        let mut state = self.0.lock();
        state.forget_lapsed(now);
        state.entries.len()
    }

    /// Tells those whose turn it is, in their order.
    pub(super) fn go_on(&self, now: Instant, supply: Supply) -> Next {
        let mut wakers = Vec::new();
        let mut state = self.0.lock();
        state.forget_lapsed(now);
        let mut told = state.told();
        for entry in &mut state.entries {
            let Stands::Waits(_) = entry.stands else { continue };
            if !supply.is_turn(told, entry.number) {
                break;
            }
            if let Stands::Waits(waker) = std::mem::replace(&mut entry.stands, Stands::Told(now)) {
                wakers.push(waker);
            }
            told += 1;
        }
        let next = if state.waits() == 0 {
            state.is_attended = false;
            Next::Over
        } else {
            let lapses = state.entries.iter().filter_map(|entry| match entry.stands {
                Stands::Told(at) => Some(at + LAPSE),
                Stands::Waits(_) => None,
            });
            Next::Until(lapses.chain(supply.until).min())
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        next
    }

    /// The task that looked after the line has gone before its end.
    pub(super) fn abandon(&self) {
        self.0.lock().is_attended = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Supply = Supply {
        served: 0,
        waiting: 0,
        first: None,
        takes_one: false,
        takes_all: false,
        until: None,
    };

    fn enter(line: &Line, number: u64, at: Instant, supply: Supply) -> Standing {
        line.enter(Waker::noop(), at, || number, supply).1
    }

    fn ask(line: &Line, number: u64, at: Instant, supply: Supply) -> Standing {
        line.ask(number, true, Waker::noop(), at, supply)
    }

    /// Which of those that wait are told now.
    fn told(line: &Line, numbers: &[u64], at: Instant, supply: Supply) -> Vec<u64> {
        line.go_on(at, supply);
        let state = line.0.lock();
        let is_told = |number: &&u64| {
            let place = state.find(**number);
            place.is_ok_and(|place| matches!(state.entries[place].stands, Stands::Told(_)))
        };
        numbers.iter().filter(is_told).copied().collect()
    }

    #[test]
    fn no_more_turns_count_than_can_be_served_and_they_come_in_order() {
        let (line, now) = (Line::default(), Instant::now());
        let two = Supply { served: 3, waiting: 1, ..NONE };
        assert_eq!(enter(&line, 1, now, two), Standing::Turn);
        assert_eq!(enter(&line, 2, now, NONE), Standing::Waits { is_attended: false });
        // There is room, but another came before.
        assert_eq!(enter(&line, 3, now, two), Standing::Waits { is_attended: true });
        assert_eq!(told(&line, &[2, 3], now, two), [2]);
        assert!(line.leave(1));
        assert_eq!(told(&line, &[2, 3], now, two), [2, 3]);
        assert_eq!(line.go_on(now, NONE), Next::Over);
    }

    #[test]
    fn a_turn_that_is_not_used_lapses_and_one_that_was_not_seen_counts_from_then() {
        let (line, start) = (Line::default(), Instant::now());
        let one = Supply { served: 1, ..NONE };
        assert_eq!(enter(&line, 1, start, one), Standing::Turn);
        enter(&line, 2, start, one);
        assert_eq!(line.go_on(start, one), Next::Until(Some(start + LAPSE)));
        let later = start + LAPSE;
        assert_eq!(told(&line, &[2], later, one), [2]);
        assert_eq!((line.len(later), ask(&line, 1, later, one)), (1, Standing::Lapsed));
        assert!(!line.leave(1));
        let much_later = later + LAPSE * 9;
        assert_eq!(line.len(much_later), 0);
        let seen = line.ask(2, false, Waker::noop(), much_later, NONE);
        assert_eq!((seen, line.len(much_later)), (Standing::Turn, 1));
    }

    #[test]
    fn a_position_older_than_all_requests_that_wait_is_next_beside_no_other() {
        let (line, now) = (Line::default(), Instant::now());
        let behind = Supply { waiting: 5, first: Some(3), ..NONE };
        assert_eq!(enter(&line, 2, now, behind), Standing::Turn);
        assert!(matches!(enter(&line, 4, now, behind), Standing::Waits { .. }));
        line.leave(2);
        assert_eq!(told(&line, &[4], now, behind), []);
        assert_eq!(told(&line, &[4], now, Supply { first: Some(5), ..behind }), [4]);
    }

    #[test]
    fn a_turn_that_has_been_seen_goes_when_what_it_was_for_has_gone() {
        let (line, now) = (Line::default(), Instant::now());
        let one = Supply { served: 1, ..NONE };
        assert_eq!(enter(&line, 1, now, one), Standing::Turn);
        assert_eq!(ask(&line, 1, now, one), Standing::Turn);
        assert_eq!(ask(&line, 1, now, NONE), Standing::Waits { is_attended: false });
        assert_eq!(told(&line, &[1], now, one), [1]);
    }

    #[test]
    fn all_may_come_at_once_and_the_line_is_looked_at_when_that_is_due() {
        let (line, now) = (Line::default(), Instant::now());
        let due = now + LAPSE * 3;
        let fails = Supply { until: Some(due), ..NONE };
        for number in 1..=3 {
            enter(&line, number, now, fails);
        }
        assert_eq!(line.go_on(now, fails), Next::Until(Some(due)));
        assert_eq!(told(&line, &[1, 2, 3], due, Supply { takes_all: true, ..NONE }), [1, 2, 3]);
    }
}
