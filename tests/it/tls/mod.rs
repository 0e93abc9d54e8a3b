//! TLS: nothing leaves before the server has proved its name, and a failure says what was wrong.

mod alpn;
mod certificates;
mod facts;
mod handshakes;
mod identities;
mod platform;
mod records;
mod tickets;
mod without_content;

use std::net::SocketAddr;

use pool_core::{Error, Pool};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{Whole, get};
use rustls::RootCertStore;

type TlsPool = Pool<TlsConnector<TcpConnector>>;

fn trusting(roots: RootCertStore) -> TlsPool {
    Pool::new(TlsConnector::with_roots(TcpConnector::new(), roots))
}

fn named(address: SocketAddr, name: &'static str) -> TlsAddress<SocketAddr> {
    TlsAddress::new(address, ServerName::try_from(name).expect("a valid name"))
}

/// The server that most of these tests ask.
fn site(address: SocketAddr) -> TlsAddress<SocketAddr> {
    named(address, "site.test")
}

fn fetch(
    pool: &TlsPool,
    address: &TlsAddress<SocketAddr>,
) -> impl Future<Output = Result<Whole, Error>> + Send + use<> {
    let (pool, address) = (pool.clone(), address.clone());
    async move { Whole::read(pool.http(&address, get("/")).await?).await }
}
