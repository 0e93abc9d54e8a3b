//! A server that sends without end, and nothing that could be handed out, takes neither the thread nor more of a
//! connection than a bound.

use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{ErrorKind, Http2, Pool, Reason};
use pooled_fetch_tests::raw_http2::{frame, kind};
use pooled_fetch_tests::{
    Backend, Endless, Probe, Watch, bounded, get, longest_turn, start_elsewhere,
};
use tokio::task::yield_now;

/// What one poll reads at most: its turn, and one buffer of hyper's, which grows to the largest head.
const ONE_POLL: u64 = (128 + 408) * 1024;

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";

/// What can follow the first chunk without end, and bring nothing or next to nothing.
const FRAMING: &[(&str, &str)] = &[
    ("a size line of spaces", " "),
    ("a size line of zeros", "0"),
    ("chunks with long sizes", "00000000000000000000000000000000000000001\r\nx\r\n"),
];

fn pool(server: Endless) -> (Pool<Probe<Endless>>, Watch) {
    pool_with(server, Http2::Off)
}

fn pool_with(server: Endless, http2: Http2) -> (Pool<Probe<Endless>>, Watch) {
    let (connector, watch) = Probe::new(server);
    let pool = Pool::builder(connector).http2(http2).drain_limit(64 * 1024, Duration::MAX);
    (pool.build().expect("settings that make sense"), watch)
}

/// The size line begins here: a space before the size is none.
fn after_size(then: &str) -> String {
    if then == " " { format!("{CHUNKED}5") } else { CHUNKED.to_owned() }
}

#[tokio::test]
async fn a_body_whose_framing_never_ends_takes_no_thread_and_is_an_error() {
    bounded(async {
        for (what, then) in FRAMING {
            let (pool, watch) = pool(Endless::new(after_size(then), then));
            let read = async {
                let response = pool.http(&"memory.test", get("/")).await.expect("a head");
                response.into_body().collect().await.expect_err("no end")
            };
            let (error, longest) = longest_turn(&watch, read).await;
            assert_eq!(error.kind(), ErrorKind::ResponseBody, "{what}: {error}");
            assert!(error.to_string().contains("framed by far more than they carry"), "{error}");
            assert!(longest <= ONE_POLL, "{what}: {longest} bytes in one poll");
            assert_eq!(pool.stats().closed(Reason::Failed), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_dropped_within_its_framing_reads_little_more_than_may_be_drained() {
    bounded(async {
        for (what, then) in FRAMING {
            let (pool, watch) = pool(Endless::new(after_size(then), then));
            let response = pool.http(&"memory.test", get("/")).await.expect("a head");
            let before = watch.read();
            let dropped = async {
                drop(response);
                watch.until_open(0).await;
            };
            let ((), longest) = longest_turn(&watch, dropped).await;
            let all = watch.read() - before;
            assert!(longest <= ONE_POLL, "{what}: {longest} bytes in one poll");
            assert!(all <= 64 * 1024 + ONE_POLL, "{what}: {all} bytes");
            assert_eq!(pool.stats().closed(Reason::BodyDropped), 1);
        }
    })
    .await;
}

/// hyper's reads grow with what they find.
#[tokio::test]
async fn framing_without_end_after_a_large_body_takes_no_thread() {
    bounded(async {
        let content = vec![b'x'; 8 * 1024 * 1024];
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n800000\r\n";
        let beginning = [head.as_bytes(), &content, b"\r\n5"].concat();
        let (pool, watch) = pool(Endless::new(beginning, " "));
        let read = async {
            let response = pool.http(&"memory.test", get("/")).await.expect("a head");
            let mut body = response.into_body();
            loop {
                // One frame in a turn, because such a stream never makes its reader wait.
                yield_now().await;
                match body.frame().await.expect("no end") {
                    Ok(frame) => assert!(frame.is_data()),
                    Err(error) => return error,
                }
            }
        };
        let (error, longest) = longest_turn(&watch, read).await;
        assert!(error.to_string().contains("framed by far more than they carry"), "{error}");
        assert!(longest <= ONE_POLL, "{longest} bytes in one poll");
    })
    .await;
}

#[tokio::test]
async fn interim_answers_without_end_take_no_thread() {
    bounded(async {
        let (pool, watch) =
            pool(Endless::new("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"));
        let (answer, longest) = longest_turn(&watch, pool.http(&"memory.test", get("/"))).await;
        let error = answer.expect_err("no final answer");
        assert_eq!(error.kind(), ErrorKind::EndlessInformational, "{error}");
        assert!(longest <= ONE_POLL, "{longest} bytes in one poll");
    })
    .await;
}

#[tokio::test]
async fn frames_without_end_take_no_thread_over_http2() {
    bounded(async {
        let settings = frame(kind::SETTINGS, 0, 0, &[]);
        // Of a kind that nobody knows, which is to be ignored; and the answer to a PING that nobody has sent.
        for frames in [frame(0xbe, 0, 0, &[0; 4_096]), frame(kind::PING, 1, 0, &[0; 8])] {
            let (pool, watch) = pool_with(Endless::new(&settings, frames), Http2::Assumed);
            let (answer, longest) = longest_turn(&watch, pool.http(&"memory.test", get("/"))).await;
            let error = answer.expect_err("no answer");
            assert!(longest <= 192 * 1024, "{longest} bytes in one poll");
            assert_eq!(pool.stats().closed(Reason::Flooded), 1, "{error}");
        }
    })
    .await;
}

/// As fast as the loopback brings it, from a thread of its own.
#[tokio::test]
async fn framing_without_end_takes_no_thread_over_sockets() {
    bounded(async {
        for backend in Backend::EACH {
            let (caller, server) = start_elsewhere(backend, |mut server| async move {
                for _ in 0..4 {
                    let mut connection = server.accept().await;
                    connection.read_request().await;
                    connection.write(format!("{CHUNKED}5")).await;
                    let spaces = vec![b' '; 1024 * 1024];
                    let mut left = Endless::ALL / spaces.len();
                    while left > 0 && connection.try_write(&spaces).await.is_ok() {
                        left -= 1;
                    }
                }
            });
            for reads in [true, false, true, false] {
                let client = async {
                    let response = caller.send(get("/")).await.expect("a head");
                    if reads {
                        response.into_body().collect().await.expect_err("no end");
                    } else {
                        drop(response);
                    }
                    caller.watch.until_open(0).await;
                };
                let before = caller.watch.read();
                let ((), longest) = longest_turn(&caller.watch, client).await;
                let all = caller.watch.read() - before;
                assert!(longest <= ONE_POLL, "{backend:?}: {longest} bytes in one poll");
                assert!(all <= 64 * 1024 + ONE_POLL, "{backend:?}: {all} bytes");
            }
            server.join().expect("a server without complaints");
        }
    })
    .await;
}
