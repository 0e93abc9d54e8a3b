//! Opening over TLS: the certificate of the server, and the clients that trust it. All of them use the same rustls, and
//! resume sessions as they do by default.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use pool_core::Pool;
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector as Rustls};

use crate::client::{CLOSE, Client, Error, connect, length, request};
use crate::server::ask;
use crate::task::Task;

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
    Ok((TlsAcceptor::from(Arc::new(config)), cert.der().clone()))
}

/// As a server tells where it listens, and with which certificate.
pub(crate) fn told(address: SocketAddr, certificate: &CertificateDer<'_>) -> String {
    let digits: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{address} {digits}")
}

/// Where the server listens for TLS, and what trusts it.
pub(crate) fn ask_for_tls(server: SocketAddr) -> Result<(SocketAddr, RootCertStore), Error> {
    let told = ask(server, "/tls")?;
    let (address, digits) = told.split_once(' ').ok_or("the server speaks no TLS")?;
    let byte = |at| Ok(u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16)?);
    let certificate: Vec<u8> =
        (0..digits.len()).step_by(2).map(byte).collect::<Result<_, Error>>()?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into())?;
    Ok((address.parse()?, roots))
}

/// What a client of its own configuration trusts the server with.
pub(crate) fn config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connection of hyper's over rustls for each request, driven by a task of its own.
pub(crate) struct BareHyperTls {
    address: SocketAddr,
    connector: Rustls,
    host: HeaderValue,
}

impl Client for BareHyperTls {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let (address, roots) = ask_for_tls(addresses[0])?;
        let connector = Rustls::from(Arc::new(config(roots)?));
        let host = HeaderValue::try_from(address.to_string())?;
        let one = |_| Self { address, connector: connector.clone(), host: host.clone() };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, _: usize) -> Result<usize, Error> {
        let name = ServerName::from(self.address.ip());
        let stream = self.connector.connect(name, connect(self.address).await?).await?;
        let stream = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.ready().await?;
        let request = Request::get("/").header(HOST, self.host.clone()).header(CONNECTION, CLOSE);
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        length(response.into_body()).await
    }
}

/// Our pool over TLS.
pub(crate) struct OursTls {
    pool: Pool<TlsConnector<TcpConnector>>,
    address: Arc<TlsAddress<SocketAddr>>,
}

impl Client for OursTls {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let (address, roots) = ask_for_tls(addresses[0])?;
        let pool = Pool::new(TlsConnector::with_roots(TcpConnector::new(), roots));
        let address = Arc::new(TlsAddress::new(address, ServerName::from(address.ip())));
        let one = |_| Self { pool: pool.clone(), address: Arc::clone(&address) };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, _: usize) -> Result<usize, Error> {
        let response = self.pool.http(&self.address, request(true)?).await?;
        length(response.into_body()).await
    }
}
