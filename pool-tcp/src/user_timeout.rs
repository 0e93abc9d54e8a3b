//! `TCP_USER_TIMEOUT`: the kernel closes a connection on which what was sent has not been acknowledged for so long.
//!
//! Without it the kernel sends again for a quarter of an hour. But it counts a peer that is alive, and whose window is shut
//! because it does not read, as silent: so the timeout is lifted as long as the pool says that an upload is under way.

use std::time::Duration;

/// Small, because every connection has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserTimeout {
    /// In milliseconds, as the kernel counts; zero for none.
    limit: u32,
    lifted: bool,
}

impl UserTimeout {
    /// None, and zero, leave it to the kernel.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        let millis = |limit: Duration| u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
        let limit = limit.filter(|limit| !limit.is_zero()).map_or(0, millis);
        Self { limit, lifted: false }
    }

    /// Sets the option of a socket that was just opened.
    pub(crate) fn apply(self, socket: &tokio::net::TcpStream) {
        if self.limit > 0 {
            set(socket, self.limit);
        }
    }

    #[inline]
    pub(crate) fn is_lifted(self) -> bool {
        self.lifted
    }

    /// Lifts the timeout while an upload is under way.
    #[inline]
    pub(crate) fn follow(&mut self, uploading: bool, socket: &tokio::net::TcpStream) {
        if self.lifted != uploading {
            self.change(uploading, socket);
        }
    }

    #[cold]
    fn change(&mut self, lifted: bool, socket: &tokio::net::TcpStream) {
        self.lifted = lifted;
        if self.limit > 0 {
            set(socket, if lifted { 0 } else { self.limit });
        }
    }
}

impl Default for UserTimeout {
    fn default() -> Self {
        Self::new(Some(Duration::from_secs(30)))
    }
}

/// A kernel that does not know the option has connections all the same.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn set(socket: &tokio::net::TcpStream, millis: u32) {
    let timeout = Duration::from_millis(millis.into());
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(timeout)).ok();
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn set(_: &tokio::net::TcpStream, _: u32) {}
