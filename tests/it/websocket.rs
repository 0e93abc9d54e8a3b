//! A WebSocket goes through the gateway of the examples to a server that offers HTTP/2 over TLS.

#[path = "../../pooled-fetch/examples/gateway/forward.rs"]
mod forward;

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pool_core::{Connector, Pool};
use pooled_fetch_tests::{Backend, Endpoint, Whole, bounded, get};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

/// The gateway before this backend.
async fn gateway<C: Connector>(pool: Pool<C>, backend: C::Address) -> (SocketAddr, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pool, backend) = (pool.clone(), backend.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    forward::forward(pool.clone(), backend.clone(), request)
                });
                let server = http1::Builder::new();
                server.serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
            });
        }
    });
    (address, task.abort_handle())
}

#[tokio::test]
async fn a_websocket_goes_through_the_gateway_to_a_server_that_offers_http2() {
    bounded(async {
        let Endpoint { connector, address, mut acceptor } = Backend::TlsOfBoth.start().await;
        let pool = Pool::new(connector);
        let (front, task) = gateway(pool.clone(), address.clone()).await;

        // The server speaks HTTP/2 with whoever offers it.
        let client = tokio::spawn({
            let (pool, address) = (pool.clone(), address.clone());
            async move { Whole::read(pool.http(&address, get("/")).await?).await }
        });
        let mut http2 = h2::server::handshake(acceptor.accept().await.expect("a client")).await;
        let http2 = http2.as_mut().expect("a client in HTTP/2");
        let (_, mut respond) = http2.accept().await.expect("a request").expect("a whole one");
        respond.send_response(http::Response::new(()), true).expect("a client");
        let shared = tokio::select! {
            whole = client => whole.expect("no panic").expect("a response"),
            _ = http2.accept() => unreachable!("nothing else is asked"),
        };
        assert_eq!(shared.head.version, http::Version::HTTP_2);

        // With the gateway it speaks WebSocket over HTTP/1.1.
        let server = tokio::spawn(async move {
            let stream = acceptor.accept().await.expect("the gateway");
            let mut socket = accept_async(stream).await.expect("a handshake");
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() {
                    break;
                }
                socket.send(message).await.expect("the gateway");
            }
        });
        let stream = TcpStream::connect(front).await.expect("the gateway");
        let request = format!("ws://{front}/chat");
        let (mut socket, response) = client_async(request, stream).await.expect("a handshake");
        assert_eq!(response.status(), 101);
        for text in ["one", "another"] {
            socket.send(Message::text(text)).await.expect("the gateway");
            let echo = socket.next().await.expect("a message").expect("no failure");
            assert_eq!(echo, Message::text(text));
        }
        socket.close(None).await.expect("the gateway");
        server.await.expect("no panic");
        assert_eq!(pool.stats().opened, 2);
        task.abort();
    })
    .await;
}
