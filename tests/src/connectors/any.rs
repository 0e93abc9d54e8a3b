//! One connector for every backend: so that the suite is compiled for one pool, and not for each backend once more.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use pool_core::{ConnectOptions, Connected, Connector, Fault, Target, async_trait};
use pool_tcp::TcpConnector;
use pool_tls::{TlsAddress, TlsConnector};

use super::{AnyStream, boxed};
use crate::MemoryConnector;

/// Opens streams to the servers of any backend.
#[derive(Debug)]
pub enum AnyConnector {
    /// In memory.
    Memory(MemoryConnector),
    /// Over TCP.
    Tcp(TcpConnector),
    /// Over TLS.
    Tls(Box<TlsConnector<TcpConnector>>),
    /// Over TLS in memory.
    TlsInMemory(Box<TlsConnector<MemoryConnector>>),
    /// To many servers by their number.
    Many(Vec<(Self, Address)>),
}

/// The address of a server of any backend. Its text is that of the backend's own.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// In memory.
    Memory(&'static str),
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over TLS.
    Tls(TlsAddress<SocketAddr>),
    /// Over TLS in memory.
    TlsInMemory(TlsAddress<&'static str>),
    /// One of many.
    Number(usize),
}

impl Address {
    /// The address of the server's socket.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn socket(&self) -> SocketAddr {
        match self {
            Self::Tcp(address) => *address,
            Self::Tls(address) => *address.inner(),
            Self::Memory(_) | Self::TlsInMemory(_) | Self::Number(_) => {
                panic!("{self:?} has no socket")
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(address) => address.fmt(f),
            Self::Tcp(address) => address.fmt(f),
            Self::Tls(address) => address.fmt(f),
            Self::TlsInMemory(address) => address.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

#[async_trait]
impl Connector for AnyConnector {
    type Address = Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        match (self, address) {
            (Self::Memory(connector), Address::Memory(address)) => {
                connector.connect(address, options).await
            }
            (Self::Tcp(connector), Address::Tcp(address)) => {
                connector.connect(address, options).await.map(boxed)
            }
            (Self::Tls(connector), Address::Tls(address)) => {
                connector.connect(address, options).await.map(boxed)
            }
            (Self::TlsInMemory(connector), Address::TlsInMemory(address)) => {
                connector.connect(address, options).await.map(boxed)
            }
            (Self::Many(servers), Address::Number(number)) => {
                let (connector, address) = &servers[*number];
                connector.connect(address, options).await
            }
            _ => panic!("{address:?} is an address of another backend"),
        }
    }

    fn target(&self, address: &Address) -> Target {
        match (self, address) {
            (Self::Memory(connector), Address::Memory(address)) => connector.target(address),
            (Self::Tcp(connector), Address::Tcp(address)) => connector.target(address),
            (Self::Tls(connector), Address::Tls(address)) => connector.target(address),
            (Self::TlsInMemory(connector), Address::TlsInMemory(address)) => {
                connector.target(address)
            }
            (Self::Many(servers), Address::Number(number)) => {
                let (connector, address) = &servers[*number];
                connector.target(address)
            }
            _ => panic!("{address:?} is an address of another backend"),
        }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        match self {
            Self::Tcp(connector) => connector.fault(error),
            Self::Tls(connector) => connector.fault(error),
            Self::TlsInMemory(connector) => connector.fault(error),
            Self::Memory(_) | Self::Many(_) => Fault::of(error),
        }
    }

    fn forget(&self, address: &Address) {
        if let (Self::Tls(connector), Address::Tls(address)) = (self, address) {
            connector.forget(address);
        }
    }
}
