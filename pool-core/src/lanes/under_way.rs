//! The dials of one lane that are under way, the oldest first, and how each can be ended.
//!
//! What must hold: a dial that was told to end is not in the list any more, so no request relies on it. Only a dial that
//! still opens its connection can be told; afterwards the receiver of the word is gone.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// An empty list keeps room for so many.
const KEPT: usize = 4;

#[derive(Debug, Default)]
pub(super) struct DialsUnderWay(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    number: u64,
    begun: Instant,
    end: oneshot::Sender<()>,
}

/// A dial that was counted.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) number: u64,
    pub(super) at: Instant,
    /// Comes when no request waits for the dial any more.
    pub(super) unwanted: oneshot::Receiver<()>,
}

impl DialsUnderWay {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn begin(&mut self, number: u64, at: Instant) -> Begun {
        let (end, unwanted) = oneshot::channel();
        self.0.push_back(Entry { number, begun: at, end });
        Begun { number, at, unwanted }
    }

    /// A dial has ended, which may have been told to before.
    pub(super) fn end(&mut self, number: u64) {
        if let Ok(place) = self.0.binary_search_by_key(&number, |entry| entry.number) {
            self.0.remove(place);
        }
        if self.0.is_empty() && self.0.capacity() > KEPT {
            self.0 = VecDeque::new();
        }
    }

    /// When the oldest dial has begun that can be ended, besides the oldest `needed`.
    pub(super) fn left_behind_since(&self, needed: usize) -> Option<Instant> {
        let mut left_behind = self.0.iter().skip(needed).filter(|entry| !entry.end.is_closed());
        left_behind.next().map(|entry| entry.begun)
    }

    /// Takes out dials that can be ended, besides the oldest `needed`, all but the oldest `keep` of them, and `most` at
    /// most, the newest first. The caller tells them, and holds no lock then.
    pub(super) fn take_left_behind(
        &mut self,
        needed: usize,
        keep: usize,
        most: usize,
    ) -> Vec<oneshot::Sender<()>> {
        let can_end = |&at: &usize| !self.0[at].end.is_closed();
        let left_behind: Vec<_> = (needed..self.0.len()).filter(can_end).skip(keep).collect();
        self.take(left_behind.into_iter().rev().take(most))
    }

    /// Takes out the dials that can be ended and began before that time.
    pub(super) fn take_begun_before(&mut self, time: Instant) -> Vec<oneshot::Sender<()>> {
        let hangs = |&at: &usize| self.0[at].begun <= time && !self.0[at].end.is_closed();
        let hanging: Vec<_> = (0..self.0.len()).filter(hangs).collect();
        self.take(hanging.into_iter().rev())
    }

    /// Takes out what stands at these places, the last first.
    fn take(&mut self, places: impl Iterator<Item = usize>) -> Vec<oneshot::Sender<()>> {
        places.filter_map(|at| self.0.remove(at)).map(|entry| entry.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dials: &mut DialsUnderWay, numbers: impl IntoIterator<Item = u64>) -> Vec<Begun> {
        numbers.into_iter().map(|number| dials.begin(number, Instant::now())).collect()
    }

    fn told(begun: &mut Begun) -> bool {
        begun.unwanted.try_recv().is_ok()
    }

    fn tell(ends: Vec<oneshot::Sender<()>>) -> usize {
        ends.into_iter().filter_map(|end| end.send(()).ok()).count()
    }

    #[test]
    fn of_the_dials_left_behind_the_oldest_is_kept() {
        let mut dials = DialsUnderWay::default();
        let mut begun = begin(&mut dials, 1..=5);
        assert_eq!(tell(dials.take_left_behind(2, 1, usize::MAX)), 2);
        assert_eq!(
            begun.iter_mut().map(told).collect::<Vec<_>>(),
            [false, false, false, true, true]
        );
        assert!(dials.left_behind_since(2).is_some() && dials.left_behind_since(3).is_none());
        assert_eq!(tell(dials.take_left_behind(0, 0, 1)), 1);
        assert!(told(&mut begun[2]), "the newest gives way first");
        assert_eq!(dials.len(), 2);
    }

    #[test]
    fn the_dials_that_began_before_a_time_are_ended() {
        let mut dials = DialsUnderWay::default();
        let start = Instant::now();
        let at = |seconds| start + std::time::Duration::from_secs(seconds);
        let mut begun: Vec<_> = (0..4).map(|number| dials.begin(number, at(number))).collect();
        assert_eq!(tell(dials.take_begun_before(at(1))), 2);
        assert_eq!(begun.iter_mut().map(told).collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[test]
    fn a_dial_that_has_opened_its_connection_is_not_ended() {
        let mut dials = DialsUnderWay::default();
        drop(begin(&mut dials, [1]));
        let _opens = begin(&mut dials, [2, 3]);
        assert_eq!(tell(dials.take_left_behind(0, 1, usize::MAX)), 1);
        assert_eq!(dials.len(), 2);
    }

    #[test]
    fn a_dial_may_end_after_it_was_told_to() {
        let mut dials = DialsUnderWay::default();
        let begun = begin(&mut dials, [1, 2]);
        tell(dials.take_left_behind(0, 0, usize::MAX));
        for dial in &begun {
            dials.end(dial.number);
        }
        assert_eq!(dials.len(), 0);
    }
}
