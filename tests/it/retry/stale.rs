//! A connection that the server has given up is never taken for a good one.
//!
//! The server's word that it has closed, or written, always comes before the next request, so none of
//! these tests depends on which side is faster.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;

use bytes::Bytes;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use pool_core::{
    ConnectOptions, Connected, Connector, ErrorKind, KernelCheck, Pool, Reason, Target, async_trait,
};
use pooled_fetch_tests::{
    AnyStream, Backend, EchoServer, Endpoint, MemoryConnector, Pieces, Server, Whole, answer,
    bounded, ends_idle, for_each_backend, get, memory_endpoint, poll_once, post, start,
    start_elsewhere, start_with,
};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;

for_each_backend! {
    a_request_after_the_server_closed_is_served_once_by_another_connection,
    an_idle_connection_closes_as_soon_as_the_server_closes_it,
    a_connection_that_never_served_and_is_closed_by_its_server_was_not_written_to,
    what_only_the_kernel_knows_is_asked_of_the_kernel,
    bytes_that_came_unasked_are_no_answer,
    bytes_behind_an_answer_are_no_answer,
    bytes_that_came_while_the_caller_was_busy_are_no_answer,
    a_post_that_reached_the_server_is_not_sent_again,
    a_request_over_a_fresh_connection_is_not_sent_again,
    a_stream_is_read_before_it_is_reused_unless_told_otherwise,
    bytes_that_came_before_the_request_was_written_are_no_answer,
}

const ROUNDS: usize = 50;

/// What tokio lets a task do in one poll.
const BUDGET: usize = 128;

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// One of each kind: idempotent, not idempotent, and one whose body can be read only once.
fn request(round: usize) -> (Request<AnyBody>, &'static str) {
    let (head, body, content): (_, AnyBody, _) = match round % 3 {
        0 => (Request::get("/"), Full::default().boxed_unsync(), ""),
        1 => (Request::post("/"), Full::from("all at once").boxed_unsync(), "all at once"),
        _ => (Request::post("/"), Pieces::new(["bit ", "by ", "bit"]).boxed_unsync(), "bit by bit"),
    };
    (head.body(body).expect("a request"), content)
}

async fn a_request_after_the_server_closed_is_served_once_by_another_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for round in 0..ROUNDS {
        // It still listens, so it would see a request that came this way.
        connection.finish().await;
        let (request, content) = request(round);
        let number = round.to_string();
        let (next, received, whole) = server.open(caller.fetch(request), answer(&number)).await;
        assert_eq!((received.body, whole.body), (Bytes::from(content), Bytes::from(number)));
        connection.ends().await;
        connection = next;
    }
    assert_eq!(caller.watch.opened(), ROUNDS as u64 + 1);
    ends_idle(caller).await;
}

async fn an_idle_connection_closes_as_soon_as_the_server_closes_it(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    connection.finish().await;
    caller.watch.until_open(0).await;
    let stats = caller.pool.stats();
    assert_eq!((stats.idle, stats.closed(Reason::ClosedByPeer)), (0, 1));
    ends_idle(caller).await;
}

/// The caller's thread stands still from its first response to its second request, so its runtime cannot
/// have heard of what happened in between.
async fn what_only_the_kernel_knows_is_asked_of_the_kernel(backend: Backend) {
    let (home, mut is_home) = unbounded_channel();
    let (close, closed) = mpsc::channel();
    let (caller, server) = start_elsewhere(backend, move |mut server| async move {
        for round in 0..ROUNDS {
            let mut connection = server.accept().await;
            let received = connection.read_request().await;
            assert_eq!(received.body, request(round).1, "each request comes once");
            connection.write(answer(round.to_string())).await;
            is_home.recv().await.expect("the caller lives");
            drop(connection);
            close.send(()).expect("the caller waits");
        }
    });
    for round in 0..ROUNDS {
        let whole = caller.fetch(request(round).0).await.expect("a response");
        assert_eq!(whole.body, round.to_string());
        home.send(()).expect("the server waits");
        closed.recv().expect("the server closes");
    }
    server.join().expect("a server without complaints");
    assert_eq!(caller.watch.opened(), ROUNDS as u64);
    ends_idle(caller).await;
}

async fn bytes_that_came_unasked_are_no_answer(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.quarantine(false)).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for round in 0..ROUNDS {
        connection.write(answer("stray")).await;
        let number = round.to_string();
        let (next, _, whole) = server.open(caller.fetch(request(round).0), answer(&number)).await;
        assert_eq!(whole.body, number);
        connection.ends().await;
        connection = next;
    }
    ends_idle(caller).await;
}

async fn bytes_behind_an_answer_are_no_answer(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.quarantine(false)).await;
    for round in 0..ROUNDS {
        let number = round.to_string();
        let bytes = [answer(&number), answer("stray")].concat();
        let (mut connection, _, whole) = server.open(caller.fetch(request(round).0), bytes).await;
        assert_eq!(whole.body, number);
        connection.ends().await;
    }
    ends_idle(caller).await;
}

async fn bytes_that_came_while_the_caller_was_busy_are_no_answer(backend: Backend) {
    let (home, mut is_home) = unbounded_channel();
    let (write, written) = mpsc::channel();
    let (caller, server) = start_elsewhere(backend, move |mut server| async move {
        let mut before = Vec::new();
        for round in 0..ROUNDS {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection.write(answer(round.to_string())).await;
            is_home.recv().await.expect("the caller lives");
            connection.write(answer("stray")).await;
            write.send(()).expect("the caller waits");
            before.push(connection);
        }
        for mut connection in before {
            connection.ends().await;
        }
    });
    for round in 0..ROUNDS {
        let whole = caller.fetch(request(round).0).await.expect("a response");
        assert_eq!(whole.body, round.to_string());
        home.send(()).expect("the server waits");
        written.recv().expect("the server writes");
    }
    caller.watch.until_open(0).await;
    server.join().expect("a server without complaints");
    ends_idle(caller).await;
}

async fn a_post_that_reached_the_server_is_not_sent_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let client = tokio::spawn(caller.fetch(post("/", "once")));
    connection.read_request().await;
    drop(connection);
    let error = client.await.expect("no panic").expect_err("the server may have executed it");
    assert_eq!(error.kind(), ErrorKind::Response);
    assert_eq!(caller.watch.opened(), 1, "no other connection was opened for it");
    ends_idle(caller).await;
}

async fn a_request_over_a_fresh_connection_is_not_sent_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    drop(connection);
    let error = client.await.expect("no panic").expect_err("a server that fails would fail again");
    assert_eq!(error.kind(), ErrorKind::Response);
    assert_eq!(caller.watch.opened(), 1);
    ends_idle(caller).await;
}

async fn a_connection_that_never_served_and_is_closed_by_its_server_was_not_written_to(
    backend: Backend,
) {
    let (caller, mut server) = start(backend).await;
    caller.pool.warm(&caller.address, 1).await.expect("one connection");
    drop(server.accept().await);
    caller.watch.until_open(0).await;
    let stats = caller.pool.stats();
    assert_eq!((stats.closed(Reason::ClosedByPeer), stats.closed(Reason::Unsolicited)), (1, 0));
    ends_idle(caller).await;
}

async fn a_stream_is_read_before_it_is_reused_unless_told_otherwise(backend: Backend) {
    for (probe, reads) in [(true, 1), (false, 0)] {
        let (caller, mut server) = start_with(backend, |settings| settings.probe(probe)).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let before = caller.watch.reads();
        let client = tokio::spawn(caller.fetch(get("/")));
        connection.read_request().await;
        assert_eq!(caller.watch.reads() - before, reads, "with the probe: {probe}");
        connection.write(answer("second")).await;
        client.await.expect("no panic").expect("a response");
        ends_idle(caller).await;
    }
}

async fn bytes_that_came_before_the_request_was_written_are_no_answer(backend: Backend) {
    let mut unwritten = 0;
    for left in 0..12 {
        let (caller, mut server) = start(backend).await;
        let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
        let before = caller.watch.written();
        let mut client = caller.fetch(get("/"));
        yield_now().await;
        // With little left of the budget of its task hyper may take the request, and cannot write it.
        poll_fn(|cx| {
            for _ in left..BUDGET {
                assert!(pin!(consume_budget()).poll(cx).is_ready(), "more than a budget");
            }
            assert!(poll_once(client.as_mut()).is_pending());
            Poll::Ready(())
        })
        .await;
        if caller.watch.written() == before {
            unwritten += 1;
            connection.write(answer("stray")).await;
            let (_, _, whole) = server.open(client, answer("its own")).await;
            assert_eq!(whole.body, "its own", "with {left} left");
        }
    }
    assert!(unwritten > 0, "some budget is too small");
}

/// Streams in memory that pretend to lie above a socket, whose kernel is asked and never answers.
struct Asked {
    inner: MemoryConnector,
    check: KernelCheck,
}

#[async_trait]
impl Connector for Asked {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &&'static str,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        Ok(self.inner.connect(address, options).await?.with_kernel_check(self.check.clone()))
    }

    fn target(&self, address: &&'static str) -> Target {
        self.inner.target(address)
    }
}

#[tokio::test]
async fn the_kernel_is_asked_unless_told_otherwise() {
    bounded(async {
        for (probe, asked) in [(None, true), (Some(true), true), (Some(false), false)] {
            let Endpoint { connector, address, acceptor } = memory_endpoint();
            let _service = EchoServer::start(Server::new(acceptor), |_| answer("served"));
            let check = KernelCheck::new();
            let settings = Pool::builder(Asked { inner: connector, check: check.clone() });
            let settings = match probe {
                Some(probe) => settings.probe(probe),
                None => settings,
            };
            let pool = settings.build().expect("sensible settings");
            for _ in 0..2 {
                let response = pool.http(&address, get("/")).await.expect("a response");
                Whole::read(response).await.expect("a body");
            }
            assert_eq!((check.is_open(), pool.stats().reused), (asked, 1), "{probe:?}");
        }
    })
    .await;
}
