//! Opens TCP connections to what a name stands for.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::uri::Authority;
use pool_core::{
    ConnectOptions, Connected, Connector, Fault, Resolved, Resolving, Target, async_trait,
};
use tokio::time::timeout;

use super::name::Name;
use super::resolve::{Resolve, SystemResolver};
use crate::connector::TcpConnector;
use crate::stream::TcpStream;

/// Opens plain TCP connections to hosts by name, or by number.
///
/// The pool tries the addresses behind a name one after the other, the families in turn, the next beside the one before
/// after 250 ms (RFC 8305), each under its limits; see [`Connector::resolve`]. Idle connections to any of them serve the name. `localhost` and the names below it are
/// this machine, without asking a resolver (RFC 6761 6.3).
///
/// # Examples
///
/// ```no_run
/// use pool_core::Pool;
/// use pool_tcp::{Name, NamesConnector};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = Pool::new(NamesConnector::default());
/// let name: Name = "example.com:80".parse()?;
/// let response = pool.http(&name, http::Request::get("/").body(String::new())?).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct NamesConnector<R = SystemResolver> {
    resolver: R,
    tcp: TcpConnector,
    timeout: Option<Duration>,
}

/// Half of the connect timeout of a pool, so that there is time left to connect.
const TIMEOUT: Duration = Duration::from_secs(5);

impl<R: Resolve> NamesConnector<R> {
    /// Names that `resolver` answers for.
    pub fn new(resolver: R) -> Self {
        Self { resolver, tcp: TcpConnector::new(), timeout: Some(TIMEOUT) }
    }

    /// Opens the connections with the options of this connector.
    #[must_use]
    pub fn with_tcp(mut self, tcp: TcpConnector) -> Self {
        self.tcp = tcp;
        self
    }

    /// How long the resolver may take; `None` for as long as the connect timeout of the pool allows. Defaults to 5 s, half
    /// of that timeout.
    #[must_use]
    pub fn with_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    async fn answer(&self, name: &Name, host: &str) -> io::Result<Resolved> {
        if name.is_localhost() {
            let here = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Resolved::interleaved(here.map(|ip| SocketAddr::new(ip, name.port()))));
        }
        let asked = self.resolver.resolve(host, name.port());
        let answer = match self.timeout {
            None => asked.await,
            Some(limit) => timeout(limit, asked).await.unwrap_or_else(|_| {
                let why = format!("the resolver has not answered for {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }),
        };
        match answer {
            Ok(answer) if answer.addresses.is_empty() => {
                let why = format!("resolving {host}: the name has no address");
                Err(io::Error::new(io::ErrorKind::NotFound, why))
            }
            Ok(answer) => Ok(answer),
            Err(error) => {
                let step = Step { name: host.to_owned(), error };
                Err(io::Error::new(step.error.kind(), step))
            }
        }
    }

    /// Connects to the first address that can be reached, one after the other.
    async fn connect_in_turn(
        &self,
        addresses: &[SocketAddr],
        options: &ConnectOptions,
    ) -> io::Result<Connected<TcpStream>> {
        let mut failed = None;
        for address in addresses {
            match self.tcp.connect(address, options).await {
                Ok(connected) => return Ok(connected),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

/// What went wrong with the resolver, which may be a fault of this machine.
#[derive(Debug)]
struct Step {
    name: String,
    error: io::Error,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resolving {}: {}", self.name, self.error)
    }
}

impl Error for Step {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

impl Default for NamesConnector {
    fn default() -> Self {
        Self::new(SystemResolver::new())
    }
}

#[async_trait]
impl<R: Resolve> Connector for NamesConnector<R> {
    type Address = Name;
    type Stream = TcpStream;

    async fn connect(
        &self,
        name: &Name,
        options: &ConnectOptions,
    ) -> io::Result<Connected<TcpStream>> {
        if let Some(address) = options.peer.or(name.number()) {
            let connected = self.tcp.connect(&address, options).await?;
            // With fast open a connect may end before any packet has left.
            if !self.tcp.opens_fast() {
                options.reached_peer();
            }
            return Ok(connected);
        }
        // Over a connector that passes on no answer, or called by hand.
        let host = name.host();
        let answer = self.answer(name, &host).await?;
        self.connect_in_turn(&answer.addresses, options).await
    }

    fn resolve<'a>(&'a self, name: &'a Name) -> Option<Resolving<'a>> {
        let host = name.to_resolve()?;
        Some(Box::pin(self.answer(name, host)))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.tcp.fault(error)
    }

    fn target(&self, name: &Name) -> Target {
        match name.number() {
            Some(address) => self.tcp.target(&address),
            None => {
                let authority = Authority::try_from(name.to_string());
                Target::http(authority.unwrap_or_else(|_| Authority::from_static("localhost")))
            }
        }
    }
}
