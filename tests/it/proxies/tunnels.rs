//! Tunnels by HTTP CONNECT and SOCKS5, and requests that a proxy forwards.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Version;
use pool_core::{ConnectOptions, Connector as _, Pool};
use pool_tcp::{
    Name, NamesConnector, Proxy, ProxyAddress, ProxyConnector, SystemResolver, TcpConnector,
};
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, MemoryConnector, Server, Whole, answer, bounded, get, tcp_endpoint,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Address, FakeProxy, read, read_head, through, write};

const OPENED: &str = "HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n";

/// Whatever was bound: the client has no use for it.
const SOCKS5_OPENED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

async fn fetch(
    pool: &Pool<ProxyConnector<MemoryConnector>>,
    address: &Address,
) -> Result<Whole, pool_core::Error> {
    Whole::read(pool.http(address, get("/path")).await?).await
}

#[tokio::test]
async fn a_tunnel_is_asked_for_with_credentials_and_the_target_sees_neither() {
    bounded(async {
        let (connector, mut proxy) = FakeProxy::start();
        let pool = Pool::new(connector);
        let known = Proxy::tunnel("proxy.test").with_credentials("user", "word");
        let address = through(known, "site.test", 8080);
        let server = async {
            let mut stream = proxy.accept().await;
            let asked = read_head(&mut stream).await;
            write(&mut stream, OPENED).await;
            let requested = read_head(&mut stream).await;
            write(&mut stream, answer("through")).await;
            (asked, requested)
        };
        let ((asked, requested), whole) = tokio::join!(server, fetch(&pool, &address));
        assert_eq!(whole.expect("a response").body, "through");
        assert!(asked.starts_with("CONNECT site.test:8080 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nHost: site.test:8080\r\n"), "{asked}");
        assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n"), "{asked}");
        assert_eq!(requested, "GET /path HTTP/1.1\r\nhost: site.test:8080\r\n\r\n");
    })
    .await;
}

#[tokio::test]
async fn socks5_gets_the_name_or_the_address_of_the_target() {
    bounded(async {
        let name = [&[3, 9][..], b"site.test"].concat();
        let six: [u8; 16] = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        for (host, named) in [
            ("site.test", name),
            ("192.0.2.1", vec![1, 192, 0, 2, 1]),
            ("2001:db8::1", [&[4][..], &six].concat()),
        ] {
            for credentials in [false, true] {
                let (connector, mut proxy) = FakeProxy::start();
                let pool = Pool::new(connector);
                let mut known = Proxy::socks5("proxy.test");
                if credentials {
                    known = known.with_credentials("user", "word");
                }
                let address = through(known, host, 0x1F90);
                let server = async {
                    let mut stream = proxy.accept().await;
                    let method = if credentials { 2 } else { 0 };
                    assert_eq!(read(&mut stream, 3).await, [5, 1, method]);
                    write(&mut stream, [5, method]).await;
                    if credentials {
                        assert_eq!(read(&mut stream, 11).await, b"\x01\x04user\x04word");
                        write(&mut stream, [1, 0]).await;
                    }
                    let asked = read(&mut stream, 3 + named.len() + 2).await;
                    assert_eq!(asked, [&[5, 1, 0], &named[..], &[0x1F, 0x90]].concat());
                    write(&mut stream, SOCKS5_OPENED).await;
                    let requested = read_head(&mut stream).await;
                    assert!(requested.starts_with("GET /path HTTP/1.1\r\n"), "{requested}");
                    write(&mut stream, answer("through")).await;
                };
                let ((), whole) = tokio::join!(server, fetch(&pool, &address));
                assert_eq!(whole.expect("a response").body, "through");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_target_says_before_it_is_asked_comes_through() {
    bounded(async {
        let tunnel = [OPENED.as_bytes(), b"at once\nand more"].concat();
        let socks5 = [&[5, 0], SOCKS5_OPENED, b"at once\nand more"].concat();
        for (known, said) in
            [(Proxy::tunnel("proxy.test"), tunnel), (Proxy::socks5("proxy.test"), socks5)]
        {
            let (connector, mut proxy) = FakeProxy::start();
            let address = through(known, "site.test", 80);
            let server = async {
                let mut stream = proxy.accept().await;
                // All in one piece, whatever the client has still to ask.
                write(&mut stream, said).await;
                stream
            };
            let options = ConnectOptions::new();
            let (stream, connected) = tokio::join!(server, connector.connect(&address, &options));
            let mut connected = connected.expect("a tunnel");
            let mut first = [0; 16];
            connected.stream.read_exact(&mut first).await.expect("what came early");
            assert_eq!(&first, b"at once\nand more");
            drop(stream);
            assert_eq!(connected.stream.read(&mut first).await.expect("an end"), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_forwards_gets_whole_targets_and_credentials_with_each_request() {
    bounded(async {
        let (connector, mut proxy) = FakeProxy::start();
        let pool = Pool::new(connector);
        let known = Proxy::forward("proxy.test").with_credentials("user", "word");
        let address = through(known, "site.test", 80);
        let server = async {
            let mut stream = proxy.accept().await;
            for _ in 0..2 {
                assert_eq!(
                    read_head(&mut stream).await,
                    "GET http://site.test/path HTTP/1.1\r\nhost: site.test\r\n\
                     proxy-authorization: Basic dXNlcjp3b3Jk\r\n\r\n"
                );
                write(&mut stream, answer("forwarded")).await;
            }
        };
        let client = async {
            for _ in 0..2 {
                assert_eq!(fetch(&pool, &address).await.expect("a response").body, "forwarded");
            }
        };
        tokio::join!(server, client);
        assert_eq!(pool.stats().opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_may_be_known_by_its_name_which_the_pool_resolves() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let mut server = Server::new(endpoint.acceptor);
        let resolver = NamesConnector::new(SystemResolver::default());
        let connector = ProxyConnector::new(resolver);
        let name = Name::new("localhost", endpoint.address.port()).expect("a name");
        let address = ProxyAddress::new(Proxy::forward(name), "site.test", 80).expect("a host");
        assert!(connector.resolve(&address).is_some());
        let pool = Pool::new(connector);
        let client = async { Whole::read(pool.http(&address, get("/")).await?).await };
        let (_connection, received, _) = server.open(client, answer("")).await;
        assert_eq!(received.line, "GET http://site.test/ HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn clients_with_other_credentials_share_no_connection() {
    bounded(async {
        let (connector, mut proxy) = FakeProxy::start();
        let pool = Pool::new(connector);
        let mut streams = Vec::new();
        for user in ["one", "two", "one"] {
            let known = Proxy::forward("proxy.test").with_credentials(user, "word");
            let address = through(known, "site.test", 80);
            let server = async {
                let mut stream = match streams.len() {
                    2 => streams.remove(0),
                    _ => proxy.accept().await,
                };
                read_head(&mut stream).await;
                write(&mut stream, answer("")).await;
                streams.push(stream);
            };
            let ((), whole) = tokio::join!(server, fetch(&pool, &address));
            whole.expect("a response");
        }
        assert_eq!((pool.stats().opened, pool.stats().reused), (2, 1));
    })
    .await;
}

#[tokio::test]
async fn tls_to_the_target_goes_through_the_tunnel_and_agrees_upon_http2_there() {
    bounded(async {
        let authority = Authority::new();
        for (protocols, version) in
            [(&["h2", "http/1.1"][..], Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)]
        {
            let config = authority.server(&["site.test"], protocols);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let proxy: SocketAddr = listener.local_addr().expect("a bound socket");
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut head).await.expect("a client that goes on");
                }
                assert!(head.starts_with(b"CONNECT site.test:443 HTTP/1.1\r\n"));
                stream.write_all(OPENED.as_bytes()).await.expect("a client that listens");
                let tls = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
                let stream = tls.accept(stream).await.expect("a handshake");
                serve(stream, version).await;
            });
            let through =
                ProxyAddress::new(Proxy::tunnel(proxy), "site.test", 443).expect("a host");
            let name = ServerName::try_from("site.test").expect("a name");
            let address = TlsAddress::new(through, name);
            let tunnels = ProxyConnector::new(TcpConnector::new());
            let connector = TlsConnector::with_roots(tunnels, authority.roots());
            assert_eq!(connector.target(&address).host(), "site.test");
            let pool = Pool::new(connector);
            let response = pool.http(&address, get("/")).await.expect("a response");
            assert_eq!(response.version(), version);
            assert_eq!(response.body().connection().peer_address(), Some(proxy));
            assert_eq!(Whole::read(response).await.expect("a body").body, "behind TLS");
            server.abort();
        }
    })
    .await;
}

#[tokio::test]
async fn tls_to_the_target_does_not_go_to_a_proxy_that_forwards() {
    bounded(async {
        let (tunnels, mut proxy) = FakeProxy::start();
        let connector = TlsConnector::with_roots(tunnels, Authority::new().roots());
        let name = ServerName::try_from("site.test").expect("a name");
        let known = Proxy::forward("proxy.test").with_credentials("user", "word");
        let address = TlsAddress::new(through(known, "site.test", 443), name);
        let error = Pool::new(connector).http(&address, get("/")).await.expect_err("no tunnel");
        assert!(error.to_string().contains("TLS needs a tunnel"), "{error}");
        let mut said = Vec::new();
        proxy.accept().await.read_to_end(&mut said).await.expect("an end");
        assert!(said.is_empty());
    })
    .await;
}

/// Answers requests over either version.
async fn serve(stream: impl pooled_fetch_tests::Duplex + 'static, version: Version) {
    let stream = hyper_util::rt::TokioIo::new(stream);
    let service = hyper::service::service_fn(|_| async {
        let body = http_body_util::Full::new(bytes::Bytes::from("behind TLS"));
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    });
    let executor = hyper_util::rt::TokioExecutor::new();
    if version == Version::HTTP_2 {
        let http2 = hyper::server::conn::http2::Builder::new(executor);
        http2.serve_connection(stream, service).await.ok();
    } else {
        let http1 = hyper::server::conn::http1::Builder::new();
        http1.serve_connection(stream, service).await.ok();
    }
}
