//! What belongs to a runtime may be dropped where there is none, and a request without one is an error.

use std::pin::pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use pool_core::{ErrorKind, Pool};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Endpoint, Lent, Server, answer, bounded, ends_idle,
    for_each_backend, get, poll_once, start, start_with, tcp_endpoint,
};
use tokio::runtime::Runtime;

use crate::cancel::{goes_on, is_idle};

for_each_backend! {
    requests_can_be_dropped_outside_any_runtime,
    requests_can_be_dropped_after_their_runtime,
    a_pool_can_be_dropped_outside_any_runtime,
    a_request_outside_any_runtime_is_an_error,
}

/// No test takes so long.
const LONG: Duration = Duration::from_secs(3600);

/// Requests at each stage: waiting for a dial, waiting in the queue, sent, and half answered.
async fn stages(
    backend: Backend,
    stage: usize,
) -> (Caller, Server, Box<dyn Send>, Vec<Box<dyn Send>>) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let mut client = caller.fetch(get("/dropped"));
    let mut held: Vec<Box<dyn Send>> = Vec::new();
    match stage {
        0 => {
            caller.watch.close_gate();
            assert!(poll_once(client.as_mut()).is_pending());
            caller.watch.until_waiting(1).await;
        }
        1 => {
            held.push(Box::new(Lent::open(&caller, &mut server).await));
            assert!(poll_once(client.as_mut()).is_pending());
        }
        _ => {
            let sent = async {
                let mut connection = server.accept().await;
                connection.read_request().await;
                if stage == 3 {
                    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await;
                }
                connection
            };
            tokio::select! {
                biased;
                whole = &mut client => panic!("half is not the whole: {whole:?}"),
                connection = sent => held.push(Box::new(connection)),
            }
            assert!(poll_once(client.as_mut()).is_pending());
        }
    }
    (caller, server, Box::new(client), held)
}

async fn requests_can_be_dropped_outside_any_runtime(backend: Backend) {
    for stage in 0..4 {
        let (caller, server, client, held) = stages(backend, stage).await;
        thread::spawn(move || drop(client)).join().expect("a drop without a panic");
        caller.watch.open_gate();
        drop(held);
        let _service = EchoServer::start(server, |_| answer("served"));
        goes_on(&caller).await;
        ends_idle(caller).await;
    }
}

async fn requests_can_be_dropped_after_their_runtime(backend: Backend) {
    for stage in 0..4 {
        let elsewhere = thread::spawn(move || {
            let runtime = Runtime::new().expect("a runtime");
            let (caller, _, client, held) = runtime.block_on(stages(backend, stage));
            drop(runtime);
            (caller, client, held)
        });
        let (caller, client, held) = elsewhere.join().expect("no panic");
        if stage % 2 == 0 {
            thread::spawn(move || drop(client)).join().expect("a drop without a panic");
        } else {
            drop(client);
        }
        drop(held);
        is_idle(&caller).await;
        assert_eq!(caller.watch.held(), 0);
        ends_idle(caller).await;
    }
}

async fn a_pool_can_be_dropped_outside_any_runtime(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    let (mut idle, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
    caller.watch.close_gate();
    let waits = tokio::spawn(caller.fetch(get("/lent")));
    idle.read_request().await;
    idle.write(answer("idle")).await;
    waits.await.expect("no panic").expect("a response");
    let watch = caller.watch.clone();
    thread::spawn(move || drop(caller)).join().expect("a drop without a panic");
    idle.ends().await;
    assert_eq!(watch.open(), 1, "what is lent stays until its response ends");
    lent.come_home().await.ends().await;
    assert_eq!(watch.open(), 0);
}

async fn a_request_outside_any_runtime_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = caller.fetch(get("/"));
    let polled = thread::spawn(move || match poll_once(pin!(client)) {
        Poll::Ready(whole) => whole.map(drop),
        Poll::Pending => panic!("there is nothing to wait for"),
    });
    let error = polled.join().expect("no panic").expect_err("no runtime");
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    server.open(caller.fetch(get("/")), answer("served")).await;
    ends_idle(caller).await;
}

#[test]
fn a_request_from_a_runtime_that_has_shut_down_fails_at_once() {
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Runtime::new().expect("a runtime");
        let Endpoint { connector, address, .. } = runtime.block_on(tcp_endpoint());
        let pool = Pool::new(connector);
        let handle = runtime.handle().clone();
        runtime.shutdown_timeout(LONG);
        let _inside = handle.enter();
        for _ in 0..3 {
            let request = pool.http(&address, get("/"));
            let answer = pin!(request).poll(&mut Context::from_waker(Waker::noop()));
            done.send(answer.map_ok(drop)).expect("the test waits");
        }
    });
    for _ in 0..3 {
        let answer = result.recv_timeout(Duration::from_secs(10)).expect("neither spins nor waits");
        let Poll::Ready(Err(error)) = answer else {
            panic!("it waits, and nothing would wake it: {answer:?}")
        };
        assert_eq!(error.kind(), ErrorKind::NoRuntime);
    }
}

/// The future itself lives on: its thread is not one of the runtime's.
#[test]
fn a_request_that_waits_while_its_runtime_shuts_down_fails() {
    let runtime = Runtime::new().expect("a runtime");
    let (caller, _server) =
        runtime.block_on(start_with(Backend::Memory, |settings| settings.checkout_timeout(None)));
    caller.watch.close_gate();
    let (handle, client) = (runtime.handle().clone(), caller.fetch(get("/")));
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(handle.block_on(client).map(drop)));
    runtime.block_on(bounded(caller.watch.until_waiting(1)));
    runtime.shutdown_timeout(LONG);
    let answer = result.recv_timeout(Duration::from_secs(10)).expect("an end of the wait");
    assert_eq!(answer.expect_err("no runtime").kind(), ErrorKind::NoRuntime);
    let stats = caller.pool.stats();
    assert_eq!((stats.opening, stats.waiting), (0, 0));
}
