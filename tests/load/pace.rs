//! When requests are sent, and from when their latency counts.

use std::time::Duration;

use http::Version;
use pooled_fetch_tests::{HyperServer, bounded, tcp_endpoint};
use tokio::time::interval;

use crate::process::{Load, load};

#[tokio::test]
async fn a_rate_is_so_many_requests_for_each_second() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/", endpoint.address);
        let told = load(&[&url, "-c4", "--rate", "200", "-d1s", "--json"]).await.json();
        assert_eq!(server.served().len(), 200);
        assert_eq!(told["requests"]["all"], 200);
        // The last is due after 995 ms, and no sooner.
        assert!(told["seconds"].as_f64().expect("a number") >= 0.995, "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_duration_is_the_end_where_there_is_no_rate() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/", endpoint.address);
        let told = load(&[&url, "-c2", "-d200ms", "--json"]).await.json();
        assert_eq!(told["requests"]["answered"], server.served().len());
        assert!(told["seconds"].as_f64().expect("a number") >= 0.2, "{told}");
    })
    .await;
}

/// With a rate of 200, 100 requests are due within half a second, and the server answers none for a second: so
/// each has waited for half a second at least, those included that were not sent meanwhile.
#[tokio::test]
async fn a_stall_counts_for_all_requests_that_were_due_in_it() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/held", endpoint.address);
        server.close_gate();
        let running = Load::start(&[&url, "-c4", "--rate", "200", "-n100", "--json"]);
        server.until_held(4).await;
        let mut seconds = interval(Duration::from_secs(1));
        seconds.tick().await;
        seconds.tick().await;
        assert_eq!(server.served().len(), 4, "no more than -c at once");
        server.open_gate();
        let told = running.end().await.json();
        assert_eq!(server.served().len(), 100);
        assert_eq!(told["latency"]["since"], "due");
        assert!(told["latency"]["min"].as_f64().expect("a number") >= 500_000.0, "{told}");
    })
    .await;
}

/// What does not hang for longer than the timeout is sent late; what would be sent later than that is not sent at all.
#[tokio::test]
async fn a_server_that_stalls_for_good_does_not_keep_a_run_for_ever() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/held", endpoint.address);
        server.close_gate();
        let arguments = ["-c1", "--rate=1000", "-d200ms", "--timeout=200ms", "--json", &url];
        let said = load(&arguments).await;
        let told = said.json();
        let count = |name: &str| told["requests"][name].as_u64().expect("a number");
        assert!(count("failed") > 0 && count("not_sent") > 0, "{told}");
        assert_eq!(count("all") + count("not_sent"), 200);
        assert_eq!(said.code, Some(1));
    })
    .await;
}
