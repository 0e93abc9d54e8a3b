//! Connectors of the hyper-util family: what their services say of a connection holds.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Uri, Version};
use hyper::rt;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use pool_core::{
    ConnectOptions, Connector as _, ErrorKind, Fault, Http2, Pool, Protocol, http1_only,
};
use pool_tcp::{LentSocket, ServiceAddress, ServiceConnector, UriAddress};
use pooled_fetch_tests::raw_http2::RawHttp2;
use pooled_fetch_tests::{
    Backend, Server, Whole, answer, bounded, ends_idle, get, start, tcp_endpoint,
};
use tokio::net::TcpStream;
use tower_service::Service;

/// hyper-util's connector, whose streams say more than the truth.
#[derive(Clone)]
struct Saying {
    inner: HttpConnector,
    http2: bool,
    proxied: bool,
}

impl Saying {
    fn new(http2: bool, proxied: bool) -> ServiceConnector<Self> {
        let mut inner = HttpConnector::new();
        inner.enforce_http(false);
        ServiceConnector::lending(Self { inner, http2, proxied }, |said: &Said| {
            Some(LentSocket::plain(said.stream.inner()))
        })
    }
}

impl Service<Uri> for Saying {
    type Response = Said;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Said, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (stream, http2, proxied) = (self.inner.call(uri), self.http2, self.proxied);
        Box::pin(async move { Ok(Said { stream: stream.await?, http2, proxied }) })
    }
}

struct Said {
    stream: TokioIo<TcpStream>,
    http2: bool,
    proxied: bool,
}

impl Connection for Said {
    fn connected(&self) -> Connected {
        let connected = self.stream.connected().proxy(self.proxied);
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl rt::Read for Said {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl rt::Write for Said {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn address(uri: &str) -> UriAddress {
    uri.parse().expect("a URI that names a host")
}

#[tokio::test]
async fn requests_over_a_proxied_connection_are_in_absolute_form_but_to_https() {
    bounded(async {
        for (scheme, line) in [
            ("http", "GET http://site.test/path HTTP/1.1"),
            // Its proxy has opened a tunnel.
            ("https", "GET /path HTTP/1.1"),
        ] {
            let endpoint = tcp_endpoint().await;
            let (mut server, proxied) = (
                Server::new(endpoint.acceptor),
                address(&format!("{scheme}://{}", endpoint.address)),
            );
            let pool = Pool::new(Saying::new(false, true).offers_http2(false));
            let client = async {
                Whole::read(pool.http(&proxied, get(&format!("{scheme}://site.test/path"))).await?)
                    .await
            };
            let (_connection, received, _) = server.open(client, answer("")).await;
            assert_eq!(received.line, line);
            assert_eq!(received.header("host"), Some("site.test"));
        }
    })
    .await;
}

#[tokio::test]
async fn http2_is_spoken_where_it_was_negotiated_and_http1_where_that_is_wanted() {
    bounded(async {
        let (caller, server) = start(Backend::ServiceTlsOfBoth).await;
        let mut server = RawHttp2::new(server.into_acceptor());
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.greet(100).await;
        let stream = connection.request().await;
        connection.answer(stream, b"shared").await;
        let whole = client.await.expect("no panic").expect("a response");
        assert_eq!((whole.head.version, &whole.body[..]), (Version::HTTP_2, &b"shared"[..]));

        let mut server = Server::new(server.into_acceptor());
        let mut alone = get("/alone");
        http1_only(&mut alone);
        let (_http1, received, _) = server.open(caller.fetch(alone), answer("")).await;
        assert_eq!(received.line, "GET /alone HTTP/1.1");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_negotiates_http2_where_none_is_wanted_is_told_of_in_the_error() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let pool = Pool::builder(Saying::new(true, false)).http2(Http2::Off).build();
        let pool = pool.expect("settings that make sense");
        let unwanted = address(&format!("https://{}", endpoint.address));
        let error = pool.http(&unwanted, get("/")).await.expect_err("no HTTP/2");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(
            error.to_string().contains("HTTP/2 was negotiated, which was not wanted"),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn both_ends_and_the_protocol_of_a_connection_are_known() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let address = address(&format!("http://{}", endpoint.address));
        let connector = Saying::new(true, false);
        let connected =
            connector.connect(&address, &ConnectOptions::new()).await.expect("a connection");
        assert_eq!(connected.peer_address, Some(endpoint.address));
        assert!(connected.local_address.is_some() && connected.kernel_check.is_some());
        assert_eq!(connected.protocol, Protocol::Http2);
    })
    .await;
}

/// A number that stands for a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Number(u16);

impl ServiceAddress for Number {
    fn uri(&self) -> Uri {
        format!("http://127.0.0.1:{}/", self.0).parse().expect("a URI")
    }

    fn target(&self) -> pool_core::Target {
        pool_core::Target::http("numbered.test".parse().expect("an authority"))
    }
}

#[tokio::test]
async fn an_address_of_the_callers_own_says_what_it_means_in_http() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let mut server = Server::new(endpoint.acceptor);
        let connector = ServiceConnector::new(HttpConnector::new()).with_addresses::<Number>();
        let pool = Pool::new(connector);
        let number = Number(endpoint.address.port());
        let client = async { Whole::read(pool.http(&number, get("/")).await?).await };
        let (_connection, received, _) = server.open(client, answer("")).await;
        assert_eq!(received.header("host"), Some("numbered.test"));
    })
    .await;
}

/// A service that lacks a descriptor, and says so deep in its error.
#[derive(Clone)]
struct Lacking;

impl Service<Uri> for Lacking {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let lacking = io::Error::from_raw_os_error(24);
        std::future::ready(Err(io::Error::other(lacking).into()))
    }
}

#[tokio::test]
async fn what_this_machine_lacks_is_not_held_against_the_address_of_a_service() {
    bounded(async {
        let connector = ServiceConnector::new(Lacking);
        let error = connector
            .connect(&address("http://site.test"), &ConnectOptions::new())
            .await
            .expect_err("no descriptor");
        assert_eq!(connector.fault(&error), Fault::Descriptors);

        let refused = ServiceConnector::new(HttpConnector::new());
        let nobody = address("http://127.0.0.1:1");
        let error =
            refused.connect(&nobody, &ConnectOptions::new()).await.expect_err("nobody listens");
        assert_eq!(
            (error.kind(), refused.fault(&error)),
            (io::ErrorKind::ConnectionRefused, Fault::Peer)
        );
    })
    .await;
}
