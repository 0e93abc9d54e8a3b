//! The connector: open the inner stream, then shake hands over it.
//!
//! What must hold: nothing but a handshake goes over the stream before the certificate is verified. A failed handshake
//! says so, and with which name. What the inner connector knew of its stream (the socket addresses, the question to the
//! kernel) travels up unchanged.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pool_core::{ConnectOptions, Connected, Connector, Fault, Protocol, Resolving, Target};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use tokio::time::timeout;

use crate::config::HTTP_2;
use crate::error::BoxError;
use crate::known::{Known, KnownServers};
use crate::options::Options;
use crate::wire::Wire;
use crate::{Builder, HandshakeError, TlsAddress, TlsFacts, TlsStream};

/// Opens TLS streams over those of another connector.
///
/// The connect timeout of the pool covers both steps. An error of the inner connector is passed on as it
/// is; one of the handshake keeps its [`io::ErrorKind`] and is a [`HandshakeError`].
pub struct TlsConnector<C: Connector> {
    inner: C,
    config: Arc<ClientConfig>,
    known: KnownServers<C::Address>,
    options: Options<C::Address>,
}

impl<C: Connector> TlsConnector<C> {
    /// TLS over `inner`, trusting Mozilla's roots, offering HTTP/2 and HTTP/1.1.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn new(inner: C) -> Self {
        Self::with_roots(inner, crate::config::webpki_roots())
    }

    /// TLS over `inner`, trusting `roots` and no others.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn with_roots(inner: C, roots: rustls::RootCertStore) -> Self {
        let built = Self::builder(inner).roots(roots).build();
        built.expect("the compiled-in provider has cipher suites for TLS 1.2 and 1.3")
    }

    /// TLS over `inner` with settings of your own, and the cryptography that the crate was compiled with.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn builder(inner: C) -> Builder<C> {
        Builder::new(inner, crate::config::compiled_in())
    }

    /// As [`builder`](Self::builder), with cryptography of your own.
    pub fn builder_with_provider(inner: C, provider: CryptoProvider) -> Builder<C> {
        Builder::new(inner, provider)
    }

    /// TLS over `inner` with a configuration of the caller's own.
    ///
    /// The configuration is used as it is, its session store and ALPN included, unless
    /// [`with_tickets_by_address`](Self::with_tickets_by_address) says otherwise. A configuration that offers other
    /// protocols than `h2` and `http/1.1` works only with servers that choose one of those; with all others the
    /// handshake is an error.
    pub fn with_config(inner: C, config: Arc<ClientConfig>) -> Self {
        let options = Options { tickets_by_address: false, ..Options::default() };
        Self::from_parts(inner, config, options)
    }

    pub(crate) fn from_parts(
        inner: C,
        config: Arc<ClientConfig>,
        options: Options<C::Address>,
    ) -> Self {
        Self { inner, config, known: KnownServers::default(), options }
    }

    /// The same connector, but with a session store of its own for each address, as
    /// [`Builder::tickets_by_address`] has it: for a configuration of the caller's, whose own store is then not used. Sessions
    /// are resumed also where the configuration would not have it.
    #[must_use]
    pub fn with_tickets_by_address(mut self) -> Self {
        self.options.tickets_by_address = true;
        self.known = KnownServers::default();
        self
    }

    /// The same connector with a handshake timeout, as [`Builder::handshake_timeout`] has it: for a configuration of the
    /// caller's.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.handshake_timeout = timeout.into();
        self
    }

    /// The same connector with a check of servers, as [`Builder::check_server`] has it: for a configuration of the caller's.
    #[must_use]
    pub fn with_server_check<E: Into<BoxError>>(
        mut self,
        check: impl Fn(&TlsAddress<C::Address>, &TlsFacts) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.options.set_check(check);
        self
    }

    fn known(&self, address: &TlsAddress<C::Address>) -> Arc<Known> {
        match address.identity() {
            Some(own) => self.known.get(address, own.config(), own.tickets_by_address()),
            None => self.known.get(address, &self.config, self.options.tickets_by_address),
        }
    }

    /// The configuration, without HTTP/2 where that is not wanted.
    fn config_for(known: &Known, options: &ConnectOptions) -> Arc<ClientConfig> {
        let mut config = Arc::clone(&known.config);
        let offers = config.alpn_protocols.iter().any(|protocol| protocol == HTTP_2);
        if offers && !options.http2 {
            // Next to a handshake, to copy it costs nothing; the tickets are shared.
            let config = Arc::make_mut(&mut config);
            config.alpn_protocols.retain(|protocol| protocol != HTTP_2);
        }
        config
    }
}

impl<C: Connector + Clone> Clone for TlsConnector<C> {
    /// A connector with the same configuration and tickets of its own.
    fn clone(&self) -> Self {
        Self::from_parts(self.inner.clone(), Arc::clone(&self.config), self.options.clone())
    }
}

impl<C: Connector + fmt::Debug> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may hold keys, and would fill pages.
        f.debug_struct("TlsConnector").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connector> Connector for TlsConnector<C> {
    type Address = TlsAddress<C::Address>;
    type Stream = TlsStream<C::Stream>;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        let name = address.server_name();
        let known = self.known(address);
        let tls = tokio_rustls::TlsConnector::from(Self::config_for(&known, options));
        let connected = self.inner.connect(address.inner(), options).await?;
        if connected.is_forwarded() {
            let why = "a proxy that forwards requests is in the way, and TLS needs a tunnel";
            let error = io::Error::new(io::ErrorKind::Unsupported, why);
            return Err(HandshakeError::failed(name, error));
        }
        let mut connected =
            connected.map_stream(|stream| tls.connect(name.clone(), Wire::new(stream)));
        let handshake = &mut connected.stream;
        let done = match self.options.handshake_timeout {
            None => handshake.await,
            Some(limit) => match timeout(limit, handshake).await {
                Ok(done) => done,
                Err(_) => return Err(HandshakeError::timed_out(name, limit)),
            },
        };
        let stream = done.map_err(|error| HandshakeError::failed(name, error))?;
        let facts = TlsFacts::new(stream.get_ref().1, |shown| known.share(shown));
        let facts = facts.map_err(|chosen| {
            let why = format!("the server chose {chosen}, which is not spoken here");
            HandshakeError::failed(name, io::Error::new(io::ErrorKind::Unsupported, why))
        })?;
        // From here on it takes its leave as it drops.
        let stream = TlsStream::new(stream);
        if let Some(check) = &self.options.check {
            check(address, &facts).map_err(|why| HandshakeError::refused(name, why))?;
        }
        let is_http2 = facts.alpn() == Some(HTTP_2);
        let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
        let connected = connected.map_stream(|_finished| stream);
        Ok(connected.with_protocol(protocol).with_extension(facts))
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        self.inner.resolve(address.inner())
    }

    fn target(&self, address: &Self::Address) -> Target {
        let inner = self.inner.target(address.inner()).authority;
        let name = match address.server_name() {
            ServerName::IpAddress(ip) => match IpAddr::from(*ip) {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            name => name.to_str().into_owned(),
        };
        let authority = match inner.port_u16() {
            Some(port) => format!("{name}:{port}"),
            None => name,
        };
        let authority =
            authority.parse().expect("letters of a server name are letters of an authority");
        let config = address.identity().map_or(&self.config, |identity| identity.config());
        Target::https(authority)
            .with_http2(config.alpn_protocols.iter().any(|protocol| protocol == HTTP_2))
    }

    /// What the inner connector says; what lies below a handshake is found in the chain of its error.
    fn fault(&self, error: &io::Error) -> Fault {
        self.inner.fault(error)
    }

    fn forget(&self, address: &Self::Address) {
        self.known.forget(address);
        self.inner.forget(address.inner());
    }
}

#[cfg(test)]
#[cfg(feature = "ring")]
mod tests {
    use std::net::SocketAddr;

    use pool_tcp::TcpConnector;

    use super::*;

    fn address(inner: &str, name: &'static str) -> TlsAddress<SocketAddr> {
        TlsAddress::new(inner.parse().unwrap(), ServerName::try_from(name).unwrap())
    }

    fn host(inner: &str, name: &'static str) -> String {
        TlsConnector::new(TcpConnector::new()).target(&address(inner, name)).host()
    }

    #[test]
    fn the_host_is_the_name_and_the_port_unless_https_means_it() {
        assert_eq!(host("127.0.0.1:443", "example.org"), "example.org");
        assert_eq!(host("127.0.0.1:8443", "example.org"), "example.org:8443");
        assert_eq!(host("127.0.0.1:80", "example.org"), "example.org:80");
        assert_eq!(host("127.0.0.1:8443", "127.0.0.1"), "127.0.0.1:8443");
        assert_eq!(host("[::1]:443", "::1"), "[::1]");
    }

    #[test]
    fn http2_is_offered_unless_it_is_turned_off_or_not_wanted() {
        let address = address("127.0.0.1:443", "example.org");
        let offered = |connector: &TlsConnector<TcpConnector>, http2| {
            let options = ConnectOptions::new().with_http2(http2);
            let config =
                TlsConnector::<TcpConnector>::config_for(&connector.known(&address), &options);
            config.alpn_protocols.iter().any(|protocol| protocol == HTTP_2)
        };
        let offers = TlsConnector::new(TcpConnector::new());
        assert!(offered(&offers, true) && !offered(&offers, false));
        let off = TlsConnector::builder(TcpConnector::new()).http2(false).build().unwrap();
        assert!(!offered(&off, true) && !offered(&off, false));
    }

    #[test]
    fn each_address_has_tickets_of_its_own_until_it_is_forgotten() {
        let connector = TlsConnector::new(TcpConnector::new());
        let (one, two) = (address("127.0.0.1:1", "a.test"), address("127.0.0.1:2", "a.test"));
        let config = |address| Arc::clone(&connector.known(address).config);
        let first = config(&one);
        assert!(Arc::ptr_eq(&first, &config(&one)));
        assert!(!Arc::ptr_eq(&first, &config(&two)));
        connector.forget(&one);
        assert!(!Arc::ptr_eq(&first, &config(&one)));
    }
}
