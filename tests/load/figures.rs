//! What is counted.

use http::Version;
use pooled_fetch_tests::{
    Authority, Directory, HyperServer, bounded, eventually, tcp_endpoint, tls_endpoint,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UnixListener};

use crate::process::{Load, load};

#[tokio::test]
async fn requests_connections_and_bytes_are_those_that_the_server_has_seen() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("{}/bytes/1000", endpoint.address);
        let said = load(&[&url, "-c", "8", "-n", "500", "--json"]).await;
        let told = said.json();
        assert_eq!((said.code, &*said.err), (Some(0), ""), "{told}");
        assert_eq!(server.served().len(), 500);
        assert_eq!(told["requests"]["all"], 500);
        assert_eq!(told["requests"]["answered"], 500);
        assert_eq!(told["statuses"], json!({ "200": 500 }));
        assert_eq!(told["bytes"], 500_000);
        assert_eq!(told["version"], "HTTP/1.1");
        assert_eq!(told["errors"], json!({}));
        let opened = told["connections"]["opened"].as_u64().expect("a number");
        assert!((1..=8).contains(&opened), "{told}");
        eventually("all are let in", || server.accepted() as u64 == opened).await;
        // Each answer came over a connection that was new to it, or was not.
        let mut first: Vec<_> = server.served().into_iter().map(|(number, _)| number).collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(told["connections"]["reused"], 500 - first.len());
        let latency = &told["latency"];
        assert_eq!(latency["since"], "sent");
        let steps = latency["histogram"].as_array().expect("steps");
        assert_eq!(steps.iter().filter_map(|step| step["count"].as_u64()).sum::<u64>(), 500);
        let names = ["min", "p50", "p75", "p90", "p95", "p99", "p99.9", "max"];
        let times: Vec<_> = names.map(|name| latency[name].as_f64().expect(name)).into();
        assert!(times.is_sorted() && times[0] > 0.0, "{latency}");
    })
    .await;
}

#[tokio::test]
async fn over_http2_one_connection_serves_all_workers() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_2, 100);
        let url = format!("http://{}/", endpoint.address);
        let told = load(&[&url, "-c8", "-n200", "--http2", "--warm", "--json"]).await.json();
        assert_eq!(server.served().len(), 200);
        assert_eq!((told["version"].as_str(), server.accepted()), (Some("HTTP/2"), 1));
        assert_eq!(told["connections"]["opened"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_believed_by_a_root_or_by_nobody_or_by_request() {
    bounded(async {
        let authority = Authority::new();
        let (address, acceptor) = tls_endpoint(authority.server(&["localhost"], &["h2"])).await;
        let server = HyperServer::start(acceptor, Version::HTTP_2, 100);
        let directory = Directory::new();
        let root = directory.path().join("root.pem");
        std::fs::write(&root, authority.pem()).expect("a file of ours");
        let url = format!("https://localhost:{}/", address.port());
        let always = ["-n4", "-c1", "--http2", "--json", &url];
        for trust in [&["--ca", root.to_str().expect("text")][..], &["--insecure"]] {
            let told = load(&[&always, trust].concat()).await.json();
            assert_eq!(told["requests"]["answered"], 4, "{told}");
        }
        assert_eq!(server.served().len(), 8);
        let said = load(&always).await;
        assert_eq!((said.code, &said.json()["errors"]["connect"]["count"]), (Some(1), &json!(4)));
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_is_what_was_asked_for() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let directory = Directory::new();
        let file = directory.path().join("body");
        std::fs::write(&file, "from a file").expect("a file of ours");
        let url = format!("http://{}/echo", endpoint.address);
        let from_file = format!("@{}", file.display());
        for (body, length) in [("hello", 5), (&*from_file, 11)] {
            let told = load(&[&url, "-n3", "-c1", "--body", body, "--json"]).await.json();
            assert_eq!((&told["bytes"], &told["method"]), (&json!(3 * length), &json!("POST")));
        }
        let told = load(&[&url, "-n3", "-mHEAD", "-Hx-a: b", "--json"]).await.json();
        assert_eq!((&told["bytes"], &told["method"]), (&json!(0), &json!("HEAD")));
        assert_eq!(server.served().len(), 9);
    })
    .await;
}

#[tokio::test]
async fn a_unix_socket_is_a_server_too() {
    bounded(async {
        let directory = Directory::new();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket of ours");
        let url = format!("unix:{}:/status?short", path.display());
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut head).await.expect("a client") > 0, "no request");
            }
            let answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.expect("a client");
            (String::from_utf8(head).expect("text"), stream)
        };
        let (said, (head, _)) = tokio::join!(load(&[&url, "-n1", "--json"]), serve);
        assert!(head.starts_with("GET /status?short HTTP/1.1\r\n"), "{head}");
        // A status is an answer, whatever it says.
        assert_eq!((said.code, &said.json()["statuses"]), (Some(0), &json!({ "503": 1 })));
    })
    .await;
}

#[tokio::test]
async fn an_address_that_refuses_is_an_error_of_its_kind_and_a_failure() {
    bounded(async {
        // It listens nowhere, and keeps its port from others.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        let url = socket.local_addr().expect("an address").to_string();
        let said = load(&[&url, "-n20", "-c2", "--json"]).await;
        let told = said.json();
        assert_eq!((said.code, &told["requests"]["failed"]), (Some(1), &json!(20)));
        assert_eq!(told["errors"]["connect"]["count"], 20);
        let first = told["errors"]["connect"]["first"].as_str().expect("text");
        assert!(first.ends_with("connection refused"), "{first}");
        assert!(told["latency"].is_null() && told["connections"]["opened"] == 0, "{told}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_an_error_after_the_timeout() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        server.close_gate();
        let url = format!("http://{}/held", endpoint.address);
        let said = load(&[&url, "-n2", "-c2", "--timeout", "50ms", "--json"]).await;
        assert_eq!(said.json()["errors"]["total_timeout"]["count"], 2);
        assert_eq!(said.code, Some(1));
    })
    .await;
}

#[tokio::test]
async fn an_interrupt_ends_a_run_early_and_it_reports_all_the_same() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/held", endpoint.address);
        server.close_gate();
        let running = Load::start(&[&url, "-c3", "-d10m", "--json"]);
        server.until_held(3).await;
        running.interrupt().await;
        let said = running.end().await;
        let told = said.json();
        assert_eq!((said.code, &told["interrupted"]), (Some(0), &json!(true)));
        assert_eq!(
            (&told["requests"]["all"], &told["requests"]["unfinished"]),
            (&json!(3), &json!(3))
        );
    })
    .await;
}
