//! A whole response has a time, and a body a rate, where that is set for the pool or for one request.
//!
//! The clock is paused, as in `timeouts`.

use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{ErrorKind, LeastRate, Reason, least_rate, total_timeout};
use pooled_fetch_tests::raw_http2::{END_STREAM, OK, RawConnection, RawHttp2};
use pooled_fetch_tests::{
    Caller, Connection, Protocol, Server, Settings, Whole, bounded, ends_idle, get, let_pass,
    start_protocol,
};
use tokio::time::{Instant, interval_at};

const TOTAL: Duration = Duration::from_secs(600);

const SECOND: Duration = Duration::from_secs(1);

/// The timer of tokio counts in milliseconds.
const GRAIN: Duration = Duration::from_millis(2);

fn took(start: Instant, wanted: Duration) {
    let took = start.elapsed();
    assert!((wanted..=wanted + GRAIN).contains(&took), "{took:?}, not {wanted:?}");
}

/// Runs a test over both versions.
async fn over_both(
    set: impl Fn(Settings) -> Settings + Copy + Send,
    test: impl AsyncFn(Caller, Peer),
) {
    for protocol in [Protocol::MemoryHttp1, Protocol::MemoryHttp2] {
        let (caller, server) = start_protocol(protocol, set).await;
        let peer = match protocol {
            Protocol::MemoryHttp1 => Peer::Http1(server),
            _ => Peer::Http2(RawHttp2::new(server.into_acceptor())),
        };
        bounded(test(caller, peer)).await;
    }
}

enum Peer {
    Http1(Server),
    Http2(RawHttp2),
}

/// A request that a server has read.
enum Asked {
    Http1(Connection),
    Http2(RawConnection, u32),
}

impl Peer {
    async fn asked(&mut self) -> Asked {
        match self {
            Self::Http1(server) => {
                let mut connection = server.accept().await;
                connection.read_request().await;
                Asked::Http1(connection)
            }
            Self::Http2(server) => {
                let mut connection = server.greet(10).await;
                let stream = connection.request().await;
                Asked::Http2(connection, stream)
            }
        }
    }
}

impl Asked {
    async fn head(&mut self) {
        match self {
            Self::Http1(connection) => {
                connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            }
            Self::Http2(connection, stream) => connection.head(*stream, 0, OK).await,
        }
    }

    /// So many bytes of the body; a client that has gone is not asked.
    async fn piece(&mut self, bytes: usize) {
        let content = vec![b'x'; bytes];
        match self {
            Self::Http1(connection) => {
                let chunk = [format!("{bytes:x}\r\n").as_bytes(), &content, b"\r\n"].concat();
                connection.try_write(chunk).await.ok();
            }
            Self::Http2(connection, stream) => connection.data(*stream, 0, &content).await,
        }
    }

    async fn end(&mut self) {
        match self {
            Self::Http1(connection) => connection.write("0\r\n\r\n").await,
            Self::Http2(connection, stream) => connection.data(*stream, END_STREAM, &[]).await,
        }
    }

    /// So many bytes in every interval, for ever.
    async fn trickle(mut self, bytes: usize, every: Duration) {
        self.head().await;
        let mut ticks = interval_at(Instant::now() + every, every);
        loop {
            ticks.tick().await;
            self.piece(bytes).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_on_beyond_the_total_time_is_an_error() {
    let set = |settings: Settings| settings.total_timeout(TOTAL).body_timeout(SECOND * 2);
    over_both(set, async |caller, mut peer| {
        let start = Instant::now();
        let client = tokio::spawn(caller.fetch(get("/")));
        let server = tokio::spawn(peer.asked().await.trickle(1, SECOND));
        let error = client.await.expect("no panic").expect_err("no end");
        took(start, TOTAL);
        assert_eq!(error.kind(), ErrorKind::TotalTimeout);
        let told = "waiting for the whole response of \"memory.test\": not done (total_timeout) \
                    within 600s";
        assert!(error.to_string().starts_with(told), "{error}");
        server.abort();
        drop(peer);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_within_the_total_time_is_an_error_and_says_what_was_sent() {
    over_both(
        |settings| settings.total_timeout(TOTAL),
        async |caller, mut peer| {
            let start = Instant::now();
            let client = tokio::spawn(caller.fetch(get("/")));
            let asked = peer.asked().await;
            let error = client.await.expect("no panic").expect_err("no answer");
            took(start, TOTAL);
            assert_eq!(error.kind(), ErrorKind::TotalTimeout);
            assert!(!error.evidence().is_unsent(), "{error}");
            assert_eq!(error.evidence().attempts(), 1);
            error.into_request().expect_err("its server has it");
            drop((asked, peer));
            ends_idle(caller).await;
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_total_time_runs_while_a_request_waits_for_a_connection_and_the_request_comes_back() {
    over_both(
        |settings| settings.total_timeout(SECOND),
        async |caller, peer| {
            caller.watch.close_gate();
            let start = Instant::now();
            let error = caller.fetch(get("/")).await.expect_err("no connection");
            took(start, SECOND);
            assert_eq!(error.kind(), ErrorKind::TotalTimeout, "{error}");
            assert!(error.evidence().is_unsent());
            error.into_request().expect("nobody has it");
            drop(peer);
            caller.watch.open_gate();
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_a_total_time_of_its_own_or_none() {
    over_both(
        |settings| settings.total_timeout(SECOND),
        async |caller, mut peer| {
            for own in [Some(SECOND * 3), None, Some(Duration::MAX)] {
                let mut request = get("/");
                total_timeout(&mut request, own);
                let start = Instant::now();
                let client = tokio::spawn(caller.fetch(request));
                let mut asked = peer.asked().await;
                asked.head().await;
                let_pass(SECOND * 2).await;
                asked.piece(1).await;
                if own == Some(SECOND * 3) {
                    let error = client.await.expect("no panic").expect_err("no end");
                    took(start, SECOND * 3);
                    assert_eq!(error.kind(), ErrorKind::TotalTimeout);
                } else {
                    let_pass(TOTAL).await;
                    asked.end().await;
                    assert_eq!(client.await.expect("no panic").expect("a response").body, "x");
                }
                drop(asked);
                caller.watch.until_open(0).await;
            }
            drop(peer);
            ends_idle(caller).await;
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_whole_can_be_read_after_the_total_time() {
    over_both(
        |settings| settings.total_timeout(SECOND),
        async |caller, mut peer| {
            let client = tokio::spawn(caller.send(get("/")));
            let mut asked = peer.asked().await;
            asked.head().await;
            let response = client.await.expect("no panic").expect("a head");
            asked.piece(4).await;
            asked.end().await;
            assert_eq!(Whole::read(response).await.expect("a body").body, "xxxx");
            let_pass(TOTAL).await;
            assert_eq!(caller.pool.stats().closed(Reason::TimedOut), 0);
            drop((asked, peer));
            ends_idle(caller).await;
        },
    )
    .await;
}

/// A byte every 250 ms under a body timeout of 500 ms would live for ever.
#[tokio::test(start_paused = true)]
async fn a_body_that_comes_more_slowly_than_the_least_rate_is_an_error() {
    let set = |settings: Settings| {
        let settings = settings.body_timeout(Duration::from_millis(500));
        settings.least_rate(LeastRate::new(100, SECOND * 10))
    };
    over_both(set, async |caller, mut peer| {
        let client = tokio::spawn(caller.fetch(get("/")));
        let asked = peer.asked().await;
        let start = Instant::now();
        let server = tokio::spawn(asked.trickle(1, Duration::from_millis(250)));
        let error = client.await.expect("no panic").expect_err("too slow");
        took(start, SECOND * 10);
        assert_eq!(error.kind(), ErrorKind::SlowBody);
        let told = "reading the response body from \"memory.test\": less than the 100 bytes in 10s \
                    of least_rate";
        assert!(error.to_string().starts_with(told), "{error}");
        server.abort();
        drop(peer);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_keeps_its_rate_for_a_while_is_measured_anew_in_each_period() {
    let set = |settings: Settings| settings.least_rate(LeastRate::new(100, SECOND * 10));
    over_both(set, async |caller, mut peer| {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut asked = peer.asked().await;
        asked.head().await;
        let start = Instant::now();
        // Much at once is not saved up.
        for _ in 0..6 {
            asked.piece(1000).await;
            let_pass(SECOND * 9).await;
        }
        let error = client.await.expect("no panic").expect_err("it has stopped");
        assert_eq!(error.kind(), ErrorKind::SlowBody);
        let took = start.elapsed();
        assert!(took > SECOND * 54 && took < SECOND * 75, "{took:?}");
        drop((asked, peer));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_slowly_blames_no_server() {
    let set = |settings: Settings| settings.least_rate(LeastRate::new(100, SECOND * 10));
    over_both(set, async |caller, mut peer| {
        let client = tokio::spawn(caller.send(get("/")));
        let mut asked = peer.asked().await;
        asked.head().await;
        let mut body = client.await.expect("no panic").expect("a head").into_body();
        for _ in 0..5 {
            asked.piece(1).await;
            body.frame().await.expect("a piece").expect("a piece");
            let_pass(TOTAL).await;
        }
        asked.end().await;
        assert!(body.frame().await.is_none());
        drop((body, asked, peer));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_have_a_least_rate_of_its_own_or_none() {
    let set = |settings: Settings| settings.least_rate(LeastRate::new(100, SECOND * 10));
    over_both(set, async |caller, mut peer| {
        for own in [Some(LeastRate::new(1, SECOND)), None] {
            let mut request = get("/");
            least_rate(&mut request, own);
            let client = tokio::spawn(caller.fetch(request));
            let mut asked = peer.asked().await;
            asked.head().await;
            let start = Instant::now();
            if own.is_some() {
                let error = client.await.expect("no panic").expect_err("too slow");
                took(start, SECOND);
                assert_eq!(error.kind(), ErrorKind::SlowBody);
            } else {
                let_pass(TOTAL).await;
                asked.end().await;
                client.await.expect("no panic").expect("a response");
            }
            drop(asked);
            caller.watch.until_open(0).await;
        }
        drop(peer);
        ends_idle(caller).await;
    })
    .await;
}
