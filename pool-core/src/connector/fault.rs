//! On whose side a connect has failed: an error of this machine says nothing of the address.

use std::error::Error as StdError;
use std::io;

/// On whose side a connect has failed; see [`Connector::fault`](crate::Connector::fault).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// On the side of the address, or on the way there. Three in a row, and the address fails; see
    /// [`Builder::backoff`](crate::Builder::backoff).
    Peer,
    /// On this machine: it has no buffers, memory or ports, its network is down or lacks the family of the address, or it does
    /// not permit the connection. Never held against the address.
    Machine,
    /// In this program: the tokio runtime lacks what the connector needs, as a socket needs the I/O driver. Never held
    /// against the address, and told as [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime).
    Runtime,
    /// On this machine: the process, or the system, has no descriptor left. The connection that has been idle longest
    /// is closed, to any address, and its descriptor used for one more try.
    Descriptors,
}

impl Fault {
    /// What the code of the system says, which may lie deep in the chain of causes; [`Peer`](Self::Peer) if there is
    /// none.
    ///
    /// A kind without a code is a connector's own word, as a proxy that says "permission denied", so only codes count.
    pub fn of(error: &io::Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            cause = match error.downcast_ref::<io::Error>() {
                None => error.source(),
                Some(error) => match error.raw_os_error() {
                    Some(code) => return Self::of_code(code, error.kind()),
                    // Its source would be that of the error within.
                    None => match error.get_ref() {
                        Some(inner) => Some(inner),
                        None => None,
                    },
                },
            };
        }
        Self::Peer
    }

    fn of_code(code: i32, kind: io::ErrorKind) -> Self {
        use io::ErrorKind::{
            AddrInUse, AddrNotAvailable, NetworkDown, OutOfMemory, PermissionDenied, StorageFull,
        };
        match kind {
            _ if NO_DESCRIPTORS.contains(&code) => Self::Descriptors,
            _ if OF_THIS_MACHINE.contains(&code) => Self::Machine,
            AddrInUse | AddrNotAvailable | OutOfMemory | PermissionDenied => Self::Machine,
            // The interface is down, or epoll watches as many sockets as it may.
            NetworkDown | StorageFull => Self::Machine,
            _ => Self::Peer,
        }
    }
}

// The standard library has no kinds for these.

/// `ENFILE` and `EMFILE`, the same in every Unix; `WSAEMFILE`.
const NO_DESCRIPTORS: &[i32] = if cfg!(windows) { &[10_024] } else { &[23, 24] };

/// `ENOBUFS`, and `EAFNOSUPPORT`, as of a machine without IPv6.
const OF_THIS_MACHINE: &[i32] = if cfg!(windows) {
    &[10_055, 10_047]
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    &[105, 97]
} else {
    &[55, 47]
};

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error of a connector over another, such as of TLS.
    #[derive(Debug)]
    struct Step(io::Error);

    impl fmt::Display for Step {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a step")
        }
    }

    impl StdError for Step {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&self.0)
        }
    }

    /// The code as the system gives it, and wrapped by connectors.
    fn faults(code: i32) -> [Fault; 4] {
        let bare = || io::Error::from_raw_os_error(code);
        [
            bare(),
            io::Error::other(bare()),
            io::Error::new(io::ErrorKind::ConnectionAborted, Step(bare())),
            io::Error::other(io::Error::other(Step(io::Error::other(bare())))),
        ]
        .map(|error| Fault::of(&error))
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_code_is_found_however_deep_it_lies() {
        for (code, fault) in [
            (24, Fault::Descriptors), // EMFILE
            (23, Fault::Descriptors), // ENFILE
            (105, Fault::Machine),    // ENOBUFS
            (12, Fault::Machine),     // ENOMEM
            (99, Fault::Machine),     // EADDRNOTAVAIL
            (98, Fault::Machine),     // EADDRINUSE
            (1, Fault::Machine),      // EPERM
            (13, Fault::Machine),     // EACCES
            (28, Fault::Machine),     // ENOSPC
            (97, Fault::Machine),     // EAFNOSUPPORT
            (100, Fault::Machine),    // ENETDOWN
            (101, Fault::Peer),       // ENETUNREACH
            (111, Fault::Peer),       // ECONNREFUSED
            (110, Fault::Peer),       // ETIMEDOUT
            (113, Fault::Peer),       // EHOSTUNREACH
            (104, Fault::Peer),       // ECONNRESET
        ] {
            assert_eq!(faults(code), [fault; 4], "{code}");
        }
    }

    #[test]
    fn a_word_without_a_code_is_that_of_the_peer() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ConnectionRefused] {
            assert_eq!(Fault::of(&kind.into()), Fault::Peer);
        }
        assert_eq!(Fault::of(&io::Error::other("no such server")), Fault::Peer);
    }
}
