//! The dials of one lane that are under way, the oldest first, and how each can be ended.
//!
//! What must hold: a dial that was told to end is not in the list any more, so no request relies on it. Only a dial that
//! still opens its connection, or waits for the first word of an HTTP/2 server, can be told; afterwards the receiver is gone.

use std::collections::VecDeque;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::cover::{Cover, cover, is_for};
use crate::policy::Tried;

/// An empty list keeps room for so many.
const KEPT: usize = 4;

#[derive(Debug, Default)]
pub(super) struct DialsUnderWay {
    entries: VecDeque<Entry>,
    /// How many of them are overtaken.
    overtaken: usize,
    /// What the dial in the place of the one that was just overtaken is told.
    heir_of: Option<Heritage>,
}

/// What a dial takes over from that in whose place it is.
#[derive(Debug)]
pub(super) struct Heritage {
    pub(super) tried: Tried,
    /// When the first of them has begun.
    pub(super) since: Instant,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    begun: Instant,
    /// When the first has begun of those in whose place it is; itself if it is in none.
    since: Instant,
    connected: bool,
    /// It hangs, and another dial tries the next address of the name for the same request.
    overtaken: bool,
    end: oneshot::Sender<()>,
}

/// A dial that was counted.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) number: u64,
    pub(super) at: Instant,
    pub(super) heir_of: Option<Heritage>,
    /// Comes when no request waits for the dial any more.
    pub(super) unwanted: oneshot::Receiver<()>,
}

/// Which of the dials that are not overtaken waiters need.
#[derive(Clone, Debug)]
pub(super) enum Needed {
    All,
    /// The oldest so many.
    Oldest(usize),
    /// Those that have connected, and those with these numbers: others hang.
    These(Vec<u64>),
}

impl DialsUnderWay {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many do not hang while others try the next address for their requests.
    pub(super) fn relied_on(&self) -> usize {
        self.entries.len() - self.overtaken
    }

    /// Whether each is for every waiter that came then or before.
    pub(super) fn are_for(&self, since: Instant) -> bool {
        let oldest = self.entries.iter().find(|entry| !entry.connected);
        oldest.is_none_or(|oldest| is_for(oldest.begun, since))
    }

    /// What becomes of waiters that wait since these times.
    pub(super) fn cover(&self, since: Vec<Instant>, per_dial: usize) -> Cover {
        let relied_on = || self.entries.iter().filter(|entry| !entry.overtaken);
        let connected = relied_on().filter(|entry| entry.connected).count();
        let dials: Vec<_> = relied_on()
            .filter(|entry| !entry.connected)
            .map(|entry| (entry.number, entry.begun))
            .collect();
        cover(&dials, since, per_dial, connected.saturating_mul(per_dial))
    }

    /// Marks a dial as overtaken. False if it is so already, or is not in the list any more. The next dial that begins is
    /// in its place, and tries what has not failed `since` then.
    pub(super) fn overtake(&mut self, number: u64, tried: Tried) -> bool {
        let since = self.change_overtaken(number, true);
        self.overtaken += usize::from(since.is_some());
        self.heir_of = since.map(|since| Heritage { tried, since });
        since.is_some()
    }

    /// No dial has begun in the place of the one that was overtaken last.
    pub(super) fn disinherit(&mut self) {
        self.heir_of = None;
    }

    /// False if the dial was not overtaken.
    pub(super) fn take_back(&mut self, number: u64) -> bool {
        let done = self.change_overtaken(number, false).is_some();
        self.overtaken -= usize::from(done);
        done
    }

    /// None if it is so already, or has ended.
    fn change_overtaken(&mut self, number: u64, overtaken: bool) -> Option<Instant> {
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number);
        let entry = place.ok().and_then(|place| self.entries.get_mut(place));
        let entry = entry.filter(|entry| entry.overtaken != overtaken)?;
        entry.overtaken = overtaken;
        Some(entry.since)
    }

    /// Takes back the dial that was overtaken last. False if there is none.
    pub(super) fn take_back_last(&mut self) -> bool {
        let last = self.last_overtaken().map(|entry| entry.number);
        last.is_some_and(|number| self.take_back(number))
    }

    fn last_overtaken(&self) -> Option<&Entry> {
        if self.overtaken == 0 {
            return None;
        }
        self.entries.iter().rev().find(|entry| entry.overtaken)
    }

    /// Whether it is overtaken now.
    pub(super) fn is_overtaken(&self, number: u64) -> bool {
        let place = self.entries.binary_search_by_key(&number, |entry| entry.number);
        place.is_ok_and(|place| self.entries[place].overtaken)
    }

    pub(super) fn begin(&mut self, number: u64, at: Instant) -> Begun {
        let (end, unwanted) = oneshot::channel();
        let heir_of = self.heir_of.take();
        let since = heir_of.as_ref().map_or(at, |heritage| heritage.since);
        self.entries.push_back(Entry {
            number,
            begun: at,
            since,
            connected: false,
            overtaken: false,
            end,
        });
        Begun { number, at, heir_of, unwanted }
    }

    /// A dial has connected, and does not hang from here on.
    pub(super) fn has_connected(&mut self, number: u64) {
        self.take_back(number);
        if let Ok(place) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
            self.entries[place].connected = true;
        }
    }

    /// A dial has ended, which may have been told to before.
    pub(super) fn end(&mut self, number: u64) {
        if let Ok(place) = self.entries.binary_search_by_key(&number, |entry| entry.number) {
            self.remove(place);
        }
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = VecDeque::new();
        }
    }

    fn remove(&mut self, place: usize) -> Option<Entry> {
        let entry = self.entries.remove(place)?;
        self.overtaken -= usize::from(entry.overtaken);
        Some(entry)
    }

    /// The dials that can be ended, besides those that are needed: first those that are not overtaken, of these first what has
    /// connected, and each the oldest first.
    fn left_behind(&self, needed: &Needed) -> impl Iterator<Item = usize> {
        let all = |overtaken| {
            let entries = self.entries.iter().enumerate();
            entries.filter(move |(_, entry)| entry.overtaken == overtaken)
        };
        // What has connected is overtaken no more.
        let relied_on =
            |connected| all(false).filter(move |(_, entry)| entry.connected == connected);
        let oldest = match needed {
            Needed::All => usize::MAX,
            Needed::Oldest(dials) => *dials,
            Needed::These(_) => 0,
        };
        let is_one_of_these = move |entry: &Entry| match needed {
            Needed::These(numbers) => entry.connected || numbers.contains(&entry.number),
            Needed::All | Needed::Oldest(_) => false,
        };
        relied_on(true)
            .chain(relied_on(false))
            .skip(oldest)
            .filter(move |(_, entry)| !is_one_of_these(entry))
            .chain(all(true))
            .filter(|(_, entry)| !entry.end.is_closed())
            .map(|(place, _)| place)
    }

    /// When the oldest dial has begun that is left behind.
    pub(super) fn left_behind_since(&self, needed: &Needed) -> Option<Instant> {
        self.left_behind(needed).map(|place| self.entries[place].begun).min()
    }

    /// Takes out dials that are left behind, all but the first `keep` of them, and `most` at most, the last first; none that is
    /// overtaken if `spares_overtaken`. The caller tells them, and holds no lock then.
    pub(super) fn take_left_behind(
        &mut self,
        needed: &Needed,
        keep: usize,
        most: usize,
        spares_overtaken: bool,
    ) -> Vec<oneshot::Sender<()>> {
        let may_end = |place: &usize| !(spares_overtaken && self.entries[*place].overtaken);
        let left_behind: Vec<_> = self.left_behind(needed).skip(keep).filter(may_end).collect();
        let mut taken: Vec<_> = left_behind.into_iter().rev().take(most).collect();
        taken.sort_unstable_by(|one, other| other.cmp(one));
        self.take(taken.into_iter())
    }

    /// Takes out the dials that can be ended, began before that time, and have not connected.
    pub(super) fn take_begun_before(&mut self, time: Instant) -> Vec<oneshot::Sender<()>> {
        let hangs =
            |entry: &Entry| entry.begun <= time && !entry.connected && !entry.end.is_closed();
        let hanging: Vec<_> =
            (0..self.entries.len()).filter(|&at| hangs(&self.entries[at])).collect();
        self.take(hanging.into_iter().rev())
    }

    /// Takes out what stands at these places, the last first.
    fn take(&mut self, places: impl Iterator<Item = usize>) -> Vec<oneshot::Sender<()>> {
        places.filter_map(|at| self.remove(at)).map(|entry| entry.end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::HANGS;

    fn begin(dials: &mut DialsUnderWay, numbers: impl IntoIterator<Item = u64>) -> Vec<Begun> {
        numbers.into_iter().map(|number| dials.begin(number, Instant::now())).collect()
    }

    fn needs(dials: usize) -> &'static Needed {
        [&Needed::Oldest(0), &Needed::Oldest(1), &Needed::Oldest(2), &Needed::Oldest(3)][dials]
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
        assert_eq!(tell(dials.take_left_behind(needs(2), 1, usize::MAX, false)), 2);
        assert_eq!(
            begun.iter_mut().map(told).collect::<Vec<_>>(),
            [false, false, false, true, true]
        );
        assert!(
            dials.left_behind_since(needs(2)).is_some()
                && dials.left_behind_since(needs(3)).is_none()
        );
        assert_eq!(tell(dials.take_left_behind(needs(0), 0, 1, false)), 1);
        assert!(told(&mut begun[2]), "the newest gives way first");
        assert_eq!(dials.len(), 2);
    }

    #[test]
    fn the_dials_that_began_before_a_time_and_have_not_connected_are_ended() {
        let mut dials = DialsUnderWay::default();
        let start = Instant::now();
        let at = |seconds| start + std::time::Duration::from_secs(seconds);
        let mut begun: Vec<_> = (0..4).map(|number| dials.begin(number, at(number))).collect();
        dials.has_connected(1);
        assert_eq!(tell(dials.take_begun_before(at(2))), 2);
        assert_eq!(begun.iter_mut().map(told).collect::<Vec<_>>(), [true, false, true, false]);
    }

    #[test]
    fn a_dial_that_has_opened_its_connection_is_not_ended() {
        let mut dials = DialsUnderWay::default();
        drop(begin(&mut dials, [1]));
        let _opens = begin(&mut dials, [2, 3]);
        assert_eq!(tell(dials.take_left_behind(needs(0), 1, usize::MAX, false)), 1);
        assert_eq!(dials.len(), 2);
    }

    #[test]
    fn dials_are_overtaken_and_taken_back_and_counted_whatever_becomes_of_them() {
        let mut dials = DialsUnderWay::default();
        let _begun = begin(&mut dials, 1..=4);
        assert!([1, 2, 3].map(|number| dials.overtake(number, Tried::default())) == [true; 3]);
        assert!(
            !dials.overtake(1, Tried::default())
                && !dials.overtake(9, Tried::default())
                && dials.overtaken == 3
        );
        assert!(dials.take_back(1) && !dials.take_back(1));
        assert!(dials.take_back_last(), "the third");
        assert!(!dials.take_back(3) && dials.overtaken == 1);
        dials.end(2);
        assert!(dials.overtaken == 0 && !dials.take_back_last());
        dials.overtake(3, Tried::default());
        assert_eq!(dials.take_left_behind(needs(0), 0, usize::MAX, false).len(), 3);
        assert_eq!((dials.len(), dials.overtaken), (0, 0));
    }

    #[test]
    fn what_is_overtaken_is_kept_last_and_ended_first() {
        let mut dials = DialsUnderWay::default();
        let mut begun = begin(&mut dials, 1..=4);
        dials.overtake(1, Tried::default());
        // One is needed, the second; the third is kept.
        assert_eq!(tell(dials.take_left_behind(needs(1), 1, 1, false)), 1);
        assert!(told(&mut begun[0]) && dials.overtaken == 0);
        assert_eq!(tell(dials.take_left_behind(needs(1), 1, usize::MAX, false)), 1);
        assert!(told(&mut begun[3]) && !told(&mut begun[2]));
        dials.overtake(2, Tried::default());
        assert_eq!(tell(dials.take_left_behind(needs(1), 0, usize::MAX, true)), 0, "it races");
        assert_eq!(tell(dials.take_left_behind(needs(1), 0, usize::MAX, false)), 1);
        assert!(told(&mut begun[1]));
    }

    #[test]
    fn only_the_dial_in_the_place_of_another_is_told_what_was_tried_before_and_since_when() {
        let mut dials = DialsUnderWay::default();
        let begin = |number, dials: &mut DialsUnderWay| dials.begin(number, Instant::now());
        let first = begin(1, &mut dials);
        assert!(first.heir_of.is_none());
        dials.overtake(1, Tried::default());
        let [second, third] = [2, 3].map(|number| begin(number, &mut dials).heir_of);
        assert!(second.is_some_and(|heritage| heritage.since == first.at) && third.is_none());
        dials.overtake(2, Tried::default());
        let fourth = begin(4, &mut dials).heir_of;
        assert!(
            fourth.is_some_and(|heritage| heritage.since == first.at),
            "the time is that of all"
        );
        dials.overtake(3, Tried::default());
        dials.disinherit();
        assert!(begin(5, &mut dials).heir_of.is_none());
    }

    #[test]
    fn a_dial_may_end_after_it_was_told_to() {
        let mut dials = DialsUnderWay::default();
        let begun = begin(&mut dials, [1, 2]);
        tell(dials.take_left_behind(needs(0), 0, usize::MAX, false));
        for dial in &begun {
            dials.end(dial.number);
        }
        assert_eq!(dials.len(), 0);
    }

    #[test]
    fn what_a_waiter_needs_is_kept_though_older_dials_hang() {
        let mut dials = DialsUnderWay::default();
        let start = Instant::now();
        let mut begun = [(1, 0), (2, 1), (3, 2)]
            .map(|(number, halves)| dials.begin(number, start + HANGS * halves / 2));
        assert!(!dials.are_for(start + HANGS) && dials.are_for(start + HANGS / 2));
        let Cover { uncovered, needed } = dials.cover(vec![start + HANGS], 1);
        assert_eq!((uncovered, needed.as_slice()), (0, [2].as_slice()));
        let needed = Needed::These(needed);
        assert_eq!(tell(dials.take_left_behind(&needed, 1, usize::MAX, false)), 1);
        assert_eq!(begun.each_mut().map(told), [false, false, true], "the oldest goes on too");
        assert_eq!(tell(dials.take_left_behind(&needed, 0, 1, false)), 1);
        assert_eq!(begun.each_mut().map(told), [true, false, false], "a limit wants its place");
    }

    #[test]
    fn what_has_connected_hangs_no_more_and_is_ended_last() {
        let mut dials = DialsUnderWay::default();
        let start = Instant::now();
        let mut begun = [1, 2, 3].map(|number| dials.begin(number, start));
        dials.overtake(2, Tried::default());
        dials.has_connected(2);
        assert_eq!(dials.relied_on(), 3, "its heir is not in its place any more");
        let late = start + HANGS * 2;
        assert_eq!(dials.cover(vec![late; 2], 1), Cover { uncovered: 1, needed: vec![] });
        assert_eq!(tell(dials.take_left_behind(needs(0), 1, usize::MAX, false)), 2);
        assert_eq!(begun.each_mut().map(told), [true, false, true]);
    }
}
