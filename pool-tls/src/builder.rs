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
use crate::connector::{Options, TlsConnector};

/// Sets up a [`TlsConnector`]. Made by [`TlsConnector::builder`].
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<C> {
    inner: C,
    parts: Parts,
    http2: bool,
    options: Options,
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

impl<C: fmt::Debug> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("inner", &self.inner).finish_non_exhaustive()
    }
}
