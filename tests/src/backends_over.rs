//! Backends over what others have opened: connectors of hyper-util, and a tunnel.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use pool_core::{Resolved, async_trait};
use pool_tcp::{Name as HostName, NamesConnector, Resolve};
use pool_tcp::{Proxy, ProxyAddress, ProxyConnector, ServiceConnector, TcpConnector, UriAddress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tower_service::Service;

use crate::backend::{TRUST, listen};
use crate::{Acceptor, Duplex, Endpoint, SERVER_NAME, tcp_endpoint, tls_endpoint};

/// A server behind TCP, and hyper-util's connector.
pub(crate) async fn service_endpoint() -> Endpoint {
    let Endpoint { connector: _, address: socket, acceptor } = tcp_endpoint().await;
    let connector = ServiceConnector::new(HttpConnector::new());
    Endpoint { connector, address: uri_address(&format!("http://{socket}")), acceptor }.erased(())
}

/// A server behind TLS, and hyper-rustls' connector, which trusts it.
pub(crate) async fn service_tls_endpoint(protocols: &[&str]) -> Endpoint {
    let config = Arc::new(TRUST.shown.server(protocols, None));
    let (socket, acceptor) = tls_endpoint(config).await;
    let mut loopback = HttpConnector::new_with_resolver(Loopback);
    loopback.enforce_http(false);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions of TLS that ring knows")
        .with_root_certificates(TRUST.roots.clone())
        .with_no_client_auth();
    let https =
        || HttpsConnectorBuilder::new().with_tls_config(trust.clone()).https_only().enable_http1();
    let http1 = https().wrap_connector(loopback.clone());
    let address = uri_address(&format!("https://{SERVER_NAME}:{}", socket.port()));
    let connector = if protocols.contains(&"h2") {
        let both = https().enable_http2().wrap_connector(loopback);
        ServiceConnector::new(both).with_http1_service(http1)
    } else {
        ServiceConnector::new(http1).offers_http2(false)
    };
    Endpoint { connector, address, acceptor }.erased(())
}

fn uri_address(uri: &str) -> UriAddress {
    uri.parse().expect("a URI that names a host")
}

/// A server behind TCP, and a connector that resolves its name.
pub(crate) async fn names_endpoint() -> Endpoint {
    let Endpoint { connector: _, address: socket, acceptor } = tcp_endpoint().await;
    let address = HostName::new(SERVER_NAME, socket.port()).expect("a name");
    Endpoint { connector: NamesConnector::new(Loopback), address, acceptor }.erased(())
}

#[async_trait]
impl Resolve for Loopback {
    async fn resolve(&self, _: &str, port: u16) -> std::io::Result<Resolved> {
        Ok(Resolved::interleaved([(Ipv4Addr::LOCALHOST, port).into()]))
    }
}

/// Every name is one of the loopback.
#[derive(Clone, Copy, Debug)]
pub struct Loopback;

impl Service<Name> for Loopback {
    type Response = std::iter::Once<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(std::iter::once((Ipv4Addr::LOCALHOST, 0).into())))
    }
}

/// A server behind TCP that first opens the tunnel to itself, so that no relay blurs the order of events.
pub(crate) async fn tunnel_endpoint() -> Endpoint {
    let (listener, proxy) = listen().await;
    let (ready, streams) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let ready = ready.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
                        return;
                    }
                }
                if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                    let stream: Box<dyn Duplex> = Box::new(stream);
                    // The server may have gone.
                    ready.send(stream).ok();
                }
            });
        }
    });
    let connector = ProxyConnector::new(TcpConnector::new());
    let address = ProxyAddress::new(Proxy::tunnel(proxy), "tunnel.test", 8080);
    let acceptor = Acceptor::new(streams, Some(task.abort_handle()));
    Endpoint { connector, address: address.expect("a host"), acceptor }.erased(())
}
