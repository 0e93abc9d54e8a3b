//! Which upstream a request goes to: the less busy of two that are drawn, and none that fails while another does not.
//!
//! Two are enough for a load that is nearly even, and unlike "the least busy of all" they do not send everything at
//! once to an upstream that has just come back.

use super::upstreams::Upstreams;

/// Those that a request has tried already.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<usize>);

impl Tried {
    pub(crate) fn add(&mut self, upstream: usize) {
        self.0.push(upstream);
    }
}

/// How much an upstream has to do, and before that whether it can do anything.
type Load = (bool, usize);

impl Upstreams {
    /// The next for a request that has tried these; none if it has tried all.
    pub(crate) fn next(&self, tried: &Tried) -> Option<usize> {
        if self.all.len() == 1 && tried.0.is_empty() {
            return Some(0);
        }
        let mut left: Vec<usize> =
            (0..self.all.len()).filter(|one| !tried.0.contains(one)).collect();
        if left.is_empty() {
            return None;
        }
        let first = left.swap_remove(fastrand::usize(..left.len()));
        let mut best = (self.load(first), first);
        // Of two that fail neither will do, and any other is better.
        let mut drawn = 1;
        while (drawn < 2 || best.0.0) && !left.is_empty() {
            let other = left.swap_remove(fastrand::usize(..left.len()));
            let load = self.load(other);
            if load < best.0 {
                best = (load, other);
            }
            drawn += 1;
        }
        Some(best.1)
    }

    fn load(&self, upstream: usize) -> Load {
        let (upstream, tally) = &self.all[upstream];
        let is_failing = || {
            let stats = self.pool.stats_of(&upstream.endpoint).unwrap_or_default();
            tally.is_failing(&stats)
        };
        (tally.may_be_failing() && is_failing(), tally.under_way())
    }
}
