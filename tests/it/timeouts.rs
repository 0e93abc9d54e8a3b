//! Each wait has a time of its own and an error of its own, and without a setting nothing ends it.
//!
//! The clock is paused, so it moves only when nothing else can happen: a time that was not to run out has
//! not run out because it was slow, and every time that passes is known to the millisecond.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use pool_core::{ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Upload, Whole, answer, bounded, ends_idle, eventually, feed, get, start, start_with,
};
use tokio::time::{Instant, advance, interval_at};

const LIMIT: Duration = Duration::from_secs(600);

const MINUTE: Duration = Duration::from_secs(60);

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The timer of tokio counts in milliseconds.
const GRAIN: Duration = Duration::from_millis(2);

/// Checks that what began at `start` has taken `wanted`, and no longer.
fn took(start: Instant, wanted: Duration) {
    let took = start.elapsed();
    assert!((wanted..=wanted + GRAIN).contains(&took), "{took:?}, not {wanted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_in_an_error_of_its_own() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        let start = Instant::now();
        connection.ends().await;
        took(start, LIMIT);
        let error = client.await.expect("no panic").expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        assert_eq!(error.address(), "\"memory.test\"");
        let told = "waiting for the response of \"memory.test\": no response within 600s \
                    (request 1 of a fresh connection, written, nothing read)";
        assert_eq!(error.to_string(), told);
        assert_eq!(caller.pool.stats().closed(Reason::TimedOut), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_come_leaves_no_timer_to_wake_its_task() {
    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        let task = Arc::new(Task);
        let mut request = Box::pin(caller.pool.http(&caller.address, get("/")));
        let mut poll = || {
            let waker = Waker::from(Arc::clone(&task));
            request.as_mut().poll(&mut Context::from_waker(&waker))
        };
        assert!(poll().is_pending());
        let mut connection = server.accept().await;
        assert!(poll().is_pending());
        connection.read_request().await;
        connection.write(answer("whole")).await;
        let mut response = None;
        eventually("the head comes", || {
            if let Poll::Ready(come) = poll() {
                response = Some(come);
            }
            response.is_some()
        })
        .await;
        assert_eq!(Arc::strong_count(&task), 1, "its future is kept, but nothing of its task");
        drop(request);
        let response = response.expect("it has come").expect("a response");
        assert_eq!(Whole::read(response).await.expect("a body").body, "whole");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_a_byte_a_minute_does_not_renew_its_time() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        let start = Instant::now();
        let mut minutes = interval_at(start + MINUTE / 2, MINUTE);
        let mut sent = 0;
        for byte in answer("whole") {
            minutes.tick().await;
            if connection.try_write([byte]).await.is_err() {
                break;
            }
            sent += 1;
        }
        assert_eq!(sent, 10, "one a minute");
        let error = client.await.expect("no panic").expect_err("too slow");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn interim_answers_do_not_renew_the_time_for_the_head() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        let start = Instant::now();
        let mut minutes = interval_at(start + MINUTE / 2, MINUTE);
        let mut sent = 0;
        while connection.try_write("HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
            minutes.tick().await;
            sent += 1;
        }
        assert_eq!(sent, 11, "one at once, and one a minute");
        let error = client.await.expect("no panic").expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_long_upload_that_is_taken_in_does_not_use_up_the_time_for_the_head() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        for answered in [true, false] {
            let (upload, body) = feed();
            let request = Request::post("/").body(body).expect("a request");
            let client = tokio::spawn(caller.fetch(request));
            let mut connection = server.accept().await;
            connection.read_head().await;
            for _ in 0..5 {
                advance(LIMIT * 3 / 4).await;
                upload.send("piece".into()).expect("a body that listens");
                assert_eq!(connection.read_exactly(10).await, "5\r\npiece\r\n");
            }
            advance(LIMIT * 3 / 4).await;
            drop(upload);
            assert_eq!(connection.read_exactly(5).await, "0\r\n\r\n");
            let start = Instant::now();
            if answered {
                advance(LIMIT * 3 / 4).await;
                // So that the second round opens another connection.
                let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";
                connection.write(last).await;
                assert_eq!(client.await.expect("no panic").expect("a response").body, "last");
            } else {
                connection.ends().await;
                took(start, LIMIT);
                let error = client.await.expect("no panic").expect_err("no answer");
                assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
            }
        }
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_not_taken_in_uses_up_the_time_for_the_head() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(LIMIT)).await;
        // More than fits into what lies between the two.
        let (upload, _) = Upload::new(1024 * 1024);
        let client = tokio::spawn(caller.fetch(Request::put("/").body(upload).expect("a request")));
        let connection = server.accept().await;
        let start = Instant::now();
        let error = client.await.expect("no panic").expect_err("no server listens");
        took(start, LIMIT);
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        drop(connection);
        ends_idle(caller).await;
    })
    .await;
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_come_ends_in_an_error_of_its_own() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.body_timeout(LIMIT)).await;
        let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
        let mut body = response.into_body();
        body.frame().await.expect("a frame").expect("half of it");
        let start = Instant::now();
        let error = body.frame().await.expect("a frame").expect_err("the other half");
        took(start, LIMIT);
        assert_eq!(error.kind(), ErrorKind::BodyTimeout);
        let told = "reading the response body from \"memory.test\": no frame within 600s \
                    (request 1 of a fresh connection, written, something read)";
        assert_eq!(error.to_string(), told);
        assert!(body.frame().await.is_none(), "nothing follows an error");
        connection.ends().await;
        assert_eq!(caller.pool.stats().closed(Reason::TimedOut), 1);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_frame_has_the_whole_time_for_frames() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.body_timeout(LIMIT)).await;
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (mut connection, _, response) = server.open(caller.send(get("/")), chunked).await;
        let whole = tokio::spawn(Whole::read(response));
        for _ in 0..5 {
            advance(LIMIT * 3 / 4).await;
            connection.write("4\r\nbody\r\n").await;
            tokio::task::yield_now().await;
        }
        advance(LIMIT * 3 / 4).await;
        connection.write("0\r\n\r\n").await;
        assert_eq!(whole.await.expect("no panic").expect("a body").body, "body".repeat(5));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn time_in_which_no_task_polls_for_a_frame_does_not_count() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.body_timeout(LIMIT)).await;
        let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
        let mut body = response.into_body();
        advance(LIMIT * 2).await;
        body.frame().await.expect("a frame").expect("half of it");
        advance(LIMIT * 2).await;

        let start = Instant::now();
        let late = async {
            advance(LIMIT * 3 / 4).await;
            connection.write("half").await;
        };
        let (frame, ()) = tokio::join!(body.frame(), late);
        frame.expect("a frame").expect("the other half");
        took(start, LIMIT * 3 / 4);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_open_ends_in_an_error_of_its_own() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.connect_timeout(MINUTE / 20)).await;
        caller.watch.close_gate();
        let start = Instant::now();
        let error = caller.fetch(get("/")).await.expect_err("no connection");
        took(start, MINUTE / 20);
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert_eq!(error.to_string(), "connecting to \"memory.test\": not connected within 3s");
        let stats = caller.pool.stats();
        assert_eq!((stats.opening, stats.opened, stats.waiting), (0, 0, 0));
        caller.watch.open_gate();
        server.open(caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn opening_a_connection_takes_ten_seconds_at_most_unless_told_otherwise() {
    bounded(async {
        let (caller, _server) = start(Backend::Memory).await;
        caller.watch.close_gate();
        let start = Instant::now();
        let error = caller.fetch(get("/")).await.expect_err("no connection");
        took(start, Duration::from_secs(10));
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_off_never_ends() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.connect_timeout(None).checkout_timeout(None)
        })
        .await;
        caller.watch.close_gate();
        let client = tokio::spawn(caller.send(get("/")));
        caller.watch.until_waiting(1).await;
        advance(YEAR).await;
        caller.watch.open_gate();
        let mut connection = server.accept().await;
        connection.read_request().await;
        advance(YEAR).await;
        connection.write(HALF).await;
        let response = client.await.expect("no panic").expect("a response");
        let whole = tokio::spawn(Whole::read(response));
        tokio::task::yield_now().await;
        advance(YEAR).await;
        connection.write("half").await;
        assert_eq!(whole.await.expect("no panic").expect("a body").body, "halfhalf");
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_time_of_zero_waits_for_nothing() {
    bounded(async {
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.response_timeout(Duration::ZERO)).await;
        let error = caller.fetch(get("/")).await.expect_err("no answer is there at once");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
        server.accept().await.read_to_end().await;
        ends_idle(caller).await;

        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.body_timeout(Duration::ZERO)).await;
        let (_connection, _, response) = server.open(caller.send(get("/")), HALF).await;
        let error = Whole::read(response).await.expect_err("the other half is not there at once");
        assert_eq!(error.kind(), ErrorKind::BodyTimeout);
        let (_, _, whole) = server.open(caller.fetch(get("/")), answer("all at once")).await;
        assert_eq!(whole.body, "all at once");
        ends_idle(caller).await;
    })
    .await;
}
