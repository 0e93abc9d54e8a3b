//! The protocols that every promise about HTTP is held over: HTTP/1 and HTTP/2, in memory, over TCP and over TLS.

use std::marker::PhantomData;

use http::Version;
use pool_core::{Builder, Http2};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};

use crate::backend::trust;
use crate::{
    Backend, Caller, Endpoint, HyperServer, Memory, Probe, SERVER_NAME, Tcp, Tls, start_with,
    tls_endpoint,
};

/// Mounts generic test functions once for each protocol over each backend.
#[macro_export]
macro_rules! for_each_protocol {
    ($($test:ident),+ $(,)?) => {
        $crate::for_each_protocol! { @mount memory_http1 MemoryHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount memory_http2 MemoryHttp2 $($test)+ }
        $crate::for_each_protocol! { @mount tcp_http1 TcpHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount h2c H2c $($test)+ }
        $crate::for_each_protocol! { @mount tls_http1 TlsHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount tls_http2 TlsHttp2 $($test)+ }
    };
    (@mount $module:ident $protocol:ident $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    $crate::bounded(super::$test::<$crate::$protocol>()).await;
                }
            )+
        }
    };
}

/// How HTTP is spoken over a backend.
pub trait Protocol: 'static {
    /// Where the bytes go.
    type Backend: Backend;
    /// What the pool is set to.
    const HTTP2: Http2;
    /// What is spoken then.
    const VERSION: Version;
}

/// HTTP/1 in memory.
pub type MemoryHttp1 = OneAtATime<Memory>;
/// HTTP/2 in memory.
pub type MemoryHttp2 = PriorKnowledge<Memory>;
/// HTTP/1 over TCP.
pub type TcpHttp1 = OneAtATime<Tcp>;
/// HTTP/2 over TCP, by prior knowledge.
pub type H2c = PriorKnowledge<Tcp>;
/// HTTP/1 over TLS.
pub type TlsHttp1 = OneAtATime<Tls>;
/// HTTP/2 over TLS, by ALPN.
pub type TlsHttp2 = Negotiated;

/// HTTP/1.
#[derive(Debug)]
pub struct OneAtATime<B>(PhantomData<B>);

impl<B: Backend> Protocol for OneAtATime<B> {
    type Backend = B;
    const HTTP2: Http2 = Http2::Negotiated;
    const VERSION: Version = Version::HTTP_11;
}

/// HTTP/2 from the first byte.
#[derive(Debug)]
pub struct PriorKnowledge<B>(PhantomData<B>);

impl<B: Backend> Protocol for PriorKnowledge<B> {
    type Backend = B;
    const HTTP2: Http2 = Http2::Assumed;
    const VERSION: Version = Version::HTTP_2;
}

/// HTTP/2 over TLS, by ALPN.
#[derive(Debug)]
pub struct Negotiated;

impl Protocol for Negotiated {
    type Backend = TlsOfBoth;
    const HTTP2: Http2 = Http2::Negotiated;
    const VERSION: Version = Version::HTTP_2;
}

/// TLS over TCP on the loopback; both sides offer HTTP/2 and HTTP/1.1.
#[derive(Debug)]
pub struct TlsOfBoth;

impl Backend for TlsOfBoth {
    type Connector = TlsConnector<TcpConnector>;

    async fn start() -> Endpoint<Self::Connector> {
        let (roots, config) = trust(&["h2", "http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let name = ServerName::try_from(SERVER_NAME).expect("a valid name");
        let connector = TlsConnector::with_roots(TcpConnector::new(), roots);
        Endpoint { connector, address: TlsAddress::new(address, name), acceptor }
    }
}

/// A caller that speaks `P` with settings of its own, and a site that allows so many streams on a connection.
pub async fn start_hyper_server<P: Protocol>(
    streams: u32,
    settings: impl FnOnce(
        Builder<Probe<<P::Backend as Backend>::Connector>>,
    ) -> Builder<Probe<<P::Backend as Backend>::Connector>>,
) -> (Caller<P::Backend>, HyperServer) {
    let (caller, server) =
        start_with::<P::Backend>(|builder| settings(builder.http2(P::HTTP2))).await;
    (caller, HyperServer::start(server.into_acceptor(), P::VERSION, streams))
}
