//! The connector: open the inner stream, then shake hands over it.
//!
//! What must hold: nothing but a handshake goes over the stream before the certificate is verified; a
//! failed handshake says so, and with which name; and what the inner connector knew of its stream (the
//! socket addresses, the question to the kernel) travels up unchanged.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pool_core::{Connected, Connector, Target};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use crate::config::{HTTP_1_1, trusting, webpki_roots};
use crate::{TlsAddress, TlsStream};

/// Opens TLS streams over those of another connector.
///
/// The connect timeout of the pool covers both steps. An error of the inner connector is passed on as it
/// is; one of the handshake keeps its [`io::ErrorKind`] and reads `TLS handshake with example.org: ...`.
/// What rustls itself had to say is its [`source`](Error::source), a [`rustls::Error`].
pub struct TlsConnector<C> {
    inner: C,
    config: Arc<ClientConfig>,
}

impl<C> TlsConnector<C> {
    /// TLS over `inner`, trusting Mozilla's roots.
    pub fn new(inner: C) -> Self {
        Self::with_roots(inner, webpki_roots())
    }

    /// TLS over `inner`, trusting `roots` and no others.
    pub fn with_roots(inner: C, roots: RootCertStore) -> Self {
        Self::with_config(inner, trusting(roots))
    }

    /// TLS over `inner` with a configuration of the caller's own: client certificates, a verifier,
    /// another provider.
    ///
    /// The configuration is used as it is, ALPN included. One that offers other protocols than `http/1.1`
    /// works only with servers that choose `http/1.1`; with all others the handshake is an error.
    pub fn with_config(inner: C, config: Arc<ClientConfig>) -> Self {
        Self { inner, config }
    }
}

impl<C: Clone> Clone for TlsConnector<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), config: Arc::clone(&self.config) }
    }
}

impl<C: fmt::Debug> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration may hold keys, and would fill pages.
        f.debug_struct("TlsConnector").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connector> Connector for TlsConnector<C> {
    type Address = TlsAddress<C::Address>;
    type Stream = TlsStream<C::Stream>;

    async fn connect(&self, address: &Self::Address) -> io::Result<Connected<Self::Stream>> {
        let name = address.server_name();
        let tls = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        let mut connected = self
            .inner
            .connect(address.inner())
            .await?
            .map_stream(|stream| tls.connect(name.clone(), stream));
        let stream = (&mut connected.stream).await.map_err(|error| named(name, error))?;
        let (_, session) = stream.get_ref();
        if let Some(chosen) = session.alpn_protocol().filter(|chosen| *chosen != HTTP_1_1) {
            let chosen = String::from_utf8_lossy(chosen);
            let why = format!("the server chose {chosen}, only http/1.1 is spoken here");
            return Err(named(name, io::Error::new(io::ErrorKind::Unsupported, why)));
        }
        Ok(connected.map_stream(|_finished| TlsStream::new(stream)))
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
        Target::https(
            authority.parse().expect("letters of a server name are letters of an authority"),
        )
    }
}

/// The error of a handshake: the step and the name come first.
fn named(name: &ServerName<'static>, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), HandshakeError { name: name.to_str().into_owned(), error })
}

#[derive(Debug)]
struct HandshakeError {
    name: String,
    error: io::Error,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS handshake with {}: ", self.name)?;
        match self.error.raw_os_error() {
            // In words, without the number.
            Some(_) => write!(f, "{}", self.error.kind()),
            None => write!(f, "{}", self.error),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.error.get_ref() {
            Some(cause) => Some(cause),
            None => Some(&self.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use pool_tcp::TcpConnector;

    use super::*;

    fn host(inner: &str, name: &'static str) -> String {
        let inner: SocketAddr = inner.parse().unwrap();
        let address = TlsAddress::new(inner, ServerName::try_from(name).unwrap());
        TlsConnector::new(TcpConnector::new()).target(&address).host()
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
    fn an_error_of_the_system_keeps_its_kind_and_is_told_in_words() {
        let name = ServerName::try_from("example.org").unwrap();
        let error = named(&name, io::Error::from_raw_os_error(104));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(error.to_string(), "TLS handshake with example.org: connection reset");
    }

    #[test]
    fn the_error_of_rustls_is_the_source() {
        let name = ServerName::try_from("example.org").unwrap();
        let cause = rustls::Error::HandshakeNotComplete;
        let error = named(&name, io::Error::new(io::ErrorKind::InvalidData, cause.clone()));
        let source = error.source().and_then(|source| source.downcast_ref::<rustls::Error>());
        assert_eq!(source, Some(&cause));
    }
}
