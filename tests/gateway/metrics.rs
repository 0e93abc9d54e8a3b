//! What those who run it are told: Prometheus, and the access log.

use pooled_fetch_tests::{EchoServer, answer, bounded};

use crate::client::{GET, ask, upstream};
use crate::process::Gateway;

#[tokio::test]
async fn prometheus_is_told_what_the_pool_has_done() {
    bounded(async {
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |_| answer("ok"));
        let gateway = Gateway::start(address, &[]).await;
        for _ in 0..3 {
            assert!(ask(gateway.address, GET).await.ends_with("ok"));
        }
        // Times are added up once a second.
        let count = format!("gateway_answer_seconds_count{{upstream=\"{address}\"}} 3");
        let text = loop {
            let (status, text) = gateway.look("/metrics").await;
            assert_eq!(status, 200);
            if text.contains(&count) {
                break text;
            }
        };
        for (metric, label, value) in [
            ("up", "", 1),
            ("quarantined", "", 0),
            ("connections", ",state=\"idle\"", 1),
            ("connections", ",state=\"lent\"", 0),
            ("requests_total", "", 3),
            ("opened_total", "", 1),
            ("reused_total", "", 2),
            ("answers_total", ",class=\"2xx\"", 3),
            ("answer_seconds_bucket", ",le=\"+Inf\"", 3),
        ] {
            let line = format!("gateway_{metric}{{upstream=\"{address}\"{label}}} {value}");
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request_with_what_became_of_it() {
    bounded(async {
        let (address, server) = upstream().await;
        let _echo = EchoServer::start(server, |_| answer("ok"));
        let mut gateway = Gateway::start(address, &["--access-log"]).await;
        for (request, status, bytes, end) in [
            (GET, 200, 2, "whole"),
            ("GET / HTTP/1.1\r\nconnection: close\r\n\r\n", 400, 16, "own"),
        ] {
            ask(gateway.address, request).await;
            let line = gateway.logged().await;
            for told in [
                "client=127.0.0.1".to_owned(),
                "method=GET".to_owned(),
                "target=\"/\"".to_owned(),
                format!("status={status}"),
                format!("bytes={bytes}"),
                format!("end=\"{end}\""),
            ] {
                assert!(line.contains(&told), "{told} in {line}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_upstream_that_answers_out_of_step_is_shown_as_quarantined() {
    bounded(async {
        let (address, mut server) = upstream().await;
        let gateway = Gateway::start(address, &[]).await;
        // For a second, and longer each time, should this machine be too busy to see the first.
        loop {
            let request = tokio::spawn(async move { ask(gateway.address, GET).await });
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(answer("ok")).await;
            assert!(request.await.expect("no panic").ends_with("ok"));
            connection.try_write("stray").await.ok();
            connection.ends().await;
            if gateway.upstreams().await[0]["quarantined"] == true {
                break;
            }
        }
    })
    .await;
}
