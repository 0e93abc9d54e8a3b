//! Which certificates are believed, where it is not those of Mozilla's roots.

use std::path::Path;
use std::sync::Arc;

use pooled_fetch::pool_tls::ServerName;
use pooled_fetch::pool_tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use pooled_fetch::pool_tls::rustls::crypto::{self, CryptoProvider, ring};
use pooled_fetch::pool_tls::rustls::pki_types::pem::PemObject;
use pooled_fetch::pool_tls::rustls::pki_types::{CertificateDer, UnixTime};
use pooled_fetch::pool_tls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::BoxError;
use super::options::Options;

/// None for the roots that are compiled in.
pub(crate) fn config(options: &Options) -> Result<Option<Arc<ClientConfig>>, BoxError> {
    if options.ca.is_none() && !options.insecure {
        return Ok(None);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match &options.ca {
        Some(file) => builder.with_root_certificates(roots(file)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn roots(file: &Path) -> Result<RootCertStore, BoxError> {
    let told = |error: &dyn ToString| format!("{}: {}", file.display(), error.to_string());
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(file).map_err(|error| told(&error))? {
        roots.add(root.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
    }
    if roots.is_empty() {
        return Err(told(&"no certificate in it").into());
    }
    Ok(roots)
}

/// Asks for a key that fits the certificate, and not for whom it was made.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
