//! Requests as spans and connections as events, with the names of OpenTelemetry.

use std::io::{self, Write};
use std::sync::Arc;

use http::{Method, Request};
use http_body_util::Empty;
use parking_lot::Mutex;
use pool_core::TracingObserver;
use pooled_fetch_tests::{Backend, SERVER_NAME, answer, bounded, get, start_with};
use tracing::subscriber::DefaultGuard;
use tracing::{Level, info_span};
use tracing_subscriber::fmt::format::FmtSpan;

/// What the subscriber of a thread has written.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn subscribe(most: Level) -> (Self, DefaultGuard) {
        let written = Self::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(most)
            .with_ansi(false)
            .without_time()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .finish();
        (written, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of the pool since this was called last.
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock());
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().filter(|line| line.contains("pooled_fetch")).map(str::to_owned).collect()
    }
}

#[track_caller]
fn has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
}

#[tokio::test]
async fn a_request_is_a_span_with_the_names_of_opentelemetry() {
    bounded(async {
        let (written, _subscribed) = Written::subscribe(Level::INFO);
        let (caller, mut server) =
            start_with(Backend::Tcp, |settings| settings.observer(TracingObserver::new())).await;
        let request = Request::get("http://user:secret@example.org/path?token=secret");
        let request = request.body(Empty::new()).expect("a head");
        let outer = info_span!("outer");
        let entered = outer.enter();
        let (_open, ..) = server.open(caller.fetch(request), answer("whole")).await;
        drop(entered);
        let lines = written.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let address = format!("{:?}", caller.address);
        let (host, port) = address.rsplit_once(':').expect("of a socket");
        has(
            &lines[0],
            &[
                "outer:HTTP{",
                "otel.name=\"GET\"",
                "otel.kind=\"client\"",
                "http.request.method=\"GET\"",
                &format!("server.address=\"{host}\" server.port={port}"),
                "http.response.status_code=200",
                "http.response.body.size=5",
                "url.full=\"http://example.org/path\"",
                "network.protocol.name=\"http\"",
                "network.protocol.version=\"1.1\"",
                "network.peer.address=",
                "pooled_fetch.connection.reused=false",
            ],
        );
        assert!(!lines[0].contains("secret") && !lines[0].contains("error.type"), "{}", lines[0]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_says_how_and_a_method_of_ones_own_is_another() {
    bounded(async {
        let (written, _subscribed) = Written::subscribe(Level::INFO);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(TracingObserver::new())).await;
        let own = Method::from_bytes(b"BREW").expect("a token");
        let request = Request::builder().method(own).uri("/").body(Empty::new()).expect("a head");
        let teapot = "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n";
        let (connection, ..) = server.open(caller.fetch(request), teapot).await;
        has(
            &written.lines()[0],
            &[
                "http.request.method=\"_OTHER\"",
                "http.request.method_original=\"BREW\"",
                "otel.status_code=\"ERROR\"",
                "error.type=\"418\"",
            ],
        );
        drop(connection);
        caller.watch.until_open(0).await;
        caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
        caller.fetch(get("/")).await.expect_err("refused");
        let lines = written.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        has(&lines[0], &["WARN", "could not be opened", "connection refused"]);
        has(&lines[1], &["otel.status_code=\"ERROR\"", "error.type=\"connect\""]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_connections_is_told_in_detail_where_that_is_wanted() {
    bounded(async {
        let (written, _subscribed) = Written::subscribe(Level::TRACE);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(TracingObserver::new())).await;
        let (_open, ..) = server.open(caller.fetch(get("/")), answer("whole")).await;
        caller.pool.close_idle();
        let lines = written.lines();
        for (level, text) in [
            ("DEBUG", "opened"),
            ("TRACE", "checked out"),
            ("TRACE", "checked in"),
            ("DEBUG", "closed"),
        ] {
            let told = |line: &&String| line.contains(level) && line.contains(text);
            assert_eq!(lines.iter().filter(told).count(), 1, "{text}: {lines:#?}");
        }
        has(lines.last().expect("lines"), &["reason=\"unwanted\"", "requests=1", "read="]);
    })
    .await;
}

#[tokio::test]
async fn a_server_is_named_as_its_connector_names_it_and_not_by_the_text_of_its_address() {
    bounded(async {
        for (backend, scheme, host) in [
            (Backend::Tls, "https", SERVER_NAME),
            (Backend::Unix, "http", "localhost"),
            (Backend::Names, "http", SERVER_NAME),
        ] {
            let (written, _subscribed) = Written::subscribe(Level::INFO);
            let (caller, mut server) =
                start_with(backend, |settings| settings.observer(TracingObserver::new())).await;
            let (_open, ..) = server.open(caller.fetch(get("/path?query")), answer("whole")).await;
            let lines = written.lines();
            let full = format!("url.full=\"{scheme}://{host}");
            has(&lines[0], &[&full, "/path\"", &format!("server.address=\"{host}\" server.port=")]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_otherwise_says_so() {
    bounded(async {
        let (written, _subscribed) = Written::subscribe(Level::INFO);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(TracingObserver::new())).await;
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
        let (mut connection, _, response) = server.open(caller.send(get("/")), half).await;
        drop(response);
        connection.ends().await;
        let dropped = ["error.type=\"dropped\"", "http.response.body.size=0", "status_code=200"];
        has(&written.lines()[0], &dropped);

        let client = tokio::spawn(caller.fetch(get("/")));
        let connection = server.accept().await;
        drop(connection);
        client.await.expect("no panic").expect_err("it closed");
        let lines = written.lines();
        let lost = lines.last().expect("a span");
        has(lost, &["error.type=\"response\"", "pooled_fetch.connection.id="]);
        assert!(!lost.contains("body.size"), "{lost}");
    })
    .await;
}
