//! Many at once, on several threads: each gets the answer to its own request.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Pieces, Received, Whole, answer, bounded, ends_idle, get, start,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

const WORKERS: usize = 16;
const ROUNDS: usize = 200;

/// Repeats the target and the length of the request, up to more than is read at a time.
fn echo(request: &Received) -> Bytes {
    let line = format!("{} {}", request.target(), request.body.len());
    let length: usize =
        request.header("x-length").map_or(0, |length| length.parse().expect("a number"));
    answer(line.repeat(1 + length / line.len()))
}

/// Sixteen workers ask in every way there is; some drop their bodies, some give up before the answer.
async fn each_request_gets_its_own_answer_in_a_crowd(backend: Backend) {
    let (caller, server) = start(backend).await;
    let service = EchoServer::start(server, echo);
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let caller = caller.clone();
        workers.spawn(async move {
            for round in 0..ROUNDS {
                one_of_each(&caller, worker, round).await;
            }
        });
    }
    workers.join_all().await;
    drop(service);
    ends_idle(caller).await;
}

async fn one_of_each(caller: &Caller, worker: usize, round: usize) {
    let path = format!("/{worker}/{round}");
    let length = [0, 100, 5_000, 100_000][round % 4];
    let head = || Request::post(&path).header("x-length", length);
    let expect = |whole: Whole, sent: usize| {
        let line = format!("{path} {sent}");
        assert_eq!(whole.body, line.repeat(1 + length / line.len()));
    };
    match round % 7 {
        0 | 1 => {
            let request = head().body(Full::from("twelve bytes")).expect("a request");
            expect(caller.fetch(request).await.expect("a response"), 12);
        }
        2 | 3 => {
            let request = head().body(Pieces::new(["twelve", " ", "bytes"])).expect("a request");
            expect(caller.fetch(request).await.expect("a response"), 12);
        }
        4 => {
            let request = head().body(String::new()).expect("a request");
            let mut response = caller.send(request).await.expect("a response");
            response.body_mut().frame().await.expect("a frame").expect("some of it");
        }
        5 => drop(caller.send(get(&path)).await.expect("a response")),
        // Whichever side is faster, the next request must not notice.
        _ => drop(timeout(Duration::from_micros(200), caller.fetch(get(&path))).await),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_gets_its_own_answer_over_memory() {
    bounded(each_request_gets_its_own_answer_in_a_crowd(Backend::Memory)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_gets_its_own_answer_over_tcp() {
    bounded(each_request_gets_its_own_answer_in_a_crowd(Backend::Tcp)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_gets_its_own_answer_over_tls() {
    bounded(each_request_gets_its_own_answer_in_a_crowd(Backend::Tls)).await;
}
