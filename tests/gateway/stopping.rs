//! Told to stop, the gateway takes nobody in and cuts nobody off.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use pooled_fetch_tests::{answer, bounded};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

use crate::client::{GET, Raw, http2, of_http2, upstream};
use crate::process::Gateway;

#[tokio::test]
async fn requests_under_way_are_answered_whole_and_no_other_is_taken() {
    answers_what_is_under_way("1").await;
}

#[tokio::test]
async fn so_they_are_where_clients_are_divided_among_threads() {
    answers_what_is_under_way("3").await;
}

async fn answers_what_is_under_way(threads: &str) {
    bounded(async {
        let (address, mut server) = upstream().await;
        let mut gateway = Gateway::start(address, &["--threads", threads]).await;
        // One that waits for its head, one in the middle of its body, one in HTTP/2, and one that has nothing to do.
        let mut waiting = Raw::connect(gateway.address).await;
        waiting.write(GET).await;
        let mut first = server.accept().await;
        first.read_request().await;
        let mut reading = Raw::connect(gateway.address).await;
        reading.write(GET).await;
        let mut second = server.accept().await;
        second.read_request().await;
        second.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
        reading.read_until("half").await;
        let mut client = http2(gateway.address).await.ready().await.expect("a connection");
        let (response, mut body) =
            client.send_request(of_http2("POST", "/"), false).expect("a stream");
        let mut third = server.accept().await;
        third.read_head().await;
        let mut idle = Raw::connect(gateway.address).await;
        idle.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut fourth = server.accept().await;
        fourth.read_request().await;
        fourth.write(answer("ok")).await;
        idle.read_until("ok").await;

        gateway.stop().await;
        assert_eq!(idle.read_to_end().await, "", "closed");
        while TcpStream::connect(gateway.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(gateway.look("/healthy").await.0, 503);
        first.write(answer("late")).await;
        let told = waiting.read_to_end().await;
        assert!(told.contains("connection: close") && told.ends_with("late"), "{told}");
        second.write("half").await;
        assert_eq!(reading.read_to_end().await, "half");
        body.send_data(Bytes::from("rest"), true).expect("a stream");
        assert!(third.read_exactly(4).await.starts_with(b"4"));
        third.write(answer("whole")).await;
        let mut told = response.await.expect("an answer").into_body();
        assert_eq!(told.data().await.expect("a body").expect("whole"), "whole");
        assert!(told.data().await.is_none());
        assert!(gateway.ended().await.success());
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_may_go_on_for_the_grace_period_and_no_longer() {
    bounded(async {
        let (address, server) = upstream().await;
        let mut acceptor = server.into_acceptor();
        let serve = tokio::spawn(async move {
            while let Some(stream) = acceptor.accept().await {
                let Ok(mut socket) = accept_async(stream).await else { continue };
                while let Some(Ok(message)) = socket.next().await {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
            }
        });
        let mut gateway = Gateway::start(address, &["--grace", "0.5"]).await;
        let stream = TcpStream::connect(gateway.address).await.expect("the gateway");
        let request = format!("ws://{}/chat", gateway.address);
        let (mut socket, _) = client_async(request, stream).await.expect("a handshake");
        gateway.stop().await;
        socket.send(Message::text("still here")).await.expect("the gateway");
        let echo = socket.next().await.expect("a message").expect("no failure");
        assert_eq!(echo, Message::text("still here"));
        assert!(!matches!(socket.next().await, Some(Ok(_))), "the period is over");
        assert!(gateway.ended().await.success());
        serve.abort();
    })
    .await;
}
