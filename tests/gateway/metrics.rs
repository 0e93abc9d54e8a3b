//! What Prometheus is told.

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
