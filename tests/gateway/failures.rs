//! What clients are told when an upstream fails: neither more nor less than is known, and no address.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::Reason;
use pooled_fetch_tests::{EchoServer, Http2Server, answer, bounded, tcp_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::client::{GET, POST, Raw, ask, http2, of_http2, upstream};
use crate::process::Gateway;

/// An address at which nobody listens, and which no other test gets for as long as this is held.
fn nobody(at: SocketAddr) -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // For a listener at the same address, as long as that is there.
    socket.set_reuseport(true).expect("an option that there is");
    socket.bind(at).expect("a port");
    (socket.local_addr().expect("an address"), socket)
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// The answer, which tells no address of an upstream.
async fn told(gateway: &Gateway, upstream: SocketAddr, request: &str) -> String {
    let told = ask(gateway.address, request).await;
    assert!(!told.contains(&upstream.port().to_string()), "{told}");
    told
}

#[tokio::test]
async fn an_answer_that_is_cut_never_looks_whole() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &[]).await;
        for (field, half) in
            [("transfer-encoding: chunked", "4\r\nhalf\r\n"), ("content-length: 8", "half")]
        {
            let head = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{half}");
            let mut client = Raw::connect(gateway.address).await;
            client.write(GET).await;
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(&head).await;
            let told = client.read_until(half).await;
            assert!(told.starts_with("HTTP/1.1 200 OK"), "{told}");
            drop(connection);
            assert_eq!(client.read_to_end().await, "", "no last chunk");

            let mut client = http2(gateway.address).await.ready().await.expect("a connection");
            let (response, _) = client.send_request(of_http2("GET", "/"), true).expect("a stream");
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(&head).await;
            let mut body = response.await.expect("a head").into_body();
            assert_eq!(body.data().await.expect("some of it").expect("no reset yet"), "half");
            drop(connection);
            let error = body.data().await.expect("no end").expect_err("a reset");
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        }
        gateway.until(|upstreams| upstreams[0]["cut"] == 4).await;
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_answers_nonsense_is_a_bad_gateway() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &[]).await;
        let nonsense = async {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write("SSH-2.0-server\r\n\r\n").await;
            connection
        };
        let (told, _) = tokio::join!(told(&gateway, address, GET), nonsense);
        assert!(told.starts_with("HTTP/1.1 502 ") && told.ends_with("502 Bad Gateway\n"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_takes_too_long_is_a_timeout() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &["--response-timeout", "0.05"]).await;
        let silent = async {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection
        };
        let (told, _) = tokio::join!(told(&gateway, address, GET), silent);
        assert!(told.starts_with("HTTP/1.1 504 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_request_for_which_there_is_no_place_may_come_again() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let options = ["--max-connections", "1", "--max-waiting", "0"];
        let gateway = Gateway::start(address, &options).await;
        let mut first = Raw::connect(gateway.address).await;
        first.write(GET).await;
        let mut connection = server.accept().await;
        connection.read_request().await;
        let told = told(&gateway, address, GET).await.to_lowercase();
        assert!(told.starts_with("http/1.1 503 "), "{told}");
        assert!(told.contains("\r\nretry-after: 1\r\n"), "{told}");
        connection.write(answer("ok")).await;
        assert!(first.read_to_end().await.ends_with("ok"));
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_is_down_is_not_dialled_for_each_request_and_is_used_again_when_it_is_back()
 {
    bounded(async {
        let (address, socket) = nobody(any_port());
        let gateway = Gateway::start(address, &[]).await;
        gateway.until(|upstreams| upstreams[0]["state"] == "failing").await;
        let told_503 = async {
            loop {
                let told = told(&gateway, address, GET).await;
                if told.starts_with("HTTP/1.1 503 ") {
                    break;
                }
                assert!(told.starts_with("HTTP/1.1 502 "), "{told}");
            }
        };
        told_503.await;
        let (status, _) = gateway.look("/healthy").await;
        assert_eq!(status, 503);

        let listener = socket.listen(16).expect("the same port");
        let back = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("the gateway");
                tokio::spawn(async move {
                    let mut head = [0; 1024];
                    while matches!(stream.read(&mut head).await, Ok(read) if read > 0) {
                        stream.write_all(&answer("back")).await.expect("the gateway");
                    }
                });
            }
        });
        gateway.until(|upstreams| upstreams[0]["state"] == "up").await;
        assert!(ask(gateway.address, GET).await.ends_with("back"));
        assert_eq!(gateway.look("/healthy").await.0, 200);
        back.abort();
    })
    .await;
}

#[tokio::test]
async fn a_request_that_finds_no_connection_goes_to_another_upstream_with_its_body() {
    bounded(async {
        let (at, _held) = nobody(any_port());
        let (_, listens) = nobody(at);
        let gone = listens.listen(16).expect("a listener");
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |request| answer(&request.body));
        let to = format!("{},{address}", at);
        let gateway = Gateway::start(to, &[]).await;
        // It was there, and nothing says yet that it is not any more.
        drop(gone.accept().await.expect("the gateway"));
        drop(gone);
        gateway.until(|upstreams| upstreams[0]["state"] == "idle").await;
        while gateway.upstreams().await[0]["failed_to_open"] == 0 {
            let told = ask(gateway.address, POST).await;
            assert!(told.ends_with("hi"), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_get_that_was_lost_with_an_idle_connection_goes_to_another_upstream() {
    bounded(async {
        // Held all the time, so that no other test has the port when the listener is gone.
        let (at, _held) = nobody(any_port());
        let (_, listens) = nobody(at);
        let gone = listens.listen(16).expect("a listener");
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |_| answer("other"));
        let gateway = Gateway::start(format!("{at},{address}"), &[]).await;
        let (mut stream, _) = gone.accept().await.expect("the gateway");
        drop(gone);
        let dies = tokio::spawn(async move { stream.read(&mut [0; 1024]).await });
        while !dies.is_finished() {
            let told = ask(gateway.address, GET).await;
            assert!(told.ends_with("other"), "{told}");
        }
        assert!(dies.await.expect("no panic").expect("a request") > 0, "it was lost on its way");
    })
    .await;
}

#[tokio::test]
async fn a_request_that_was_lost_with_an_idle_connection_is_not_answered() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &[]).await;
        let serve = async {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(answer("ok")).await;
            // It is gone with the next, whatever that says.
            connection.read_request().await;
            drop(connection);
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(answer("ok")).await;
            connection.read_request().await;
        };
        let ask = async {
            assert!(ask(gateway.address, GET).await.ends_with("ok"));
            assert_eq!(ask(gateway.address, POST).await, "", "closed, without a word");
            assert!(ask(gateway.address, GET).await.ends_with("ok"));
            let mut client = http2(gateway.address).await.ready().await.expect("a connection");
            let request = of_http2("POST", "/");
            let (response, mut body) = client.send_request(request, false).expect("a stream");
            body.send_data(Bytes::from("hi"), true).expect("a stream");
            let error = response.await.expect_err("a reset");
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        };
        tokio::join!(ask, serve);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_an_upstream_refused_is_refused() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let address = endpoint.address;
        let mut server = Http2Server::start(endpoint.acceptor, 100);
        let gateway = Gateway::start(format!("h2c://{address}"), &[]).await;
        let mut client = http2(gateway.address).await.ready().await.expect("a connection");
        // Its body streams, and cannot be sent a second time.
        let (response, mut body) =
            client.send_request(of_http2("POST", "/"), false).expect("a stream");
        body.send_data(Bytes::from("half"), false).expect("a stream");
        let mut stream = server.next().await;
        assert!(stream.request.body_mut().data().await.is_some());
        stream.reset(Reason::REFUSED_STREAM);
        let error = response.await.expect_err("a reset");
        assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    })
    .await;
}
