//! A certificate that must be refused is refused, and the error says with which server, and why.

use std::error::Error as _;
use std::sync::Arc;

use pool_core::{Error, ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{HandshakeError, ServerName, TlsConnector};
use pooled_fetch_tests::{Authority, Server, Valid, answer, bounded, tls_endpoint};
use rustls::CertificateError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::{TlsPool, fetch, named, site, trusting};

/// Asks a server with a certificate for `site.test` for that name, or for another.
async fn refused(
    authority: &Authority,
    valid: Valid,
    name: &'static str,
    pool: &TlsPool,
) -> Refused {
    let config = authority.issue(&["site.test"], valid).server(&["h2", "http/1.1"], None);
    let (address, mut acceptor) = tls_endpoint(Arc::new(config)).await;
    let peer = named(address, name);
    let error = tokio::select! {
        error = fetch(pool, &peer) => error.expect_err("the certificate is not good"),
        _ = acceptor.accept() => panic!("the client believed it"),
    };
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.evidence().is_unsent());
    let step = format!("connecting to {name} ({address}): TLS handshake with {name}: ");
    let told = error.to_string();
    let why =
        told.strip_prefix(&step).unwrap_or_else(|| panic!("names the peer and the step: {told}"));
    let cause = cause(&error).clone();
    Refused { why: why.to_owned(), cause }
}

/// What the error says after it has named the peer, and what rustls says.
struct Refused {
    why: String,
    cause: rustls::Error,
}

fn cause(error: &Error) -> &rustls::Error {
    let inner = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let handshake = inner.and_then(|error| error.get_ref());
    let handshake = handshake.and_then(|error| error.downcast_ref::<HandshakeError>());
    let handshake = handshake.expect("an error of the handshake");
    assert!(!handshake.is_timeout());
    handshake.source().and_then(|cause| cause.downcast_ref()).expect("the error of rustls")
}

#[tokio::test]
async fn one_that_has_expired_is_refused() {
    bounded(async {
        let authority = Authority::new();
        let refused =
            refused(&authority, Valid::Before, "site.test", &trusting(authority.roots())).await;
        assert!(refused.why.starts_with("invalid peer certificate: certificate expired: "));
        let rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) =
            refused.cause
        else {
            panic!("{}", refused.cause)
        };
    })
    .await;
}

#[tokio::test]
async fn one_that_is_not_yet_valid_is_refused() {
    bounded(async {
        let authority = Authority::new();
        let refused =
            refused(&authority, Valid::Later, "site.test", &trusting(authority.roots())).await;
        assert!(refused.why.starts_with("invalid peer certificate: certificate not valid yet: "));
    })
    .await;
}

#[tokio::test]
async fn one_for_another_name_is_refused() {
    bounded(async {
        let authority = Authority::new();
        let refused =
            refused(&authority, Valid::Now, "other.test", &trusting(authority.roots())).await;
        let why = "invalid peer certificate: certificate not valid for name \"other.test\"";
        assert!(refused.why.starts_with(why), "{}", refused.why);
        assert!(refused.why.contains("site.test"), "says for which name it is: {}", refused.why);
    })
    .await;
}

#[tokio::test]
async fn one_of_an_unknown_root_is_refused() {
    bounded(async {
        let mozilla = Pool::new(TlsConnector::new(TcpConnector::new()));
        for pool in [mozilla, trusting(Authority::new().roots())] {
            let refused = refused(&Authority::new(), Valid::Now, "site.test", &pool).await;
            assert_eq!(refused.why, "invalid peer certificate: UnknownIssuer");
            let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
            assert_eq!(refused.cause, unknown);
        }
    })
    .await;
}

/// A verifier that has a list of what was taken back, with everything on it.
#[derive(Debug)]
struct Revoked(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Revoked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(CertificateError::Revoked.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[tokio::test]
async fn one_that_the_callers_verifier_knows_to_be_revoked_is_refused() {
    bounded(async {
        let authority = Authority::new();
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let connector = TlsConnector::builder(TcpConnector::new())
            .roots(authority.roots())
            .verifier(Arc::new(Revoked(algorithms)))
            .build()
            .expect("a provider that can be used");
        let pool = Pool::new(connector);
        let refused = refused(&authority, Valid::Now, "site.test", &pool).await;
        assert_eq!(refused.why, "invalid peer certificate: Revoked");
        assert_eq!(refused.cause, rustls::Error::InvalidCertificate(CertificateError::Revoked));
    })
    .await;
}

#[tokio::test]
async fn extra_roots_are_trusted_beside_the_others() {
    bounded(async {
        let (known, added) = (Authority::new(), Authority::new());
        let connector = TlsConnector::builder(TcpConnector::new())
            .roots(known.roots())
            .extra_roots([added.root()])
            .expect("a certificate")
            .build()
            .expect("a provider that can be used");
        let pool = Pool::new(connector);
        for authority in [known, added] {
            let config = authority.server(&["site.test"], &["http/1.1"]);
            let (address, acceptor) = tls_endpoint(config).await;
            let peer = site(address);
            Server::new(acceptor).open(fetch(&pool, &peer), answer("trusted")).await;
        }
        let stranger = Authority::new();
        let refused = refused(&stranger, Valid::Now, "site.test", &pool).await;
        assert_eq!(refused.why, "invalid peer certificate: UnknownIssuer");
    })
    .await;
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_fetched_from() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let mut server = Server::new(acceptor);
        let pool = trusting(authority.roots());
        let peer = site(address);
        let (mut connection, received, whole) =
            server.open(fetch(&pool, &peer), answer("secret")).await;
        assert_eq!(whole.body, "secret");
        assert_eq!(received.header("host"), Some(&*format!("site.test:{}", address.port())));
        server.reuse(&mut connection, fetch(&pool, &peer), answer("again")).await;
    })
    .await;
}
