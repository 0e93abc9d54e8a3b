//! The rustls configurations that this crate makes itself.
//!
//! What must hold: the provider is named, never the process default, which another part of the program may set,
//! or not, at any time.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, KeyLogFile, RootCertStore};

use crate::sessions::Sessions;

pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

pub(crate) const HTTP_2: &[u8] = b"h2";

/// Mozilla's roots, as compiled in.
pub(crate) fn webpki_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// The provider that the crate was compiled with; ring, if there is a choice.
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(crate) fn compiled_in() -> CryptoProvider {
    #[cfg(feature = "ring")]
    return rustls::crypto::ring::default_provider();
    #[cfg(not(feature = "ring"))]
    rustls::crypto::aws_lc_rs::default_provider()
}

/// What a configuration is made of.
pub(crate) struct Parts {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) roots: RootCertStore,
    pub(crate) verifier: Option<Arc<dyn ServerCertVerifier>>,
    pub(crate) client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    pub(crate) key_log: bool,
}

impl Parts {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, roots: webpki_roots(), verifier: None, client: None, key_log: false }
    }

    /// The configuration, which offers HTTP/2 and HTTP/1.1.
    pub(crate) fn assemble(self) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(self.provider)
            .with_safe_default_protocol_versions()?;
        let builder = match self.verifier {
            Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
            None => builder.with_root_certificates(self.roots),
        };
        let mut config = match self.client {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()];
        if self.key_log {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(config)
    }
}

/// The same configuration with a session store of its own.
pub(crate) fn with_own_sessions(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.resumption = Resumption::store(Arc::<Sessions>::default());
    config
}

#[cfg(test)]
#[cfg(feature = "ring")]
mod tests {
    use rustls::crypto::CryptoProvider;

    use super::*;

    fn parts() -> Parts {
        Parts::new(Arc::new(compiled_in()))
    }

    #[test]
    fn our_configurations_offer_http_2_and_http_1_1() {
        assert_eq!(parts().assemble().unwrap().alpn_protocols, [HTTP_2, HTTP_1_1]);
    }

    #[test]
    fn a_configuration_neither_needs_nor_sets_the_process_default() {
        assert!(CryptoProvider::get_default().is_none());
        parts().assemble().unwrap();
        assert!(CryptoProvider::get_default().is_none());
    }

    #[test]
    fn the_compiled_in_roots_are_there() {
        assert_eq!(webpki_roots().len(), webpki_roots::TLS_SERVER_ROOTS.len());
        assert!(!webpki_roots().is_empty());
    }
}
