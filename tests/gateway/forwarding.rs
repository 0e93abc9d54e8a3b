//! What upstreams get of a request, and clients of an answer.

use pooled_fetch_tests::{EchoServer, answer, bounded};

use crate::client::{GET, Raw, ask, upstream};
use crate::process::Gateway;

#[tokio::test]
async fn what_is_of_one_connection_stays_there_and_a_proxy_says_that_it_is_one() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &["--via", "edge"]).await;
        let mut client = Raw::connect(gateway.address).await;
        client
            .write(
                "GET /path?query HTTP/1.1\r\nhost: example.org:81\r\nconnection: keep-alive, x-hop, upgrade\r\n\
                 keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nx-hop: 1\r\nte: trailers, gzip\r\n\
                 upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nx-end: 1\r\n\r\n",
            )
            .await;
        let mut connection = server.accept().await;
        let request = connection.read_request().await;
        assert_eq!(request.line, "GET /path?query HTTP/1.1");
        for gone in ["keep-alive", "proxy-connection", "x-hop", "upgrade"] {
            assert_eq!(request.header(gone), None, "{gone}");
        }
        for (name, value) in [
            ("host", "example.org:81"),
            ("x-end", "1"),
            ("te", "trailers"),
            ("connection", "te"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "example.org:81"),
            ("via", "1.1 edge"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        connection
            .write(
                "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\n\
                 x-end: 2\r\ncontent-length: 2\r\n\r\nok",
            )
            .await;
        let response = client.read_until("ok").await.to_lowercase();
        assert!(response.starts_with("http/1.1 200 ok\r\n"), "{response}");
        assert!(!response.contains("hop") && !response.contains("keep-alive"), "{response}");
        assert!(response.contains("\r\nx-end: 2\r\n"), "{response}");
        assert!(response.contains("\r\nvia: 1.1 edge\r\n"), "{response}");
    })
    .await;
}

#[tokio::test]
async fn a_client_is_believed_about_forwarding_only_behind_another_proxy() {
    const REQUEST: &str = "GET / HTTP/1.1\r\nhost: example.org\r\nx-forwarded-for: 192.0.2.1\r\n\
                           x-forwarded-proto: https\r\nx-forwarded-host: a.test\r\nconnection: close\r\n\r\n";
    bounded(async {
        for (options, whom, scheme, host) in [
            (&[][..], "127.0.0.1", "http", "example.org"),
            (&["--behind-proxy"], "192.0.2.1, 127.0.0.1", "https", "a.test"),
        ] {
            let (address, server) = upstream().await;
            let echo = EchoServer::start(server, |request| {
                let field = |name| request.header(name).unwrap_or("-").to_owned();
                let fields =
                    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"].map(field);
                answer(fields.join(" "))
            });
            let gateway = Gateway::start(address, options).await;
            let told = ask(gateway.address, REQUEST).await;
            assert!(told.ends_with(&format!("\r\n\r\n{whom} {scheme} {host}")), "{told}");
            drop(echo);
        }
    })
    .await;
}

#[tokio::test]
async fn the_host_is_that_of_the_target_and_a_request_without_one_goes_nowhere() {
    bounded(async {
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |request| {
            answer(format!("{} {}", request.header("host").unwrap_or("-"), request.target()))
        });
        let gateway = Gateway::start(address, &[]).await;
        let ask = async |head: &str| {
            ask(gateway.address, &format!("{head}\r\nconnection: close\r\n\r\n")).await
        };
        let told = ask("GET http://user@a.test:8/x HTTP/1.1\r\nhost: b.test").await;
        assert!(told.ends_with("a.test:8 /x"), "{told}");
        for bad in ["GET / HTTP/1.1\r\nx: 1", "GET / HTTP/1.1\r\nhost: a.test\r\nhost: b.test"] {
            let told = ask(bad).await;
            assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
        }
        let told = ask("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443").await;
        assert!(told.starts_with("HTTP/1.1 405 "), "{told}");
    })
    .await;
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &[]).await;
        let mut client = Raw::connect(gateway.address).await;
        client
            .write("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n")
            .await;
        let mut connection = server.accept().await;
        let head = connection.read_head().await;
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        // Half of each is there before the other half is sent.
        assert_eq!(connection.read_exactly(7).await, "2\r\nab\r\n");
        connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nxy\r\n").await;
        client.read_until("2\r\nxy\r\n").await;
        client.write("2\r\ncd\r\n0\r\n\r\n").await;
        assert_eq!(connection.read_exactly(12).await, "2\r\ncd\r\n0\r\n\r\n");
        connection.write("2\r\nzz\r\n0\r\n\r\n").await;
        assert_eq!(client.read_until("0\r\n\r\n").await, "2\r\nzz\r\n0\r\n\r\n");
    })
    .await;
}

#[tokio::test]
async fn a_request_goes_to_the_upstream_with_less_to_do() {
    bounded(async {
        let (busy, mut server) = upstream().await;
        let (free, other) = upstream().await;
        let echo = EchoServer::start(other, |_| answer("free"));
        let gateway = Gateway::start(format!("{busy},{free}"), &[]).await;
        let mut connection = server.accept().await;
        let mut held = loop {
            // Until the busy one is drawn, which is busy from then on.
            let mut client = Raw::connect(gateway.address).await;
            client.write(GET).await;
            tokio::select! {
                _ = connection.read_request() => break client,
                _ = client.read_to_end() => {}
            }
        };
        let before = echo.served().len();
        for _ in 0..20 {
            assert!(ask(gateway.address, GET).await.ends_with("free"));
        }
        assert_eq!(echo.served().len(), before + 20);
        connection.write(answer("busy")).await;
        assert!(held.read_to_end().await.ends_with("busy"));
    })
    .await;
}
