//! Opens streams to servers of every kind.

use std::io;
use std::sync::Arc;

use pool_core::{ConnectOptions, Connected, Connector, Fault, Resolving, Target, async_trait};
#[cfg(unix)]
use pool_tcp::UnixConnector;
use pool_tcp::{NamesConnector, Resolve, SystemResolver};
use pool_tls::TlsConnector;

use super::address::{Endpoint, Kind};
use super::stream::EndpointStream;

/// Opens streams to [`Endpoint`]s: in the clear, over TLS, behind Unix sockets, by name or by number. One pool over it has
/// one set of limits for all of them.
///
/// # Examples
///
/// ```no_run
/// use pooled_fetch::{Endpoint, EndpointConnector, FullBytes, Pool};
///
/// # async fn get() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder(EndpointConnector::default()).max_connections(100).build()?;
/// let uri: http::Uri = "https://example.com/".parse()?;
/// let request = http::Request::get(&uri).body(FullBytes::default())?;
/// let response = pool.http(&Endpoint::of_uri(&uri)?, request).await?;
/// println!("{}", response.status());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct EndpointConnector<R: Resolve = SystemResolver> {
    names: Arc<NamesConnector<R>>,
    tls: TlsConnector<Arc<NamesConnector<R>>>,
    #[cfg(unix)]
    unix: UnixConnector,
}

impl<R: Resolve> EndpointConnector<R> {
    /// Names that `names` knows, and TLS that trusts Mozilla's roots.
    pub fn new(names: NamesConnector<R>) -> Self {
        Self::with_tls(names, TlsConnector::new)
    }

    /// As [`new`](Self::new), with TLS as `tls` makes it over the connector that it is given.
    ///
    /// # Examples
    ///
    /// ```
    /// use pooled_fetch::EndpointConnector;
    /// use pooled_fetch::pool_tcp::NamesConnector;
    /// use pooled_fetch::pool_tls::TlsConnector;
    ///
    /// # fn connector(config: std::sync::Arc<pool_tls::rustls::ClientConfig>) {
    /// let names = NamesConnector::default();
    /// let connector = EndpointConnector::with_tls(names, |tcp| TlsConnector::with_config(tcp, config));
    /// # drop(connector) }
    /// ```
    pub fn with_tls(
        names: NamesConnector<R>,
        tls: impl FnOnce(Arc<NamesConnector<R>>) -> TlsConnector<Arc<NamesConnector<R>>>,
    ) -> Self {
        let names = Arc::new(names);
        Self {
            tls: tls(Arc::clone(&names)),
            names,
            #[cfg(unix)]
            unix: UnixConnector::default(),
        }
    }
}

impl Default for EndpointConnector {
    fn default() -> Self {
        Self::new(NamesConnector::default())
    }
}

#[async_trait]
impl<R: Resolve> Connector for EndpointConnector<R> {
    type Address = Endpoint;
    type Stream = EndpointStream;

    async fn connect(
        &self,
        address: &Endpoint,
        options: &ConnectOptions,
    ) -> io::Result<Connected<EndpointStream>> {
        Ok(match &address.0 {
            Kind::Http(name) => {
                self.names.connect(name, options).await?.map_stream(EndpointStream::http)
            }
            // Boxed, so that dials in the clear do not carry the size of a handshake.
            Kind::Https(address) => {
                let connected = Box::pin(self.tls.connect(address, options)).await?;
                connected.map_stream(EndpointStream::https)
            }
            #[cfg(unix)]
            Kind::Unix(path) => {
                self.unix.connect(path, options).await?.map_stream(EndpointStream::unix)
            }
        })
    }

    fn resolve<'a>(&'a self, address: &'a Endpoint) -> Option<Resolving<'a>> {
        match &address.0 {
            Kind::Http(name) => self.names.resolve(name),
            Kind::Https(address) => self.tls.resolve(address),
            #[cfg(unix)]
            Kind::Unix(_) => None,
        }
    }

    fn target(&self, address: &Endpoint) -> Target {
        match &address.0 {
            Kind::Http(name) => self.names.target(name),
            Kind::Https(address) => self.tls.target(address),
            #[cfg(unix)]
            Kind::Unix(path) => self.unix.target(path),
        }
    }

    fn fault(&self, error: &io::Error) -> Fault {
        self.tls.fault(error)
    }

    fn forget(&self, address: &Endpoint) {
        if let Kind::Https(address) = &address.0 {
            self.tls.forget(address);
        }
    }
}
