//! Certificates: those that are shown to clients, and those that upstreams are believed by.

use std::path::Path;
use std::sync::Arc;

use pooled_fetch::pool_tls::rustls::ServerConfig;
use pooled_fetch::pool_tls::rustls::crypto::ring;
use pooled_fetch::pool_tls::rustls::pki_types::pem::PemObject;
use pooled_fetch::pool_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::BoxError;

/// All that stand in a file.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| format!("{}: {error}", file.display()))?;
    if certificates.is_empty() {
        return Err(format!("{}: no certificate in it", file.display()).into());
    }
    Ok(certificates)
}

/// Ends the TLS of clients, which choose between HTTP/1 and HTTP/2 by it.
pub(crate) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, BoxError> {
    let chain = certificates(cert)?;
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
