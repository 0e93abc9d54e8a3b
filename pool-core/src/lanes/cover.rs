//! Which waiters the dials under way are for, and so which of the dials are needed, where some of them hang.
//!
//! A dial that has hung for [`HANGS`] is for no waiter that comes then: the system sends its packets ever more seldom, and a new
//! dial finds out sooner that the server is back. It goes on for those that came before.

use tokio::time::Instant;

use crate::policy::HANGS;

/// Whether a dial that has begun then is for a waiter that came at `since`.
pub(super) fn is_for(begun: Instant, since: Instant) -> bool {
    begun + HANGS > since
}

/// What becomes of dials and waiters when each waiter has its place in a dial that is for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cover {
    /// For so many waiters there is no dial.
    pub(super) uncovered: usize,
    /// The numbers of the dials that waiters need.
    pub(super) needed: Vec<u64>,
}

/// Gives waiters their places in dials. A waiter is told by the time since when it waits, a dial by its number and the time at
/// which it began, the oldest first. Each dial has `per_dial` places; the places `elsewhere` are for any waiter.
///
/// The newest waiter chooses first, because the fewest dials are for it, and each takes the oldest that is left.
pub(super) fn cover(
    dials: &[(u64, Instant)],
    mut since: Vec<Instant>,
    per_dial: usize,
    elsewhere: usize,
) -> Cover {
    since.sort_unstable();
    let (mut newer, mut free, mut uncovered, mut needed) =
        (dials.len(), Vec::new(), 0_usize, Vec::new());
    // The others have places elsewhere.
    let choosing = since.len().saturating_sub(elsewhere);
    for (chosen, since) in since.into_iter().rev().enumerate() {
        while let Some((number, _)) = dials[..newer].last().filter(|dial| is_for(dial.1, since)) {
            free.push((*number, per_dial));
            newer -= 1;
        }
        let Some((number, places)) = free.last_mut() else {
            uncovered += 1;
            continue;
        };
        if *places == per_dial && chosen < choosing {
            needed.push(*number);
        }
        *places -= 1;
        if *places == 0 {
            free.pop();
        }
    }
    Cover { uncovered: uncovered.saturating_sub(elsewhere), needed }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In tenths of the time after which a dial hangs.
    fn covered(
        dials: &[u32],
        since: &[u32],
        per_dial: usize,
        elsewhere: usize,
    ) -> (usize, Vec<u64>) {
        let start = Instant::now();
        let at = |tenths: &u32| start + HANGS * *tenths / 10;
        let dials: Vec<_> = (0..).zip(dials.iter().map(at)).collect();
        let Cover { uncovered, mut needed } =
            cover(&dials, since.iter().map(at).collect(), per_dial, elsewhere);
        needed.sort_unstable();
        (uncovered, needed)
    }

    #[test]
    fn a_dial_is_for_no_waiter_that_comes_when_it_hangs() {
        for (since, uncovered) in [
            ([9, 8].as_slice(), 0),
            (&[9, 9, 8], 1),
            (&[10, 8], 0),
            (&[8, 10], 0),
            (&[11, 10], 1),
            (&[14, 0], 1),
            (&[], 0),
        ] {
            assert_eq!(covered(&[0, 4], since, 1, 0).0, uncovered, "{since:?}");
        }
        assert_eq!(covered(&[0, 4], &[11, 10, 9, 0], 2, 0).0, 0);
        assert_eq!(covered(&[0, 4], &[14, 14, 0], usize::MAX, 0).0, 2);
        assert_eq!(covered(&[0, 4], &[14, 14, 0], 1, 1).0, 1, "one has a place elsewhere");
    }

    #[test]
    fn the_oldest_dials_are_needed_that_are_for_the_waiters_and_those_of_newcomers_as_well() {
        assert_eq!(covered(&[0, 1, 2], &[5], 1, 0), (0, vec![0]));
        assert_eq!(covered(&[0, 1, 2], &[10], 1, 0), (0, vec![1]), "the oldest hung already");
        // Three that wait since before, and the newcomer, which only the last dial is for.
        assert_eq!(covered(&[0, 12, 24, 36], &[0, 12, 24, 40], 1, 0), (0, vec![0, 1, 2, 3]));
        assert_eq!(covered(&[0, 12, 24, 36], &[24, 40], 1, 0), (0, vec![2, 3]));
        assert_eq!(covered(&[0, 12, 24], &[0, 12, 24, 25], usize::MAX, 0), (0, vec![0, 1, 2]));
        assert_eq!(covered(&[0, 12], &[0, 12], 1, 1), (0, vec![1]));
    }
}
