//! The protocols that go through: TLS on either side, Unix sockets, HTTP/2 in, WebSocket, gRPC.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use pool_core::Pool;
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, Directory, EchoServer, Http2Server, Server, Valid, answer, bounded, tcp_endpoint,
    tls_endpoint,
};
use tokio::net::{TcpStream, UnixListener};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::client::{GET, ask, http2, of_http2, upstream};
use crate::process::Gateway;

#[tokio::test]
async fn clients_come_in_over_tls_in_both_versions() {
    bounded(async {
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |request| {
            let field = |name| request.header(name).unwrap_or("-").to_owned();
            answer(["x-forwarded-proto", "via", "host"].map(field).join(" "))
        });
        let directory = Directory::new();
        let authority = Authority::new();
        let (cert, key) = authority.issue(&["localhost"], Valid::Now).pem();
        let file = |name: &str, content: String| {
            let path = directory.path().join(name);
            fs::write(&path, content).expect("a file");
            path.display().to_string()
        };
        let (cert, key) = (file("cert", cert), file("key", key));
        let gateway = Gateway::start(address, &["--cert", &cert, "--key", &key]).await;
        let server =
            TlsAddress::new(gateway.address, ServerName::try_from("localhost").expect("a name"));
        for (protocol, via) in [("http/1.1", "1.1"), ("h2", "2.0")] {
            let config = Arc::new(authority.client(&[protocol], None));
            let pool = Pool::new(TlsConnector::with_config(TcpConnector::new(), config));
            let request = Request::get("/").body(Empty::<Bytes>::new()).expect("a request");
            let response = pool.http(&server, request).await.expect("an answer");
            let told = response.into_body().collect().await.expect("a whole one").to_bytes();
            let host = format!("localhost:{}", gateway.address.port());
            assert_eq!(told, format!("https {via} gateway {host}"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_over_tls_has_to_prove_who_it_is() {
    bounded(async {
        let authority = Authority::new();
        let (address, acceptor) =
            tls_endpoint(authority.server(&["localhost"], &["http/1.1"])).await;
        let _echo = EchoServer::start(Server::new(acceptor), |_| answer("secret"));
        let directory = Directory::new();
        let ca = directory.path().join("ca");
        fs::write(&ca, authority.pem()).expect("a file");
        let ca = ca.display().to_string();
        let to = format!("https://localhost:{}", address.port());
        let trusting = Gateway::start(&to, &["--ca", &ca]).await;
        assert!(ask(trusting.address, GET).await.ends_with("secret"));
        let other = Gateway::start(&to, &[]).await;
        let told = ask(other.address, GET).await;
        assert!(told.starts_with("HTTP/1.1 50"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_may_be_behind_a_unix_socket() {
    bounded(async {
        let directory = Directory::new();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let serve = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("the gateway");
            let mut head = [0; 1024];
            while matches!(tokio::io::AsyncReadExt::read(&mut stream, &mut head).await, Ok(1..)) {
                let whole = answer("unix");
                tokio::io::AsyncWriteExt::write_all(&mut stream, &whole)
                    .await
                    .expect("the gateway");
            }
        });
        let gateway = Gateway::start(format!("unix:{}", path.display()), &[]).await;
        assert!(ask(gateway.address, GET).await.ends_with("unix"));
        serve.abort();
    })
    .await;
}

#[tokio::test]
async fn a_websocket_goes_through_to_a_server_that_offers_http2_to_others() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["localhost"], &["h2", "http/1.1"]);
        let (address, mut acceptor) = tls_endpoint(config).await;
        let serve = tokio::spawn(async move {
            // The first is the one that is opened to see whether the upstream is there.
            while let Some(stream) = acceptor.accept().await {
                tokio::spawn(async move {
                    let Ok(mut socket) = accept_async(stream).await else { return };
                    while let Some(Ok(message)) = socket.next().await {
                        if message.is_close() {
                            break;
                        }
                        socket.send(message).await.expect("the gateway");
                    }
                });
            }
        });
        let directory = Directory::new();
        let ca = directory.path().join("ca");
        fs::write(&ca, authority.pem()).expect("a file");
        let options = ["--ca", &ca.display().to_string()];
        let to = format!("https://localhost:{}", address.port());
        let gateway = Gateway::start(to, &options).await;
        let stream = TcpStream::connect(gateway.address).await.expect("the gateway");
        let request = format!("ws://{}/chat", gateway.address);
        let (mut socket, response) = client_async(request, stream).await.expect("a handshake");
        assert_eq!(response.status(), 101);
        for text in ["one", "another"] {
            socket.send(Message::text(text)).await.expect("the gateway");
            let echo = socket.next().await.expect("a message").expect("no failure");
            assert_eq!(echo, Message::text(text));
        }
        socket.close(None).await.expect("the gateway");
        serve.abort();
    })
    .await;
}

/// What gRPC is made of: HTTP/2 on both sides, `te: trailers`, messages both ways at once, a status in the trailers.
#[tokio::test]
async fn grpc_goes_through() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let address = endpoint.address;
        let mut server = Http2Server::start(endpoint.acceptor, 100);
        let gateway = Gateway::start(format!("h2c://{address}"), &[]).await;
        let mut client = http2(gateway.address).await.ready().await.expect("a connection");
        let mut request = of_http2("POST", "/echo.Echo/Both");
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        let (response, mut out) = client.send_request(request, false).expect("a stream");

        let mut stream = server.next().await;
        assert_eq!(stream.path(), "/echo.Echo/Both");
        assert_eq!(stream.request.headers()["te"], "trailers");
        let mut answers = stream.begin("hello");
        let mut told = response.await.expect("an answer").into_body();
        assert_eq!(told.data().await.expect("a message").expect("whole"), "hello");
        out.send_data(Bytes::from("one"), true).expect("a stream");
        assert_eq!(
            stream.request.body_mut().data().await.expect("a message").expect("whole"),
            "one"
        );
        answers.send_data(Bytes::from("two"), false).expect("a stream");
        assert_eq!(told.data().await.expect("a message").expect("whole"), "two");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        answers.send_trailers(trailers).expect("a stream");
        assert!(told.data().await.is_none());
        let trailers = told.trailers().await.expect("whole").expect("trailers");
        assert_eq!(trailers["grpc-status"], "0");
    })
    .await;
}
