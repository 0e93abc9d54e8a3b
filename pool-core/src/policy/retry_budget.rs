//! How many requests to one address may be sent again after they had reached it.
//!
//! A server in trouble must not be sent twice the load. Every request adds a fifth of a token, every repetition takes
//! one, and three may be under way without a token: the shares are Envoy's. The host counts its requests anyway, so
//! only a repetition pays.

use std::sync::Arc;

use crate::sync::Mutex;

/// Enough for a crowd of requests that a restarting server cuts off at one instant.
const MOST_TOKENS: u64 = 1_000;

const REQUESTS_PER_TOKEN: u64 = 5;

const ALWAYS: usize = 3;

#[derive(Debug, Default)]
pub(super) struct RetryBudget {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    /// In shares of a token, one for each request.
    shares: u64,
    /// How many requests have been counted.
    seen: u64,
}

impl State {
    fn take(&mut self, requests: u64) -> bool {
        let earned = requests.saturating_sub(self.seen);
        self.seen = requests;
        self.shares = (self.shares + earned).min(MOST_TOKENS * REQUESTS_PER_TOKEN);
        let rest = self.shares.checked_sub(REQUESTS_PER_TOKEN);
        if rest.is_none() && self.under_way >= ALWAYS {
            return false;
        }
        self.shares = rest.unwrap_or(self.shares);
        self.under_way += 1;
        true
    }
}

/// Leave to send one request again, until it has ended.
#[derive(Debug)]
pub(crate) struct RetryToken(Arc<RetryBudget>);

impl RetryToken {
    /// None if the budget is spent. The address has had so many `requests` so far.
    pub(super) fn take(budget: &Arc<RetryBudget>, requests: u64) -> Option<Self> {
        let granted = budget.state.lock().take(requests);
        granted.then(|| Self(Arc::clone(budget)))
    }
}

impl Drop for RetryToken {
    fn drop(&mut self) {
        self.0.state.lock().under_way -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_may_be_under_way_whatever_came_before() {
        let mut state = State::default();
        assert_eq!(
            [state.take(0), state.take(0), state.take(0), state.take(0)],
            [true, true, true, false]
        );
        state.under_way -= 1;
        assert!(state.take(0));
    }

    #[test]
    fn beyond_that_one_in_five_requests_may_be_repeated() {
        let mut state = State::default();
        let granted = (0..2_000).filter(|request| state.take(*request)).count();
        assert_eq!(granted, 2_000 / 5 + ALWAYS - 1);
    }

    #[test]
    fn what_was_saved_up_is_bounded() {
        let mut state = State::default();
        let granted = (0..5_000).filter(|_| state.take(1_000_000)).count();
        assert_eq!(granted, 1_000);
    }
}
