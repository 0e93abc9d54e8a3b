//! The backends that every promise is held over: memory, TCP, Unix sockets, TLS; TCP and TLS by connectors of hyper-util
//! as well, and TCP through a tunnel.
//!
//! A suite is a list of functions that take a [`Backend`]; the macro
//! [`for_each_backend`](crate::for_each_backend) mounts each of them once per backend as a test of its
//! own, so a failure says which promise broke, and over what.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use pool_tcp::{TcpConnector, UnixConnector};
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::backends_over::{
    names_endpoint, service_endpoint, service_tls_endpoint, tunnel_endpoint,
};
use crate::connectors::boxed;
use crate::directory::Directory;
use crate::{Address, AnyConnector, AnyStream, Authority, Issued, Valid, tls_endpoint};

/// Mounts test functions once for each backend.
///
/// ```
/// # use pooled_fetch_tests::{Backend, for_each_backend};
/// for_each_backend! {
///     requests_share_a_connection,
/// }
///
/// async fn requests_share_a_connection(backend: Backend) {}
/// # fn main() {}
/// ```
///
/// With `paused:` before the first of them, the clock is paused.
#[macro_export]
macro_rules! for_each_backend {
    ($($test:ident),+ $(,)?) => {
        $crate::for_each_backend! { @each [tokio::test] $($test)+ }
    };
    (paused: $($test:ident),+ $(,)?) => {
        $crate::for_each_backend! { @each [tokio::test(start_paused = true)] $($test)+ }
    };
    // The list of backends; `Backend::EACH` is the same.
    (@each $attribute:tt $($test:ident)+) => {
        $crate::for_each_backend! { @mount memory Memory $attribute $($test)+ }
        $crate::for_each_backend! { @mount tcp Tcp $attribute $($test)+ }
        $crate::for_each_backend! { @mount unix Unix $attribute $($test)+ }
        $crate::for_each_backend! { @mount tls Tls $attribute $($test)+ }
        $crate::for_each_backend! { @mount service Service $attribute $($test)+ }
        $crate::for_each_backend! { @mount service_tls ServiceTls $attribute $($test)+ }
        $crate::for_each_backend! { @mount tunnel Tunnel $attribute $($test)+ }
        $crate::for_each_backend! { @mount names Names $attribute $($test)+ }
    };
    (@mount $module:ident $backend:ident $attribute:tt $($test:ident)+) => {
        mod $module {
            $(
                #$attribute
                async fn $test() {
                    $crate::bounded(super::$test($crate::Backend::$backend)).await;
                }
            )+
        }
    };
}

/// Where the bytes between the pool and its server go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Streams in memory. No kernel is involved, so nothing is asked of it, and the clock can be paused.
    Memory,
    /// TCP on the loopback.
    Tcp,
    /// A Unix socket.
    Unix,
    /// TLS over TCP on the loopback; both sides offer HTTP/1.1 alone.
    Tls,
    /// TLS over TCP on the loopback; both sides offer HTTP/2 and HTTP/1.1.
    TlsOfBoth,
    /// TLS over streams in memory, with the clock that can be paused; both sides offer HTTP/2 and HTTP/1.1.
    TlsInMemory,
    /// TCP on the loopback, opened by hyper-util's connector.
    Service,
    /// TLS over TCP on the loopback, opened by hyper-rustls; both sides offer HTTP/1.1 alone.
    ServiceTls,
    /// TLS over TCP on the loopback, opened by hyper-rustls; both sides offer HTTP/2 and HTTP/1.1.
    ServiceTlsOfBoth,
    /// TCP on the loopback, through a tunnel that the other end has opened by CONNECT.
    Tunnel,
    /// TCP on the loopback, by a name.
    Names,
}

impl Backend {
    /// Those that every promise is held over.
    pub const EACH: [Self; 8] = [
        Self::Memory,
        Self::Tcp,
        Self::Unix,
        Self::Tls,
        Self::Service,
        Self::ServiceTls,
        Self::Tunnel,
        Self::Names,
    ];

    /// Starts a server on the current runtime.
    pub async fn start(self) -> Endpoint {
        match self {
            Self::Memory => memory_endpoint().erased(()),
            Self::Tcp => tcp_endpoint().await.erased(()),
            Self::Unix => unix_endpoint(),
            // A connector that offers more opens one connection, and waits for what is chosen.
            Self::Tls => trusted_tls_endpoint(&["http/1.1"], false).await,
            Self::TlsOfBoth => trusted_tls_endpoint(&["h2", "http/1.1"], true).await,
            Self::TlsInMemory => tls_in_memory(&["h2", "http/1.1"]),
            Self::Service => service_endpoint().await,
            Self::ServiceTls => service_tls_endpoint(&["http/1.1"]).await,
            Self::ServiceTlsOfBoth => service_tls_endpoint(&["h2", "http/1.1"]).await,
            Self::Tunnel => tunnel_endpoint().await,
            Self::Names => names_endpoint().await,
        }
    }
}

/// Both sides of a server that has just started.
#[derive(Debug)]
pub struct Endpoint<C: Connector = AnyConnector> {
    /// Opens streams to it.
    pub connector: C,
    /// Where it is.
    pub address: C::Address,
    /// Takes its streams in.
    pub acceptor: Acceptor,
}

impl<C: Connector> Endpoint<C> {
    /// As one of any backend, whose connector keeps `kept`.
    pub(crate) fn erased(self, kept: impl Send + Sync + 'static) -> Endpoint {
        Endpoint {
            connector: AnyConnector::keeping(self.connector, kept),
            address: Address::new(self.address),
            acceptor: self.acceptor,
        }
    }
}

/// A stream as the server sees it.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// The streams that were opened to a server, in the order in which they were ready.
///
/// Dropping it closes the server's door.
pub struct Acceptor {
    streams: mpsc::UnboundedReceiver<Box<dyn Duplex>>,
    listening: Option<AbortHandle>,
}

impl Acceptor {
    pub(crate) fn new(
        streams: mpsc::UnboundedReceiver<Box<dyn Duplex>>,
        listening: Option<AbortHandle>,
    ) -> Self {
        Self { streams, listening }
    }

    /// The next stream, or none when no client is left that could open one. May be dropped before it came.
    pub async fn accept(&mut self) -> Option<Box<dyn Duplex>> {
        self.streams.recv().await
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if let Some(task) = &self.listening {
            task.abort();
        }
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// What a stream in memory holds for a reader that does not read; a socket holds no less.
const MEMORY: usize = 64 * 1024;

/// A server in memory.
pub fn memory_endpoint() -> Endpoint<MemoryConnector> {
    let (connector, streams) = mpsc::unbounded_channel();
    Endpoint {
        connector: MemoryConnector(connector),
        address: "memory.test",
        acceptor: Acceptor { streams, listening: None },
    }
}

/// Opens streams to a server in memory.
pub struct MemoryConnector(mpsc::UnboundedSender<Box<dyn Duplex>>);

impl fmt::Debug for MemoryConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnector").finish_non_exhaustive()
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        _: &&'static str,
        _: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let (ours, theirs) = tokio::io::duplex(MEMORY);
        match self.0.send(Box::new(theirs)) {
            Ok(()) => Ok(boxed(Connected::new(ours))),
            Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn target(&self, address: &&'static str) -> Target {
        Target::http(address.parse().expect("a valid authority"))
    }
}

/// A server behind TCP on the loopback.
pub async fn tcp_endpoint() -> Endpoint<TcpConnector> {
    let (listener, address) = listen().await;
    let (ready, streams) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            let stream: Box<dyn Duplex> = Box::new(stream);
            // The server may have gone; this task is aborted then.
            ready.send(stream).ok();
        }
    });
    let acceptor = Acceptor { streams, listening: Some(task.abort_handle()) };
    Endpoint { connector: TcpConnector::new(), address, acceptor }
}

/// A server behind a Unix socket, whose file goes with the connector: as long as that lives, a server that has gone
/// refuses.
fn unix_endpoint() -> Endpoint {
    let directory = Directory::new();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("a socket of our own");
    let (ready, streams) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream: Box<dyn Duplex> = Box::new(stream);
            // The server may have gone; this task is aborted then.
            ready.send(stream).ok();
        }
    });
    let acceptor = Acceptor { streams, listening: Some(task.abort_handle()) };
    let endpoint = Endpoint { connector: UnixConnector::new(), address: path.into(), acceptor };
    endpoint.erased(directory)
}

/// The name that servers behind TLS prove.
pub const SERVER_NAME: &str = "server.test";

pub(crate) struct Trust {
    pub(crate) roots: RootCertStore,
    pub(crate) shown: Issued,
}

/// One authority for all tests of a process: keys take time to make.
pub(crate) static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let authority = Authority::new();
    Trust { roots: authority.roots(), shown: authority.issue(&[SERVER_NAME], Valid::Now) }
});

/// A server behind TLS on the loopback that speaks these protocols, and a connector that trusts it.
async fn trusted_tls_endpoint(protocols: &[&str], http2: bool) -> Endpoint {
    let config = Arc::new(TRUST.shown.server(protocols, None));
    let (address, acceptor) = tls_endpoint(config).await;
    let connector = trusting(TcpConnector::new(), http2);
    Endpoint { connector, address: TlsAddress::new(address, server_name()), acceptor }.erased(())
}

/// TLS over `inner` that trusts the servers of these tests.
pub fn trusting<C: Connector>(inner: C, http2: bool) -> TlsConnector<C> {
    let connector = TlsConnector::builder(inner).roots(TRUST.roots.clone());
    connector.http2(http2).build().expect("a provider that can be used")
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("a valid name")
}

fn tls_in_memory(protocols: &[&str]) -> Endpoint {
    let Endpoint { connector, address, mut acceptor } = memory_endpoint();
    let tls = TlsAcceptor::from(Arc::new(TRUST.shown.server(protocols, None)));
    let (ready, streams) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        while let Some(stream) = acceptor.accept().await {
            let (tls, ready) = (tls.clone(), ready.clone());
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    let stream: Box<dyn Duplex> = Box::new(stream);
                    // The server may have gone.
                    ready.send(stream).ok();
                }
            });
        }
    });
    let acceptor = Acceptor::new(streams, Some(task.abort_handle()));
    let (connector, address) = (trusting(connector, true), TlsAddress::new(address, server_name()));
    Endpoint { connector, address, acceptor }.erased(())
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}
