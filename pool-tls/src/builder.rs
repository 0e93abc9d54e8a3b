//! The settings of a TLS connector, each with its default and the reason for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pool_core::Connector;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{HTTP_2, Parts};
use crate::connector::TlsConnector;
use crate::error::BoxError;
use crate::options::Options;
use crate::{TlsAddress, TlsFacts};

/// Sets up a [`TlsConnector`]. Made by [`TlsConnector::builder`].
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<C: Connector> {
    inner: C,
    parts: Parts,
    http2: bool,
    options: Options<C::Address>,
}

impl<C: Connector> Builder<C> {
    pub(crate) fn new(inner: C, provider: CryptoProvider) -> Self {
        let parts = Parts::new(Arc::new(provider));
        Self { inner, parts, http2: true, options: Options::default() }
    }

    /// Trusts these roots, and no others. Defaults to Mozilla's, compiled in.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.parts.roots = roots;
        self
    }

    /// Trusts these roots as well.
    ///
    /// # Errors
    ///
    /// When one of them is no certificate.
    pub fn extra_roots(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, rustls::Error> {
        for root in roots {
            self.parts.roots.add(root)?;
        }
        Ok(self)
    }

    /// Has the caller's own code decide which certificates are good; the roots then count for nothing. Defaults to
    /// none: rustls verifies certificates against the roots.
    pub fn verifier(mut self, verifier: Arc<dyn ServerCertVerifier>) -> Self {
        self.parts.verifier = Some(verifier);
        self
    }

    /// Shows servers that ask for it this certificate, the chain beginning with the one of the key. Defaults to
    /// none.
    pub fn client_certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        self.parts.client = Some((chain, key));
        self
    }

    /// Whether `h2` is offered in ALPN beside `http/1.1`. Defaults to true; a pool that is set not to speak HTTP/2
    /// turns it off by itself.
    pub fn http2(mut self, offer: bool) -> Self {
        self.http2 = offer;
        self
    }

    /// Whether the secrets of each connection are written to the file named by `SSLKEYLOGFILE`, with which Wireshark
    /// reads along. Defaults to false: the file decrypts the traffic.
    pub fn key_log(mut self, log: bool) -> Self {
        self.parts.key_log = log;
        self
    }

    /// How long a handshake may take once the inner stream is there; `None` for as long as the connect timeout of
    /// the pool allows, which covers both.
    ///
    /// After that connecting fails with a [`HandshakeError`](crate::HandshakeError) that
    /// [says so](crate::HandshakeError::is_timeout). Defaults to `None`. Go allows 10 s.
    pub fn handshake_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.handshake_timeout = timeout.into();
        self
    }

    /// Whether the session tickets of each address are kept apart, so that each backend behind one name is offered
    /// its own. Defaults to true, as in nginx and HAProxy; an address keeps up to 48 tickets, at about two
    /// kilobytes for each, so that connections which open at once are resumed too. Else rustls keeps eight for a name.
    pub fn tickets_by_address(mut self, apart: bool) -> Self {
        self.options.tickets_by_address = apart;
        self
    }

    /// Shows each server that has proved its name to a closure, which may refuse it: for pinned keys, or names within a
    /// certificate that TLS does not look at. Defaults to none.
    ///
    /// It is called after each handshake, resumed or not, before a request is written, and holds up the connect as long as it
    /// runs. The server has been shown the client certificate by then, if there is one. A server that is refused is told good-bye, and connecting fails with a
    /// [`HandshakeError`](crate::HandshakeError) that [says so](crate::HandshakeError::is_refused) in the words of the
    /// closure, which counts against the address like every failed handshake.
    ///
    /// # Examples
    ///
    /// ```
    /// use pool_tcp::TcpConnector;
    /// use pool_tls::TlsConnector;
    ///
    /// fn pinned(key: &'static [u8]) -> Result<TlsConnector<TcpConnector>, pool_tls::rustls::Error> {
    ///     TlsConnector::builder(TcpConnector::new())
    ///         .check_server(move |_, facts| match facts.certificates() {
    ///             [own, ..] if own.as_ref() == key => Ok(()),
    ///             _ => Err("not the certificate that is pinned"),
    ///         })
    ///         .build()
    /// }
    /// # drop(pinned);
    /// ```
    pub fn check_server<E: Into<BoxError>>(
        mut self,
        check: impl Fn(&TlsAddress<C::Address>, &TlsFacts) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.options.set_check(check);
        self
    }

    /// Has the operating system decide which certificates are good, as it does for its own programs: its roots, and what its
    /// administrator has added or withdrawn. The roots of this builder then count for nothing. On Linux and the BSDs it reads
    /// the usual files, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, once, now.
    ///
    /// With the feature `platform-verifier`.
    ///
    /// # Errors
    ///
    /// When the system has no roots that can be read.
    #[cfg(feature = "platform-verifier")]
    pub fn platform_verifier(self) -> Result<Self, rustls::Error> {
        let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&self.parts.provider))?;
        Ok(self.verifier(Arc::new(verifier)))
    }

    /// Builds the connector.
    ///
    /// # Errors
    ///
    /// When the key does not fit its certificate, or the provider cannot be used.
    pub fn build(self) -> Result<TlsConnector<C>, rustls::Error> {
        let mut config: ClientConfig = self.parts.assemble()?;
        if !self.http2 {
            config.alpn_protocols.retain(|protocol| protocol != HTTP_2);
        }
        Ok(TlsConnector::from_parts(self.inner, Arc::new(config), self.options))
    }
}

impl<C: Connector + fmt::Debug> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("inner", &self.inner).finish_non_exhaustive()
    }
}
