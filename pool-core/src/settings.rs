//! The settings of a pool as the pool reads them, and which of them make no sense. The builder documents each.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::report::Observed;
use crate::request::LeastRate;

/// Whether a pool speaks HTTP/2; see [`Builder::http2`](crate::Builder::http2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Http2 {
    /// Never. A connector that negotiates it all the same fails to connect.
    Off,
    /// Where the connector has negotiated it, as TLS does by ALPN; everywhere else HTTP/1.
    #[default]
    Negotiated,
    /// Everywhere, without asking (RFC 9113 3.3, "prior knowledge"). A server that speaks only HTTP/1 does not
    /// understand it.
    Assumed,
}

/// What happens to requests to an address that fails, as three dials in a row have; see
/// [`Builder::backoff`](crate::Builder::backoff).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backoff {
    /// Nothing: every request that needs a connection dials for itself.
    Off,
    /// They fail at once with [`ErrorKind::BackingOff`](crate::ErrorKind::BackingOff) during a pause, and while the dial
    /// after it tries, so that a gateway can go elsewhere.
    Fail,
    /// They wait for the next dial, and share what it says.
    #[default]
    Wait,
}

/// The settings of one address, from those of the pool; none where they are the same.
pub(crate) type ByAddress<A> = Box<dyn Fn(&A, &Settings) -> Option<Settings> + Send + Sync>;

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_connections_per_address: Option<usize>,
    pub(crate) max_idle: Option<usize>,
    pub(crate) max_idle_per_address: Option<usize>,
    pub(crate) max_waiters_per_address: Option<usize>,
    pub(crate) checkout_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    pub(crate) body_timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) least_rate: Option<LeastRate>,
    pub(crate) expect_continue_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) park_after: Option<Duration>,
    pub(crate) shrink_idle_after: Option<Duration>,
    pub(crate) min_idle: usize,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) probe: bool,
    pub(crate) quarantine: bool,
    pub(crate) learn_idle_limit: bool,
    pub(crate) backoff: Backoff,
    pub(crate) http2: Http2,
    pub(crate) https_over_cleartext: bool,
    pub(crate) connection: ConnectionSettings,
    pub(crate) drain_limit: DrainLimit,
    pub(crate) observed: Observed,
}

/// What one connection is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionSettings {
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) lifetime_jitter: f64,
    pub(crate) max_uses: Option<u64>,
    pub(crate) max_response_head: usize,
    pub(crate) max_response_fields: Option<usize>,
    pub(crate) http2: Http2Settings,
}

/// What an HTTP/2 connection is opened with beside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Http2Settings {
    pub(crate) max_streams: Option<usize>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) keep_alive_while_idle: bool,
    /// How long a server that is asked for a sign of life may take.
    pub(crate) patience: Duration,
    /// After how long a rest the kernel is asked.
    pub(crate) rested: Duration,
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    pub(crate) frame_size: u32,
    pub(crate) send_buffer: usize,
}

impl Http2Settings {
    /// How many streams one connection carries at once at most: no more than can fill their windows without taking that of
    /// another.
    pub(crate) fn streams(&self) -> usize {
        let filled = self.connection_window / self.stream_window.max(1);
        self.max_streams.unwrap_or(usize::MAX).min(filled as usize)
    }
}

/// How often idle connections are looked after where some are always to be there, at the longest: a tenth of it at best.
const REFILLED: Duration = Duration::from_secs(4);

/// The largest window, RFC 9113 6.9.1.
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// That of a stream where nothing is said, RFC 9113 6.9.2.
const STREAM_WINDOW: u32 = (1 << 16) - 1;

/// RFC 9113 4.2.
const MIN_FRAME: u32 = 1 << 14;
const MAX_FRAME: u32 = (1 << 24) - 1;

/// The least buffer that hyper reads heads with.
const MIN_HEAD: usize = 8 * 1024;

/// As many as a map of fields holds.
const MAX_FIELDS: usize = 24_576;

/// When the server of an HTTP/2 connection is asked for a sign of life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Also where no request waits.
    pub(crate) while_idle: bool,
}

/// How much of a response is read on after its body was dropped.
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
            checkout_timeout: Some(Duration::from_secs(30)),
            response_timeout: None,
            body_timeout: None,
            total_timeout: None,
            least_rate: None,
            expect_continue_timeout: Duration::from_secs(1),
            idle_timeout: Some(Duration::from_secs(90)),
            park_after: Some(Duration::from_secs(10)),
            shrink_idle_after: None,
            min_idle: 0,
            connect_timeout: Some(Duration::from_secs(10)),
            probe: true,
            quarantine: true,
            learn_idle_limit: true,
            backoff: Backoff::default(),
            http2: Http2::default(),
            https_over_cleartext: false,
            connection: ConnectionSettings {
                max_lifetime: None,
                lifetime_jitter: 0.1,
                max_uses: None,
                max_response_head: 408 * 1024,
                max_response_fields: None,
                http2: Http2Settings {
                    max_streams: None,
                    keep_alive: None,
                    keep_alive_while_idle: true,
                    patience: Duration::from_secs(5),
                    rested: Duration::from_secs(1),
                    stream_window: 2 * 1024 * 1024,
                    connection_window: MAX_WINDOW,
                    frame_size: 16 * 1024,
                    send_buffer: 1024 * 1024,
                },
            },
            drain_limit: DrainLimit { bytes: 64 * 1024, time: Duration::from_millis(20) },
            observed: Observed::default(),
        }
    }
}

impl Settings {
    /// Whether every connection closes when its request has ended.
    pub(crate) fn keeps_nothing(&self) -> bool {
        self.idle_timeout == Some(Duration::ZERO)
            || self.max_idle == Some(0)
            || self.max_idle_per_address == Some(0)
    }

    /// Whether something bounds every exchange, beyond its head and its frames.
    pub(crate) fn bounds_all(&self) -> bool {
        self.total_timeout.is_some() || self.least_rate.is_some()
    }

    pub(crate) fn check(&self) -> Result<(), BuildError> {
        let http2 = &self.connection.http2;
        let none = "with zero nothing could be sent";
        let more = "more idle connections than connections";
        let above = |idle: Option<usize>, all: Option<usize>| matches!((idle, all), (Some(idle), Some(all)) if idle > all);
        let nonsense = [
            (self.max_connections == Some(0), "max_connections", none),
            (self.max_connections_per_address == Some(0), "max_connections_per_address", none),
            (self.connection.max_uses == Some(0), "max_uses", none),
            (self.connect_timeout == Some(Duration::ZERO), "connect_timeout", none),
            (self.total_timeout == Some(Duration::ZERO), "total_timeout", none),
            (
                self.least_rate.is_some_and(|rate| rate.period.is_zero()),
                "least_rate",
                "nothing comes within a period of zero",
            ),
            (self.connection.http2.max_streams == Some(0), "http2_max_streams", none),
            (
                self.connection.http2.keep_alive.is_some_and(|ping| ping.interval.is_zero()),
                "http2_keep_alive",
                "with an interval of zero nothing else would be sent",
            ),
            (
                !(STREAM_WINDOW..=MAX_WINDOW).contains(&http2.stream_window),
                "http2_stream_window",
                "not between 64 KiB less a byte and 2 GiB",
            ),
            (
                !(http2.stream_window..=MAX_WINDOW).contains(&http2.connection_window),
                "http2_connection_window",
                "not between the window of a stream and 2 GiB",
            ),
            (
                !(MIN_FRAME..=MAX_FRAME).contains(&http2.frame_size),
                "http2_frame_size",
                "not between 16 KiB and 16 MiB",
            ),
            (http2.send_buffer == 0, "http2_send_buffer", none),
            (self.connection.max_response_head < MIN_HEAD, "max_response_head", "below 8 KiB"),
            (
                self.connection
                    .max_response_fields
                    .is_some_and(|most| !(1..=MAX_FIELDS).contains(&most)),
                "max_response_fields",
                "not between 1 and 24,576",
            ),
            (above(self.max_idle, self.max_connections), "max_idle", more),
            (
                self.min_idle > 0 && self.keeps_nothing(),
                "min_idle",
                "none is kept, as other settings have it",
            ),
            (
                above(Some(self.min_idle), self.max_idle_per_address),
                "min_idle",
                "more than are kept",
            ),
            (
                above(self.max_idle_per_address, self.max_connections_per_address),
                "max_idle_per_address",
                more,
            ),
            (
                !(0.0..=1.0).contains(&self.connection.lifetime_jitter),
                "lifetime_jitter",
                "not between 0 and 1",
            ),
        ];
        match nonsense.into_iter().find(|(found, ..)| *found) {
            Some((_, setting, why)) => Err(BuildError { setting, why }),
            None => Ok(()),
        }
    }

    /// The shortest and the longest time between two passes over all lanes.
    ///
    /// A pass visits every lane, so passes are rare. But a connection may expire right after a pass, and should not be
    /// late by more than a quarter of its time.
    pub(crate) fn between_passes(&self) -> (Duration, Duration) {
        let least = Duration::from_millis(10);
        let refills = (self.min_idle > 0).then_some(REFILLED);
        // Where nothing is kept, nothing idle is looked for.
        let idle = self.idle_timeout.filter(|timeout| !timeout.is_zero());
        let times = [idle, self.park_after, self.shrink_idle_after, refills];
        let looked_for = times.into_iter().flatten().min();
        let looked_for = looked_for.unwrap_or(Duration::MAX);
        let shortest = (looked_for / 10).clamp(least, Duration::from_secs(1));
        let longest = (looked_for / 4).clamp(least, Duration::from_secs(10));
        (shortest, longest)
    }

    /// Whether a limit may keep a request waiting until another connection closes.
    pub(crate) fn limits_connections(&self) -> bool {
        self.max_connections.is_some() || self.max_connections_per_address.is_some()
    }
}

impl BuildError {
    /// As a cause of its own, where it is not a pool that is built.
    pub(crate) fn of_address(&self) -> String {
        format!("{}: {}", self.setting, self.why)
    }
}

/// A setting that makes no sense; see [`Builder::build`](crate::Builder::build).
#[derive(Debug)]
pub struct BuildError {
    setting: &'static str,
    why: &'static str,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "building the pool: {}: {}", self.setting, self.why)
    }
}

impl StdError for BuildError {}

/// A little less than `time`, so that what begins at one moment does not end at one moment.
pub(crate) fn jittered(time: Duration, jitter: f64) -> Duration {
    let less = time.as_secs_f64() * jitter * fastrand::f64();
    time.saturating_sub(Duration::try_from_secs_f64(less).unwrap_or_default())
}
