//! Certificates, made afresh at each run, so that none expires and no key lies in the repository.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority that no client trusts unless it is told to.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// When a certificate is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// For as long as the tests run.
    Now,
    /// It was, in the year 2001.
    Before,
    /// It will be, in the year 2101.
    Later,
}

impl Authority {
    /// A new one, with a key of its own.
    pub fn new() -> Self {
        // Two of one name would be taken for each other until a signature proved wrong.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root certificate"))
    }

    /// Its own certificate.
    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// The same as the text that systems keep.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// What a client needs to trust it, or a server to trust its clients.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).expect("a valid root");
        roots
    }

    /// A certificate for these names, and its key.
    pub fn issue(&self, names: &[&str], valid: Valid) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(owned(names)).expect("valid names");
        let year = match valid {
            Valid::Now => None,
            Valid::Before => Some(2001),
            Valid::Later => Some(2101),
        };
        if let Some(year) = year {
            params.not_before = date_time_ymd(year, 1, 1);
            params.not_after = date_time_ymd(year, 12, 31);
        }
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { certificate, key }
    }

    /// A server that proves to be any of `names`, and speaks the `protocols` of ALPN.
    pub fn server(&self, names: &[&str], protocols: &[&str]) -> Arc<ServerConfig> {
        Arc::new(self.issue(names, Valid::Now).server(protocols, None))
    }

    /// A client that trusts it, and speaks the `protocols` of ALPN: a configuration of the caller's own.
    pub fn client(&self, protocols: &[&str], shown: Option<&Issued>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the versions of TLS that ring knows")
            .with_root_certificates(self.roots());
        let mut config = match shown {
            None => builder.with_no_client_auth(),
            Some(shown) => builder
                .with_client_auth_cert(shown.chain(), shown.key())
                .expect("a key that fits its certificate"),
        };
        config.alpn_protocols = in_bytes(protocols);
        config
    }
}

/// A certificate, and its key.
pub struct Issued {
    certificate: Certificate,
    key: KeyPair,
}

impl Issued {
    /// The certificate alone: it is signed by the root.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    /// The key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key in PKCS #8")
    }

    /// Certificate and key as the text that real servers read.
    pub fn pem(&self) -> (String, String) {
        (self.certificate.pem(), self.key.serialize_pem())
    }

    /// A server that shows it, speaks the `protocols` of ALPN, and lets in only `clients`, if any are named.
    pub fn server(&self, protocols: &[&str], clients: Option<&Authority>) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the versions of TLS that ring knows");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().expect("a root to trust"))
            }
        };
        let mut config = builder
            .with_single_cert(self.chain(), self.key())
            .expect("a key that fits its certificate");
        config.alpn_protocols = in_bytes(protocols);
        config
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().copied().map(Into::into).collect()
}

fn in_bytes(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds a key.
        f.debug_struct("Issued").finish_non_exhaustive()
    }
}
