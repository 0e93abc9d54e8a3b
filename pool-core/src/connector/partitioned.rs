//! An address with a tag, so that what has different tags shares no connection.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::io;

use async_trait::async_trait;

use super::connected::Connected;
use super::fault::Fault;
use super::open::Connector;
use super::options::ConnectOptions;
use super::resolve::Resolving;
use super::target::Target;

/// An address of one partition of a pool; see [`Partitioned`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Tagged<A, T> {
    /// Where the connection goes.
    pub address: A,
    /// Whose it is, such as a tenant. It is part of errors, so it must hold no secret.
    pub tag: T,
}

impl<A, T> Tagged<A, T> {
    /// The address, as that of `tag`.
    pub fn new(address: A, tag: T) -> Self {
        Self { address, tag }
    }
}

impl<A: Debug, T: Debug> Debug for Tagged<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.address, self.tag)
    }
}

/// A connector whose addresses have tags: two requests share a connection only where the tags are equal too.
///
/// For the tenants of a gateway, of whom none is to see what a server knows of another's connection. All partitions share the
/// limits of the pool; those for an address hold for each tag by itself.
///
/// TLS goes over it, and not below: `TlsConnector<Partitioned<_, _>>`, whose tickets are then kept for each tag.
///
/// # Examples
///
/// ```
/// # use std::net::SocketAddr;
/// # use pool_core::{Connector, Partitioned, Pool, Tagged};
/// # async fn get(tcp: impl Connector<Address = SocketAddr>, address: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::new(Partitioned::new(tcp));
/// let address = Tagged::new(address, "tenant-7");
/// let response = pool.http(&address, http::Request::get("/").body(String::new())?).await?;
/// # drop(response); Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Partitioned<C, T> {
    inner: C,
    tag: std::marker::PhantomData<fn() -> T>,
}

impl<C: Connector, T> Partitioned<C, T> {
    /// Opens the streams of `inner`.
    pub fn new(inner: C) -> Self {
        Self { inner, tag: std::marker::PhantomData }
    }
}

#[async_trait]
impl<C, T> Connector for Partitioned<C, T>
where
    C: Connector,
    T: Clone + Eq + Hash + Debug + Send + Sync + 'static,
{
    type Address = Tagged<C::Address, T>;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        self.inner.connect(&address.address, options).await
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(&address.address)
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        self.inner.resolve(&address.address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }

    /// The inner connector may keep something for other tags as well, and loses it: at worst a TLS ticket.
    fn forget(&self, address: &Self::Address) {
        self.inner.forget(&address.address);
    }
}
