//! The protocols that every promise about HTTP is held over: HTTP/1 and HTTP/2, in memory, over TCP, over
//! Unix sockets and over TLS.

use http::Version;
use pool_core::Http2;

use crate::{Backend, Caller, HyperServer, Server, Settings, start_with};

/// Mounts test functions once for each protocol over each backend.
#[macro_export]
macro_rules! for_each_protocol {
    ($($test:ident),+ $(,)?) => {
        $crate::for_each_protocol! { @mount memory_http1 MemoryHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount memory_http2 MemoryHttp2 $($test)+ }
        $crate::for_each_protocol! { @mount tcp_http1 TcpHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount h2c H2c $($test)+ }
        $crate::for_each_protocol! { @mount unix_http1 UnixHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount unix_http2 UnixHttp2 $($test)+ }
        $crate::for_each_protocol! { @mount tls_http1 TlsHttp1 $($test)+ }
        $crate::for_each_protocol! { @mount tls_http2 TlsHttp2 $($test)+ }
    };
    (@mount $module:ident $protocol:ident $($test:ident)+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    $crate::bounded(super::$test($crate::Protocol::$protocol)).await;
                }
            )+
        }
    };
}

/// Which HTTP is spoken over which backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1 in memory.
    MemoryHttp1,
    /// HTTP/2 in memory.
    MemoryHttp2,
    /// HTTP/1 over TCP.
    TcpHttp1,
    /// HTTP/2 over TCP, by prior knowledge.
    H2c,
    /// HTTP/1 over a Unix socket.
    UnixHttp1,
    /// HTTP/2 over a Unix socket, by prior knowledge.
    UnixHttp2,
    /// HTTP/1 over TLS.
    TlsHttp1,
    /// HTTP/2 over TLS, by ALPN.
    TlsHttp2,
}

impl Protocol {
    /// Where the bytes go.
    pub fn backend(self) -> Backend {
        match self {
            Self::MemoryHttp1 | Self::MemoryHttp2 => Backend::Memory,
            Self::TcpHttp1 | Self::H2c => Backend::Tcp,
            Self::UnixHttp1 | Self::UnixHttp2 => Backend::Unix,
            Self::TlsHttp1 => Backend::Tls,
            Self::TlsHttp2 => Backend::TlsOfBoth,
        }
    }

    /// What is spoken.
    pub fn version(self) -> Version {
        match self {
            Self::MemoryHttp1 | Self::TcpHttp1 | Self::UnixHttp1 | Self::TlsHttp1 => {
                Version::HTTP_11
            }
            Self::MemoryHttp2 | Self::H2c | Self::UnixHttp2 | Self::TlsHttp2 => Version::HTTP_2,
        }
    }

    /// What the pool is set to.
    fn http2(self) -> Http2 {
        match self {
            Self::MemoryHttp2 | Self::H2c | Self::UnixHttp2 => Http2::Assumed,
            _ => Http2::Negotiated,
        }
    }
}

/// A caller that speaks `protocol` with settings of its own, and a server that allows so many streams on a connection.
pub async fn start_hyper_server(
    protocol: Protocol,
    streams: u32,
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, HyperServer) {
    let (caller, server) = start_protocol(protocol, settings).await;
    (caller, HyperServer::start(server.into_acceptor(), protocol.version(), streams))
}

/// A caller that speaks `protocol` with settings of its own, and the server that it calls.
pub async fn start_protocol(
    protocol: Protocol,
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, Server) {
    let http2 = protocol.http2();
    start_with(protocol.backend(), |builder| settings(builder.http2(http2))).await
}
