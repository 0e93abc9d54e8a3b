//! TLS: the certificate of the server, and the clients that trust it. All of them use the same rustls, and resume sessions
//! as they do by default.

use std::net::SocketAddr;
use std::sync::Arc;

use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector as Rustls};

use crate::bare_hyper::Transport;
use crate::client::{Error, connect};
use crate::ours::Opens;
use crate::place::Place;
use crate::server::ask;
use crate::task::Task;

pub(crate) const HTTP2: &[u8] = b"h2";

/// The certificate of a server, made afresh for each, and what accepts connections with it.
pub(crate) fn acceptor() -> Result<(TlsAcceptor, CertificateDer<'static>), Error> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let key = PrivateKeyDer::try_from(signing_key.serialize_der())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)?;
    // Its own store would forget the sessions of one client for those of another.
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), cert.der().clone()))
}

/// As a server tells where it listens, and with which certificate.
pub(crate) fn told(address: SocketAddr, certificate: &CertificateDer<'_>) -> String {
    let digits: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{address} {digits}")
}

/// Where the server listens for TLS, and which certificate it shows.
pub(crate) fn ask_for_tls(
    server: SocketAddr,
) -> Result<(SocketAddr, CertificateDer<'static>), Error> {
    let told = ask(server, "/tls")?;
    let (address, digits) = told.split_once(' ').ok_or("the server speaks no TLS")?;
    let byte = |at| Ok(u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16)?);
    let certificate: Vec<u8> =
        (0..digits.len()).step_by(2).map(byte).collect::<Result<_, Error>>()?;
    Ok((address.parse()?, certificate.into()))
}

fn roots(place: &Place) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(certificate) = &place.certificate {
        roots.add(certificate.clone())?;
    }
    Ok(roots)
}

/// What a client of its own configuration trusts the server with. It offers no protocol.
pub(crate) fn config(place: &Place) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(place)?)
        .with_no_client_auth())
}

/// The same, and it offers HTTP/2 if the task is to speak it.
pub(crate) fn config_of(task: &Task, place: &Place) -> Result<ClientConfig, Error> {
    let mut config = config(place)?;
    if task.protocol.is_http2() {
        config.alpn_protocols.push(HTTP2.to_vec());
    }
    Ok(config)
}

/// TLS over TCP, for a client that brings none.
#[derive(Clone)]
pub(crate) struct Tls(Rustls);

impl Transport for Tls {
    type Stream = TlsStream<TcpStream>;

    fn new(task: &Task, place: &Place) -> Result<Self, Error> {
        Ok(Self(Rustls::from(Arc::new(config_of(task, place)?))))
    }

    async fn connect(&self, to: SocketAddr) -> Result<Self::Stream, Error> {
        Ok(self.0.connect(ServerName::from(to.ip()), connect(to).await?).await?)
    }
}

impl Opens for TlsConnector<TcpConnector> {
    fn new(task: &Task, place: &Place) -> Result<(Self, Vec<Self::Address>), Error> {
        let builder = Self::builder(TcpConnector::new()).roots(roots(place)?);
        let address = |it: &SocketAddr| TlsAddress::new(*it, ServerName::from(it.ip()));
        let addresses = place.addresses.iter().map(address).collect();
        Ok((builder.http2(task.protocol.is_http2()).build()?, addresses))
    }
}
