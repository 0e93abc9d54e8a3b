//! How fast streams may be reset.
//!
//! A client that opens streams and resets them at once looks like an attack (CVE-2023-44487), and servers close
//! the connections of such clients. A request that is cancelled beyond this rate is not reset but read to its
//! end.

use tokio::time::Instant;

/// Below the 20 that an h2 server lets wait, the strictest of those compared.
const AT_ONCE: f64 = 16.0;

const PER_SECOND: f64 = 20.0;

#[derive(Debug, Default)]
pub(super) struct ResetRate {
    last: Option<Instant>,
    spent: f64,
}

impl ResetRate {
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = self.last.map_or(f64::MAX, |last| (now - last).as_secs_f64());
        self.last = Some(now);
        self.spent = (self.spent - passed * PER_SECOND).max(0.0);
        let granted = self.spent + 1.0 <= AT_ONCE;
        if granted {
            self.spent += 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sixteen_at_once_and_twenty_a_second_are_reset() {
        let mut rate = ResetRate::default();
        let granted = (0..100).filter(|_| rate.take(Instant::now())).count();
        assert_eq!(granted, 16);
        tokio::time::advance(Duration::from_millis(500)).await;
        let granted = (0..100).filter(|_| rate.take(Instant::now())).count();
        assert_eq!(granted, 10);
    }
}
