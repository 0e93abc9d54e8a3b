//! What answers for names.

use std::io;
use std::time::Duration;

use pool_core::{Resolved, async_trait};

/// Answers with the socket addresses behind a name.
///
/// # Examples
///
/// Names that a program knows by itself:
///
/// ```
/// use std::collections::HashMap;
/// use std::io;
/// use std::net::{IpAddr, SocketAddr};
///
/// use pool_core::{Resolved, async_trait};
/// use pool_tcp::{NamesConnector, Resolve};
///
/// struct Table(HashMap<String, Vec<IpAddr>>);
///
/// #[async_trait]
/// impl Resolve for Table {
///     async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved> {
///         let numbers = self.0.get(host).ok_or(io::ErrorKind::NotFound)?;
///         Ok(Resolved::interleaved(numbers.iter().map(|number| SocketAddr::new(*number, port))))
///     }
/// }
/// # drop(pool_core::Pool::new(NamesConnector::new(Table(HashMap::new()))));
/// ```
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses behind `host`, a name in ASCII, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the caller adds the name. No address at all is an error too.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await, when it takes too long.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved>;
}

/// The resolver of the system, `getaddrinfo`, which knows the hosts file and whatever else the system asks.
///
/// It runs on a thread of the runtime's blocking pool, and says nothing of how long an answer is good.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver {
    good_for: Duration,
}

/// As long as Java remembers an answer of its system: a name that moves is followed soon, and a busy program asks seldom.
const GOOD_FOR: Duration = Duration::from_secs(30);

impl SystemResolver {
    /// Answers are good for 30 s.
    pub fn new() -> Self {
        Self { good_for: GOOD_FOR }
    }

    /// Says for how long an answer is good. Zero: each dial resolves anew.
    #[must_use]
    pub fn good_for(mut self, time: Duration) -> Self {
        self.good_for = time;
        self
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved> {
        let addresses = tokio::net::lookup_host((host, port)).await?;
        Ok(Resolved::interleaved(addresses).with_good_for(self.good_for))
    }
}
