//! What one address may have of its own.

use std::time::Duration;

use crate::request::LeastRate;
use crate::settings::{Backoff, Http2, Settings};

/// The settings for one address, to begin with those of the pool; see
/// [`Builder::settings_by_address`](crate::Builder::settings_by_address).
#[derive(Debug)]
#[must_use = "settings are those that the function returns"]
pub struct AddressSettings {
    settings: Settings,
    changed: bool,
}

impl AddressSettings {
    pub(super) fn of_pool(settings: &Settings) -> Self {
        Self { settings: settings.clone(), changed: false }
    }

    /// None if nothing was set. What is left as the pool has it gives way to what was set.
    pub(super) fn into_own(self) -> Option<Settings> {
        let Self { mut settings, changed } = self;
        let within = |idle: Option<usize>, limit: Option<usize>| match (idle, limit) {
            (Some(idle), Some(limit)) => Some(idle.min(limit)),
            (idle, _) => idle,
        };
        let limit = settings.max_connections_per_address;
        settings.max_idle_per_address = within(settings.max_idle_per_address, limit);
        let most = settings.max_idle_per_address.or(limit).unwrap_or(usize::MAX);
        settings.min_idle = if settings.keeps_nothing() { 0 } else { settings.min_idle.min(most) };
        changed.then_some(settings)
    }
}

/// A method for each setting, under the name that it has in the builder of a pool.
macro_rules! settings {
    ($($name:ident($value:ident: $type:ty) => $($field:ident).+ = $set:expr, as $pool:ident;)+) => {
        impl AddressSettings {
            $(
                #[doc = concat!(
                    "As [`Builder::", stringify!($pool), "`](super::Builder::", stringify!($pool), "), for this address."
                )]
                pub fn $name(mut self, $value: $type) -> Self {
                    self.settings.$($field).+ = $set;
                    self.changed = true;
                    self
                }
            )+
        }
    };
}

settings! {
    max_connections(limit: impl Into<Option<usize>>) => max_connections_per_address = limit.into(), as max_connections_per_address;
    max_idle(limit: impl Into<Option<usize>>) => max_idle_per_address = limit.into(), as max_idle_per_address;
    max_waiters(limit: impl Into<Option<usize>>) => max_waiters_per_address = limit.into(), as max_waiters_per_address;
    checkout_timeout(timeout: impl Into<Option<Duration>>) => checkout_timeout = timeout.into(), as checkout_timeout;
    connect_timeout(timeout: impl Into<Option<Duration>>) => connect_timeout = timeout.into(), as connect_timeout;
    response_timeout(timeout: impl Into<Option<Duration>>) => response_timeout = timeout.into(), as response_timeout;
    body_timeout(timeout: impl Into<Option<Duration>>) => body_timeout = timeout.into(), as body_timeout;
    total_timeout(timeout: impl Into<Option<Duration>>) => total_timeout = timeout.into(), as total_timeout;
    least_rate(rate: impl Into<Option<LeastRate>>) => least_rate = rate.into(), as least_rate;
    expect_continue_timeout(timeout: Duration) => expect_continue_timeout = timeout, as expect_continue_timeout;
    idle_timeout(timeout: impl Into<Option<Duration>>) => idle_timeout = timeout.into(), as idle_timeout;
    park_after(idle: impl Into<Option<Duration>>) => park_after = idle.into(), as park_after;
    min_idle(count: usize) => min_idle = count, as min_idle;
    shrink_idle_after(time: impl Into<Option<Duration>>) => shrink_idle_after = time.into(), as shrink_idle_after;
    max_lifetime(lifetime: impl Into<Option<Duration>>) => connection.max_lifetime = lifetime.into(), as max_lifetime;
    max_uses(uses: impl Into<Option<u64>>) => connection.max_uses = uses.into(), as max_uses;
    max_response_head(bytes: usize) => connection.max_response_head = bytes, as max_response_head;
    probe(probe: bool) => probe = probe, as probe;
    quarantine(quarantine: bool) => quarantine = quarantine, as quarantine;
    backoff(backoff: Backoff) => backoff = backoff, as backoff;
    https_over_cleartext(allowed: bool) => https_over_cleartext = allowed, as https_over_cleartext;
    http2(http2: Http2) => http2 = http2, as http2;
    http2_max_streams(limit: impl Into<Option<usize>>) => connection.http2.max_streams = limit.into(), as http2_max_streams;
}
