//! What it takes, and how it looks.

use http::Version;
use pooled_fetch_tests::{HyperServer, bounded, tcp_endpoint};

use crate::process::load;

#[tokio::test]
async fn what_makes_no_sense_is_told_and_sends_nothing() {
    bounded(async {
        for (arguments, why) in [
            (&[][..], "<URL>"),
            (&["ftp://localhost/"], "neither http nor https"),
            (&["http://a..b/"], "no bytes"),
            (&["unix:"], "the path of a socket"),
            (&["localhost", "-c0"], "--concurrency"),
            (&["localhost", "-d10x"], "\"x\" is no unit of time"),
            (&["localhost", "-dsoon"], "no unit of time"),
            (&["localhost", "--rate=0"], "--rate"),
            (&["localhost", "-Hnothing"], "a field is `name: value`"),
            (&["localhost", "-Ha b: c"], "no name of a field"),
            (&["localhost", "-mG T"], "--method"),
            (&["localhost", "--body=@/no/such/file"], "/no/such/file: "),
            (&["localhost", "--ca=x", "--insecure"], "cannot be used with"),
        ] {
            let said = load(arguments).await;
            assert_eq!((said.code, &*said.out), (Some(2), ""), "{arguments:?}");
            assert!(said.err.contains(why), "{arguments:?}: {}", said.err);
        }
        let said = load(&["https://localhost/", "--ca=/no/such/file"]).await;
        assert_eq!((said.code, &*said.out), (Some(1), ""));
        assert!(said.err.starts_with("load: /no/such/file: "), "{}", said.err);
    })
    .await;
}

#[tokio::test]
async fn people_are_told_all_figures_and_no_line_of_progress_where_nobody_looks() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let _server = HyperServer::start(endpoint.acceptor, Version::HTTP_11, 100);
        let url = format!("http://{}/", endpoint.address);
        let said = load(&[&url, "-n50", "-c2"]).await;
        assert_eq!((said.code, &*said.err), (Some(0), ""));
        for line in
            ["requests     50 ", "  p50 ", "  p99.9 ", "■", "  200        50\n", "  opened "]
        {
            assert!(said.out.contains(line), "{line}: {}", said.out);
        }
    })
    .await;
}

#[tokio::test]
async fn the_help_says_what_is_measured() {
    bounded(async {
        let said = load(&["--help"]).await;
        assert_eq!(said.code, Some(0));
        assert!(said.out.contains("not from when it was sent"), "{}", said.out);
    })
    .await;
}
