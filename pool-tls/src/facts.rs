//! What was agreed in a handshake, and who the server has proved to be.

use std::sync::Arc;

use rustls::client::ClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use crate::config::{HTTP_1_1, HTTP_2};

/// The facts of a connection over TLS.
///
/// They are an [extension](pool_core::ConnectionInfo::extension) of the connection, and shown to the
/// [check](crate::Builder::check_server) after each handshake.
///
/// # Examples
///
/// ```
/// use pool_core::Body;
/// use pool_tls::TlsFacts;
///
/// fn log(response: &http::Response<Body>) {
///     if let Some(facts) = response.body().connection().extension::<TlsFacts>() {
///         println!("{:?}, {:?}", facts.protocol_version(), facts.cipher_suite());
///     }
/// }
/// # drop(log);
/// ```
#[derive(Clone, Debug)]
pub struct TlsFacts {
    certificates: Certificates,
    protocol_version: ProtocolVersion,
    cipher_suite: CipherSuite,
    alpn: Option<&'static [u8]>,
    is_resumed: bool,
}

/// A chain that the connections to one server share.
pub(crate) type Certificates = Arc<[CertificateDer<'static>]>;

impl TlsFacts {
    /// The facts of a session that has shaken hands; an error names a protocol that is not spoken here.
    pub(crate) fn new(
        session: &ClientConnection,
        share: impl FnOnce(&[CertificateDer<'static>]) -> Certificates,
    ) -> Result<Self, String> {
        let alpn = match session.alpn_protocol() {
            None => None,
            Some(HTTP_1_1) => Some(HTTP_1_1),
            Some(HTTP_2) => Some(HTTP_2),
            Some(other) => return Err(String::from_utf8_lossy(other).into_owned()),
        };
        let suite = session.negotiated_cipher_suite();
        Ok(Self {
            certificates: share(session.peer_certificates().unwrap_or_default()),
            protocol_version: session.protocol_version().unwrap_or(ProtocolVersion::Unknown(0)),
            cipher_suite: suite.map_or(CipherSuite::Unknown(0), |suite| suite.suite()),
            alpn,
            is_resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// The chain that the server has shown, its own certificate first, which was verified. Of a resumed session it is that
    /// of the session. Connections to one address share it in memory.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The version of TLS.
    pub fn protocol_version(&self) -> ProtocolVersion {
        self.protocol_version
    }

    /// How the connection is encrypted.
    pub fn cipher_suite(&self) -> CipherSuite {
        self.cipher_suite
    }

    /// What the server has chosen in ALPN, `h2` or `http/1.1`; none if it chose nothing.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn
    }

    /// Whether a session was resumed, which spares the server its certificate and both a round of cryptography.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}
