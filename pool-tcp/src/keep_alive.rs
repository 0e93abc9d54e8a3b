//! TCP keep-alive: the kernel asks an idle peer for a sign of life, and closes the connection when none comes.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// The kernel counts in whole seconds, and Linux takes no more.
const LONGEST: Duration = Duration::from_secs(32_767);
const SHORTEST: Duration = Duration::from_secs(1);

/// As for the times, on Linux.
const MOST: u32 = 127;

#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    /// How long a connection is idle before the first probe; none if it is never probed.
    pub(crate) time: Option<Duration>,
    pub(crate) interval: Duration,
    pub(crate) probes: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        let each = Duration::from_secs(15);
        Self { time: Some(each), interval: each, probes: 3 }
    }
}

impl KeepAlive {
    /// Sets the options of a socket. A system that knows one of them not has connections all the same.
    pub(crate) fn apply(self, socket: &tokio::net::TcpStream) {
        if let Some(time) = self.time {
            let keep_alive = TcpKeepalive::new().with_time(in_range(time));
            let keep_alive = self.with_probes(keep_alive);
            SockRef::from(socket).set_tcp_keepalive(&keep_alive).ok();
        }
    }

    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "windows",
    ))]
    fn with_probes(self, keep_alive: TcpKeepalive) -> TcpKeepalive {
        keep_alive.with_interval(in_range(self.interval)).with_retries(self.probes.clamp(1, MOST))
    }

    #[cfg(not(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "netbsd",
        target_os = "windows",
    )))]
    fn with_probes(self, keep_alive: TcpKeepalive) -> TcpKeepalive {
        // The system has times of its own.
        let _ = (self.interval, self.probes, MOST);
        keep_alive
    }
}

fn in_range(time: Duration) -> Duration {
    time.clamp(SHORTEST, LONGEST)
}
