//! One connector for every backend: so that the suite is compiled for one pool, and not for each backend once more.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use pool_core::{ConnectOptions, Connected, Connector, Fault, Resolving, Target, async_trait};
use pool_tls::TlsAddress;

use super::{AnyStream, boxed};

/// Opens streams to the servers of any backend.
// A type of its own: the compiler does not see that a future over the trait object with its many parts can be sent.
pub struct AnyConnector(Box<dyn Connector<Address = Address, Stream = AnyStream>>);

impl AnyConnector {
    /// The connector of a backend as one of any.
    pub fn new(inner: impl Connector) -> Self {
        Self::keeping(inner, ())
    }

    /// The same, which keeps `kept` as long as it lives.
    pub(crate) fn keeping(inner: impl Connector, kept: impl Send + Sync + 'static) -> Self {
        Self(Box::new(Erased { inner, _kept: kept }))
    }
}

impl fmt::Debug for AnyConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyConnector").finish_non_exhaustive()
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
        self.0.connect(address, options).await
    }

    fn target(&self, address: &Address) -> Target {
        self.0.target(address)
    }

    fn resolve<'a>(&'a self, address: &'a Address) -> Option<Resolving<'a>> {
        self.0.resolve(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.0.fault(error)
    }

    fn forget(&self, address: &Address) {
        self.0.forget(address);
    }
}

/// The address of a server of any backend. Its text is that of the backend's own.
#[derive(Clone)]
pub struct Address(Arc<dyn AnyAddress>);

trait AnyAddress: fmt::Debug + Send + Sync {
    fn any(&self) -> &dyn Any;
    fn is(&self, other: &Address) -> bool;
    fn feed(&self, state: &mut dyn Hasher);
}

impl<A: Eq + Hash + fmt::Debug + Send + Sync + 'static> AnyAddress for A {
    fn any(&self) -> &dyn Any {
        self
    }

    fn is(&self, other: &Address) -> bool {
        other.get() == Some(self)
    }

    fn feed(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }
}

impl Address {
    /// An address of some backend.
    pub fn new(address: impl Eq + Hash + fmt::Debug + Send + Sync + 'static) -> Self {
        Self(Arc::new(address))
    }

    /// The address as that of one backend; none if it is of another.
    pub fn get<A: 'static>(&self) -> Option<&A> {
        self.0.any().downcast_ref()
    }

    /// The address of the server's socket.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn socket(&self) -> SocketAddr {
        let over_tls = || self.get::<TlsAddress<SocketAddr>>().map(TlsAddress::inner);
        let socket = self.get().or_else(over_tls).copied();
        socket.unwrap_or_else(|| panic!("{self:?} has no address of TCP"))
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(other)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.feed(state);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

struct Erased<C, K> {
    inner: C,
    _kept: K,
}

fn of<C: Connector>(address: &Address) -> &C::Address {
    address.get().unwrap_or_else(|| panic!("{address:?} is an address of another backend"))
}

#[async_trait]
impl<C: Connector, K: Send + Sync + 'static> Connector for Erased<C, K> {
    type Address = Address;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        self.inner.connect(of::<C>(address), options).await.map(boxed)
    }

    fn target(&self, address: &Address) -> Target {
        self.inner.target(of::<C>(address))
    }

    fn resolve<'a>(&'a self, address: &'a Address) -> Option<Resolving<'a>> {
        self.inner.resolve(of::<C>(address))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }

    fn forget(&self, address: &Address) {
        self.inner.forget(of::<C>(address));
    }
}
