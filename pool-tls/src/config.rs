//! The rustls configurations that this crate makes itself.
//!
//! They differ in their roots only. What must hold: the provider is named, never the process default,
//! which another part of the program may set, or not, at any time; and ALPN says `http/1.1` alone.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// The one protocol that is offered, and the only one that may be chosen.
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// Mozilla's roots, as compiled in.
pub(crate) fn webpki_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// A configuration that trusts `roots`, shows no client certificate and offers HTTP/1.1.
pub(crate) fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has cipher suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use rustls::crypto::CryptoProvider;

    use super::*;

    #[test]
    fn our_configurations_offer_http_1_1_alone() {
        assert_eq!(trusting(webpki_roots()).alpn_protocols, [HTTP_1_1]);
    }

    #[test]
    fn a_configuration_neither_needs_nor_sets_the_process_default() {
        assert!(CryptoProvider::get_default().is_none());
        trusting(RootCertStore::empty());
        assert!(CryptoProvider::get_default().is_none());
    }

    #[test]
    fn the_compiled_in_roots_are_there() {
        assert_eq!(webpki_roots().len(), webpki_roots::TLS_SERVER_ROOTS.len());
        assert!(!webpki_roots().is_empty());
    }
}
