//! What makes two peers of TCP different: where they are, and by which way they are reached.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::sync::Arc;

/// A socket address, and the way there: for one pool that reaches servers by several ways.
///
/// The source, the interface and the mark are part of the address, so connections by different ways are never mixed, and
/// limits and statistics are those of each. What an address leaves open the [`Builder`](crate::Builder) of the connector
/// decides. Taken by a connector that is [`routed`](crate::TcpConnector::routed).
///
/// # Examples
///
/// ```
/// use pool_tcp::TcpAddress;
///
/// let address = TcpAddress::new("192.0.2.1:80".parse()?).with_source("127.0.0.2".parse()?);
/// assert_eq!(format!("{address:?}"), "192.0.2.1:80 from 127.0.0.2");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TcpAddress {
    socket: SocketAddr,
    way: Way,
}

/// How a peer is reached; what is not set is left to the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) source: Option<IpAddr>,
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) interface: Option<Arc<str>>,
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) mark: Option<u32>,
}

impl TcpAddress {
    /// A peer, by the way that the connector chooses.
    pub fn new(socket: SocketAddr) -> Self {
        Self { socket, way: Way::default() }
    }

    /// From this address of ours. One of the other family than the peer's is an error when connecting.
    #[must_use]
    pub fn with_source(mut self, source: IpAddr) -> Self {
        self.way.source = Some(source);
        self
    }

    /// Through this interface; see [`Builder::interface`](crate::Builder::interface). Android and Linux only.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[must_use]
    pub fn with_interface(mut self, name: impl Into<Arc<str>>) -> Self {
        self.way.interface = Some(name.into());
        self
    }

    /// With this mark on each packet; see [`Builder::mark`](crate::Builder::mark). Android and Linux only.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    #[must_use]
    pub fn with_mark(mut self, mark: u32) -> Self {
        self.way.mark = Some(mark);
        self
    }

    /// Where the peer is.
    pub fn socket(&self) -> SocketAddr {
        self.socket
    }

    pub(crate) fn way(&self) -> &Way {
        &self.way
    }

    /// The address of ours that it is reached from, if this address decides that.
    pub fn source(&self) -> Option<IpAddr> {
        self.way.source
    }
}

impl From<SocketAddr> for TcpAddress {
    fn from(socket: SocketAddr) -> Self {
        Self::new(socket)
    }
}

impl Debug for TcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.socket)?;
        if let Some(source) = self.way.source {
            write!(f, " from {source}")?;
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        {
            if let Some(interface) = &self.way.interface {
                write!(f, " through {interface}")?;
            }
            if let Some(mark) = self.way.mark {
                write!(f, " with mark {mark}")?;
            }
        }
        Ok(())
    }
}

/// What a [`TcpConnector`](crate::TcpConnector) takes for an address: a [`SocketAddr`] or a [`TcpAddress`].
pub trait Peer: Clone + Eq + Hash + Debug + Send + Sync + 'static + sealed::Sealed {}

impl Peer for SocketAddr {}
impl Peer for TcpAddress {}

pub(crate) mod sealed {
    use std::net::SocketAddr;

    use super::TcpAddress;

    pub trait Sealed {
        fn peer(&self) -> SocketAddr;
        fn routed(&self) -> Option<&TcpAddress>;
    }

    impl Sealed for SocketAddr {
        #[inline]
        fn peer(&self) -> SocketAddr {
            *self
        }

        #[inline]
        fn routed(&self) -> Option<&TcpAddress> {
            None
        }
    }

    impl Sealed for TcpAddress {
        fn peer(&self) -> SocketAddr {
            self.socket
        }

        fn routed(&self) -> Option<&TcpAddress> {
            Some(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_by_different_ways_are_different_and_named_so() {
        let direct = TcpAddress::new("192.0.2.1:80".parse().unwrap());
        let from = direct.clone().with_source("127.0.0.2".parse().unwrap());
        assert_ne!(direct, from);
        assert_eq!(format!("{direct:?} {from:?}"), "192.0.2.1:80 192.0.2.1:80 from 127.0.0.2");
        #[cfg(target_os = "linux")]
        {
            let far = from.clone().with_interface("eth1").with_mark(7);
            assert_ne!(far, from);
            assert_ne!(far, far.clone().with_mark(8));
            let text = "192.0.2.1:80 from 127.0.0.2 through eth1 with mark 7";
            assert_eq!(format!("{far:?}"), text);
        }
    }
}
