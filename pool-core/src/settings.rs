//! The settings of a pool as it reads them; the builder documents them.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::BuildError;
use crate::events::Observed;
use crate::http2::{Http2, KeepAlive};

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_address: Option<usize>,
    pub(crate) max_idle: Option<usize>,
    pub(crate) max_idle_per_address: Option<usize>,
    pub(crate) max_waiters_per_address: Option<usize>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) lifetime_jitter: f64,
    pub(crate) max_uses: Option<u64>,
    pub(crate) checkout_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) expect_continue_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) park_after: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) probe: bool,
    pub(crate) quarantine: bool,
    pub(crate) learn_idle_limit: bool,
    pub(crate) backoff: Backoff,
    pub(crate) http2: Http2,
    pub(crate) http2_max_streams: Option<usize>,
    pub(crate) http2_keep_alive: Option<KeepAlive>,
    pub(crate) drain_limit: DrainLimit,
    pub(crate) observed: Observed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimit {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_connections_per_address: None,
            max_idle: None,
            max_idle_per_address: None,
            max_waiters_per_address: Some(1024),
            max_lifetime: None,
            lifetime_jitter: 0.1,
            max_uses: None,
            checkout_timeout: Some(Duration::from_secs(30)),
            response_timeout: None,
            body_timeout: None,
            expect_continue_timeout: Duration::from_secs(1),
            idle_timeout: Some(Duration::from_secs(90)),
            park_after: Some(Duration::from_secs(10)),
            connect_timeout: Some(Duration::from_secs(10)),
            probe: true,
            quarantine: true,
            learn_idle_limit: true,
            backoff: Backoff::default(),
            http2: Http2::default(),
            http2_max_streams: None,
            http2_keep_alive: None,
            drain_limit: DrainLimit { bytes: 64 * 1024, time: Duration::from_millis(20) },
            observed: Observed::default(),
        }
    }
}

impl Settings {
    /// Whether every connection closes when its message has ended.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.idle_timeout == Some(Duration::ZERO)
            || self.max_idle == Some(0)
            || self.max_idle_per_address == Some(0)
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let none = "with zero nothing could be sent";
        let more = "more idle connections than connections";
        let above = |idle: Option<usize>, all: Option<usize>| matches!((idle, all), (Some(idle), Some(all)) if idle > all);
        let nonsense = [
            (self.max_connections == Some(0), "max_connections", none),
            (self.max_connections_per_address == Some(0), "max_connections_per_address", none),
            (self.max_uses == Some(0), "max_uses", none),
            (self.connect_timeout == Some(Duration::ZERO), "connect_timeout", none),
            (self.http2_max_streams == Some(0), "http2_max_streams", none),
            (
                self.http2_keep_alive.is_some_and(|ping| ping.interval.is_zero()),
                "http2_keep_alive",
                "with an interval of zero nothing else would be sent",
            ),
            (above(self.max_idle, self.max_connections), "max_idle", more),
            (
                above(self.max_idle_per_address, self.max_connections_per_address),
                "max_idle_per_address",
                more,
            ),
            (
                !(0.0..=1.0).contains(&self.lifetime_jitter),
                "lifetime_jitter",
                "not between 0 and 1",
            ),
        ];
        match nonsense.into_iter().find(|(found, ..)| *found) {
            Some((_, setting, why)) => Err(BuildError::new(setting, why)),
            None => Ok(()),
        }
    }

    /// The shortest and the longest time between two passes over all lanes.
    ///
    /// A pass costs the number of lanes, so there are not many; but what it looks for may come up right after
    /// one, and should not be late by more than a quarter of its time.
    pub(crate) fn between_passes(&self) -> (Duration, Duration) {
        let least = Duration::from_millis(10);
        let looked_for = [self.idle_timeout, self.park_after].into_iter().flatten().min();
        let looked_for = looked_for.unwrap_or(Duration::MAX);
        let shortest = (looked_for / 10).clamp(least, Duration::from_secs(1));
        let longest = (looked_for / 4).clamp(least, Duration::from_secs(10));
        (shortest, longest)
    }

    /// Whether some limit may have a request wait for a connection of others to close.
    pub(crate) fn limits_connections(&self) -> bool {
        self.max_connections.is_some() || self.max_connections_per_address.is_some()
    }

    /// Whether some limit may ask which idle connection of all hosts is the oldest.
    pub(crate) fn ranks_idle(&self) -> bool {
        self.max_connections.is_some() || self.max_idle.is_some()
    }
}
