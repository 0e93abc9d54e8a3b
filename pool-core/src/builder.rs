//! The settings of a pool, each with its default and the reason for it.

use std::time::Duration;

use crate::connector::Connector;
use crate::error::BuildError;
use crate::pool::Pool;

/// Sets up a [`Pool`]. Made by [`Pool::builder`].
///
/// # Examples
///
/// ```
/// # use pool_core::{Connector, Pool};
/// # fn build(connector: impl Connector) -> Result<(), pool_core::BuildError> {
/// use std::time::Duration;
///
/// let pool = Pool::builder(connector)
///     .idle_timeout(Duration::from_secs(30))
///     .connect_timeout(Duration::from_secs(3))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<C> {
    connector: C,
    settings: Settings,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) probe: bool,
    pub(crate) drain_limit: DrainLimit,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimit {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(90)),
            connect_timeout: Some(Duration::from_secs(10)),
            probe: true,
            drain_limit: DrainLimit { bytes: 64 * 1024, time: Duration::from_millis(20) },
        }
    }
}

impl<C: Connector> Builder<C> {
    pub(crate) fn new(connector: C) -> Self {
        Self { connector, settings: Settings::default() }
    }

    /// How long a connection may rest before it is closed; `None` for ever.
    ///
    /// Checked in the background without any traffic, and again at checkout. Zero keeps no connection at
    /// all. Defaults to 90 s, as Go, reqwest and hyper-util have it; a server that closes earlier is
    /// noticed when it does.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = timeout.into();
        self
    }

    /// How long opening a connection may take, every step of the connector included; `None` for as long
    /// as the system tries.
    ///
    /// Defaults to 10 s, as OkHttp and undici have it: the system itself tries for about two minutes.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.connect_timeout = timeout.into();
        self
    }

    /// Whether the kernel is asked, before a connection is reused, if it is still quiet.
    ///
    /// Costs one system call for each reuse. Without it a connection that the server has just closed, or
    /// written to unasked, may be taken for a good one, because a runtime knows only what it last heard
    /// of its sockets. Only for streams whose connector hands over a
    /// [`KernelCheck`](crate::KernelCheck). Defaults to true: wrong answers cost more than a system call.
    pub fn probe(mut self, probe: bool) -> Self {
        self.settings.probe = probe;
        self
    }

    /// How much of a response body that was dropped early is read on, in bytes and in time, to save its
    /// connection.
    ///
    /// A body that announces more is not read at all. Zero bytes close the connection at once. Defaults to
    /// 64 KiB and 20 ms, about what opening a connection to another region costs; Go allows 256 KiB and
    /// 50 ms.
    pub fn drain_limit(mut self, bytes: u64, time: Duration) -> Self {
        self.settings.drain_limit = DrainLimit { bytes, time };
        self
    }

    /// Builds the pool.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] that names the setting that makes no sense: a connect timeout of zero, with which
    /// no connection could ever be opened.
    pub fn build(self) -> Result<Pool<C>, BuildError> {
        if self.settings.connect_timeout == Some(Duration::ZERO) {
            return Err(BuildError::new("connect_timeout", "with zero nothing could be opened"));
        }
        Ok(Pool::with_settings(self.connector, self.settings))
    }
}
