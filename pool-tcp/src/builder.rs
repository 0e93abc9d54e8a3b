//! The settings of a TCP connector, each with its default and the reason for it.

use std::time::Duration;

use crate::connector::{Options, TcpConnector};
use crate::user_timeout::UserTimeout;

/// Sets up a [`TcpConnector`]. Made by [`TcpConnector::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// How long a connection is idle before the kernel asks its peer for a sign of life, with TCP keep-alive; `None` for
    /// never.
    ///
    /// The path to a server may forget a connection without a word, as firewalls do. A connection whose peer gives no
    /// sign of life closes while it is idle, and so costs no request; the probes also keep a path from forgetting it.
    /// The kernel counts in whole seconds; less than one, zero included, counts as one. Defaults to 15 s, as in Go's
    /// `net` package.
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.options.keep_alive.time = time.into();
        self
    }

    /// How long after a probe without an answer the next one follows. Counted as in [`keep_alive`](Self::keep_alive).
    ///
    /// Defaults to 15 s, as in Go's `net` package. OpenBSD has an interval of its own.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive.interval = interval;
        self
    }

    /// After how many probes without an answer the connection closes; zero counts as one.
    ///
    /// Defaults to 3, as in reqwest: an idle connection whose path is dead is found after a minute; with the 9 of Go it
    /// would take two and a half. On Linux the [user timeout](Self::user_timeout) ends the probes earlier if it is shorter: with the
    /// defaults after half a minute. OpenBSD has a number of its own.
    pub fn keep_alive_probes(mut self, probes: u32) -> Self {
        self.options.keep_alive.probes = probes;
        self
    }

    /// How long the peer may leave what was sent to it unacknowledged, before the kernel closes the connection; `None`,
    /// or zero, for as long as the kernel has it, which is about a quarter of an hour.
    ///
    /// A request over a connection that its path has forgotten fails after this time, and those that had been idle as long
    /// close with it. It does not hold while a streaming or large request body goes out over HTTP/1, nor after that until
    /// the connection carries a small request or is parked: the kernel counts a server that is alive, but does not read for
    /// a while, as silent. Nor does it hold for a tunnel. Counted in milliseconds. Has an effect on Linux and Android only. Defaults to 30 s, as in
    /// reqwest.
    pub fn user_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.user_timeout = UserTimeout::new(timeout.into());
        self
    }

    /// Builds the connector.
    pub fn build(self) -> TcpConnector {
        TcpConnector::from_options(self.options)
    }
}
