//! The idle store: last in, first out, with a way to take any value out by its sequence.
//!
//! Keys are a counter that is read at check-in, so the back of the map is the connection that was checked in last, and
//! the front is the least recently used. The newest stands in a cell before the map: a request after a request touches
//! no map at all, and the order stays the same.
//!
//! What must hold: a value is reachable from one place only. The map drops a removed entry late (its memory is
//! collected in epochs), so an entry is a slot, and the thread that empties the slot owns the value. `SkipMap::range`
//! leaks what it visits and is not used.

#![expect(clippy::disallowed_types, reason = "the ordered map of idle connections lives here")]

use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_skiplist::SkipMap;

use crate::sync::Mutex;

pub(super) struct Idle<T> {
    newest: Mutex<Option<(u64, T)>>,
    older: SkipMap<u64, Mutex<Option<T>>>,
    len: AtomicUsize,
}

impl<T: Send + 'static> Idle<T> {
    pub(super) fn new() -> Self {
        Self { newest: Mutex::new(None), older: SkipMap::new(), len: AtomicUsize::new(0) }
    }

    /// How many values are stored; exact when no thread is moving one.
    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Stores the newest value.
    ///
    /// `found` runs under the lock: a thread that it tells comes for the value, waits for the lock, and finds the
    /// value. It must take no lock under which this store is used.
    #[inline(always)]
    pub(super) fn push(&self, sequence: u64, value: T, found: impl FnOnce(&T)) {
        self.len.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest.lock();
        found(&value);
        let older = match &*newest {
            // Two check-ins may arrive in the other order than they took their sequences.
            Some((held, _)) if *held > sequence => Some((sequence, value)),
            _ => newest.replace((sequence, value)),
        };
        // Under the lock, so that a value can be found at every moment between push and take.
        if let Some((sequence, value)) = older {
            self.insert_older(sequence, value);
        }
    }

    /// Puts a value that was taken out back to where it was; `found` as in [`push`](Self::push).
    pub(super) fn put_back(&self, sequence: u64, value: T, found: impl FnOnce(&T)) {
        self.len.fetch_add(1, Ordering::Relaxed);
        let mut newest = self.newest.lock();
        found(&value);
        let older = match &*newest {
            Some((held, _)) if *held < sequence => newest.replace((sequence, value)),
            // An empty cell says nothing of the map, in which newer ones may stand.
            _ => Some((sequence, value)),
        };
        if let Some((sequence, value)) = older {
            self.insert_older(sequence, value);
        }
    }

    // Out of line, because a request after a request touches no map.
    #[inline(never)]
    fn insert_older(&self, sequence: u64, value: T) {
        self.older.insert(sequence, Mutex::new(Some(value)));
    }

    #[inline]
    pub(super) fn pop_newest(&self) -> Option<T> {
        let newest = self.newest.lock().take();
        match newest {
            Some((_, value)) => self.out(value),
            None => self.pop_newest_of_older(),
        }
    }

    #[inline(never)]
    fn pop_newest_of_older(&self) -> Option<T> {
        while let Some(entry) = self.older.pop_back() {
            if let Some(value) = entry.value().lock().take() {
                return self.out(value);
            }
        }
        None
    }

    /// Takes out the newest value if `wanted` says so.
    pub(super) fn pop_newest_if(&self, mut wanted: impl FnMut(&T) -> bool) -> Option<T> {
        let mut newest = self.newest.lock();
        if newest.is_some() {
            let taken = newest.take_if(|(_, value)| wanted(value));
            drop(newest);
            return taken.and_then(|(_, value)| self.out(value));
        }
        drop(newest);
        while let Some(entry) = self.older.back() {
            let mut slot = entry.value().lock();
            if slot.is_some() {
                let value = slot.take_if(|value| wanted(value))?;
                drop(slot);
                entry.remove();
                return self.out(value);
            }
            // Emptied by a thread that has not unlinked the entry yet.
            drop(slot);
            entry.remove();
        }
        None
    }

    /// Takes out the least recently used value if `wanted` says so.
    pub(super) fn pop_oldest_if(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        while let Some(entry) = self.older.front() {
            let mut slot = entry.value().lock();
            match slot.take_if(|value| wanted(value)) {
                Some(value) => {
                    drop(slot);
                    entry.remove();
                    return self.out(value);
                }
                None if slot.is_some() => return None,
                // Emptied by a thread that has not unlinked the entry yet.
                None => {
                    drop(slot);
                    entry.remove();
                }
            }
        }
        let newest = self.newest.lock().take_if(|(_, value)| wanted(value));
        newest.and_then(|(_, value)| self.out(value))
    }

    /// Takes out the least recently used of the values that are `wanted`. Costs what it passes over.
    pub(super) fn pop_first_if(&self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut entry = self.older.front();
        while let Some(here) = entry {
            let taken = here.value().lock().take_if(|value| wanted(value));
            if let Some(value) = taken {
                here.remove();
                return self.out(value);
            }
            entry = here.next();
        }
        let newest = self.newest.lock().take_if(|(_, value)| wanted(value));
        newest.and_then(|(_, value)| self.out(value))
    }

    /// How many of the least recently used values in a row are `wanted`, up to `most`.
    pub(super) fn count_oldest_while(&self, wanted: impl Fn(&T) -> bool, most: usize) -> usize {
        let mut count = 0;
        let mut entry = self.older.front();
        while let Some(here) = entry.filter(|_| count < most) {
            match &*here.value().lock() {
                Some(value) if wanted(value) => count += 1,
                Some(_) => return count,
                // Emptied by a thread that has not unlinked the entry yet.
                None => {}
            }
            entry = here.next();
        }
        let is_wanted = || self.newest.lock().as_ref().is_some_and(|(_, value)| wanted(value));
        count + usize::from(count < most && is_wanted())
    }

    /// Looks at the least recently used value.
    pub(super) fn oldest<R>(&self, look: impl Fn(u64, &T) -> R) -> Option<R> {
        while let Some(entry) = self.older.front() {
            let found = entry.value().lock().as_ref().map(|value| look(*entry.key(), value));
            if found.is_some() {
                return found;
            }
            entry.remove();
        }
        self.newest.lock().as_ref().map(|(sequence, value)| look(*sequence, value))
    }

    /// Looks at the least recently used of the values that were pushed after `sequence`.
    pub(super) fn next_after<R>(&self, sequence: u64, look: impl Fn(&T) -> R) -> Option<R> {
        let mut entry = self.older.lower_bound(Bound::Excluded(&sequence));
        while let Some(here) = entry {
            let found = here.value().lock().as_ref().map(&look);
            if found.is_some() {
                return found;
            }
            entry = here.next();
        }
        let newest = self.newest.lock();
        newest.as_ref().filter(|(held, _)| *held > sequence).map(|(_, value)| look(value))
    }

    /// Takes out the least recently used of the values that were pushed after `sequence`, if `wanted`
    /// says so.
    pub(super) fn pop_next_if(
        &self,
        sequence: u64,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<(u64, T)> {
        let mut entry = self.older.lower_bound(Bound::Excluded(&sequence));
        while let Some(here) = entry {
            let mut slot = here.value().lock();
            if slot.is_some() {
                let value = slot.take_if(|value| wanted(value))?;
                drop(slot);
                here.remove();
                return self.out(value).map(|value| (*here.key(), value));
            }
            drop(slot);
            entry = here.next();
        }
        let newest = self.newest.lock().take_if(|(held, value)| *held > sequence && wanted(value));
        newest.and_then(|(held, value)| self.out(value).map(|value| (held, value)))
    }

    /// Takes out the value that was stored under `sequence`, if it is still here.
    pub(super) fn take(&self, sequence: u64) -> Option<T> {
        let newest = self.newest.lock().take_if(|(held, _)| *held == sequence);
        if let Some((_, value)) = newest {
            return self.out(value);
        }
        let entry = self.older.remove(&sequence)?;
        let value = entry.value().lock().take();
        value.and_then(|value| self.out(value))
    }

    fn out(&self, value: T) -> Option<T> {
        self.len.fetch_sub(1, Ordering::Relaxed);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_last_in_is_the_first_out() {
        let idle = Idle::new();
        for sequence in 0..5 {
            idle.push(sequence, sequence, |_| ());
        }
        let order: Vec<u64> = std::iter::from_fn(|| idle.pop_newest()).collect();
        assert_eq!(order, [4, 3, 2, 1, 0]);
        assert_eq!(idle.len(), 0);
    }

    #[test]
    fn the_order_is_that_of_the_sequences_even_when_pushes_overtake_each_other() {
        let idle = Idle::new();
        for sequence in [1, 4, 2, 3] {
            idle.push(sequence, sequence, |_| ());
        }
        let order: Vec<u64> = std::iter::from_fn(|| idle.pop_newest()).collect();
        assert_eq!(order, [4, 3, 2, 1]);
    }

    #[test]
    fn a_value_that_is_put_back_keeps_its_place_in_the_order() {
        for back in 0..4 {
            let idle = Idle::new();
            for sequence in 0..4 {
                idle.push(sequence, sequence, |_| ());
            }
            let value = idle.take(back).unwrap();
            idle.put_back(back, value, |_| ());
            let order: Vec<u64> = std::iter::from_fn(|| idle.pop_newest()).collect();
            assert_eq!(order, [3, 2, 1, 0], "after {back}");
        }
    }

    #[test]
    fn a_value_can_be_found_while_newer_ones_displace_it() {
        let idle = Idle::new();
        std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                for sequence in 1..200_000 {
                    idle.push(sequence, (), |_| ());
                    idle.take(sequence);
                }
            });
            idle.push(0, (), |_| ());
            while !pushing.is_finished() {
                assert!(idle.take(0).is_some(), "a stored value was not to be found");
                idle.put_back(0, (), |_| ());
            }
        });
    }

    #[test]
    fn values_after_a_sequence_are_taken_out_in_order() {
        let idle = Idle::new();
        for sequence in 0..4 {
            idle.push(sequence, sequence, |_| ());
        }
        assert_eq!(idle.next_after(1, |value| *value), Some(2));
        assert_eq!(idle.pop_next_if(1, |_| false), None);
        assert_eq!(idle.pop_next_if(1, |_| true), Some((2, 2)));
        assert_eq!(idle.pop_next_if(2, |_| true), Some((3, 3)));
        assert_eq!(idle.pop_next_if(3, |_| true), None);
        assert_eq!(idle.len(), 2);
    }

    #[test]
    fn the_least_recently_used_leaves_first_and_only_if_wanted() {
        let idle = Idle::new();
        for sequence in 0..3 {
            idle.push(sequence, sequence, |_| ());
        }
        assert_eq!(idle.pop_oldest_if(|value| *value < 2), Some(0));
        assert_eq!(idle.pop_oldest_if(|value| *value < 2), Some(1));
        assert_eq!(idle.pop_oldest_if(|value| *value < 2), None);
        assert_eq!(idle.pop_oldest_if(|_| true), Some(2));
        assert_eq!(idle.len(), 0);
    }

    #[test]
    fn the_newest_leaves_only_if_wanted_and_hides_what_is_older() {
        let idle = Idle::new();
        for sequence in 0..3 {
            idle.push(sequence, sequence, |_| ());
        }
        assert_eq!(idle.pop_newest_if(|value| *value < 2), None);
        assert_eq!(idle.pop_newest_if(|value| *value == 2), Some(2));
        assert_eq!(idle.pop_newest_if(|value| *value < 1), None);
        assert_eq!(idle.pop_newest_if(|_| true), Some(1));
        assert_eq!((idle.len(), idle.pop_newest()), (1, Some(0)));
        assert_eq!(idle.pop_newest_if(|_| true), None);
    }

    #[test]
    fn any_value_can_be_taken_out_once_by_its_sequence() {
        let idle = Idle::new();
        for sequence in 0..3 {
            idle.push(sequence, sequence, |_| ());
        }
        for sequence in [1, 2, 0] {
            assert_eq!(idle.take(sequence), Some(sequence));
            assert_eq!(idle.take(sequence), None);
        }
        assert_eq!(idle.pop_newest(), None);
    }

    #[test]
    fn a_value_that_is_taken_out_is_dropped_at_once_and_not_when_the_map_collects_its_memory() {
        let idle = Idle::new();
        let witness = Arc::new(());
        for sequence in 0..4 {
            idle.push(sequence, Arc::clone(&witness), |_| ());
        }
        drop(idle.pop_newest());
        drop(idle.pop_newest());
        drop(idle.pop_oldest_if(|_| true));
        drop(idle.take(1));
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn every_value_is_taken_out_exactly_once_by_competing_threads() {
        const EACH: u64 = 20_000;
        let idle = Arc::new(Idle::new());
        let taken: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let idle = Arc::clone(&idle);
                    scope.spawn(move || {
                        let mut taken = 0;
                        for round in 0..EACH {
                            idle.push(round * 4 + thread, (), |_| ());
                            let gone = match round % 3 {
                                0 => idle.pop_newest(),
                                1 => idle.pop_oldest_if(|()| true),
                                _ => idle.take(round * 4 + thread),
                            };
                            taken += u64::from(gone.is_some());
                        }
                        taken
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let left = std::iter::from_fn(|| idle.pop_newest()).count() as u64;
        assert_eq!(taken + left, 4 * EACH);
        assert_eq!(idle.len(), 0);
    }
}
