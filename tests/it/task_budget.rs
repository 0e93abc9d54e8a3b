//! A task may do so much in one poll, and no response is lost when that is used up.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use pooled_fetch_tests::{Backend, Whole, for_each_backend, get, start_elsewhere};
use tokio::runtime::Builder;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::task::coop::consume_budget;

for_each_backend! {
    a_response_arrives_whatever_is_left_of_the_budget_of_its_task,
    many_requests_and_messages_in_one_task_all_arrive,
}

/// What tokio lets a task do in one poll.
const BUDGET: usize = 128;

/// A head with less than a body: hyper does not look for more before the body is polled, so nothing but
/// the head itself can have the task polled.
const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// What `client` gives, driven by a thread of its own, whose task does nothing else: so a future that has
/// forgotten to have itself woken is not polled again.
fn alone<T, F>(client: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        done.send(runtime.block_on(client())).expect("the test waits");
    });
    result.recv_timeout(Duration::from_secs(10)).expect("the task was never polled again")
}

async fn a_response_arrives_whatever_is_left_of_the_budget_of_its_task(backend: Backend) {
    for left in 0..8 {
        let answered = Arc::<AtomicBool>::default();
        let (is_out, out) = oneshot::channel();
        let flag = Arc::clone(&answered);
        let (caller, server) = start_elsewhere(backend, move |mut server| async move {
            let mut connection = server.accept().await;
            connection.read_request().await;
            out.await.expect("the client waits");
            flag.store(true, Ordering::Release);
            connection.write(HALF).await;
            connection.ends().await;
        });
        let mut client = caller.send(get("/"));
        let watch = caller.watch.clone();
        let response = alone(move || {
            let (mut is_out, mut spent) = (Some(is_out), false);
            poll_fn(move |cx| {
                // Once, when the answer is there: the next poll has a budget of its own.
                if answered.load(Ordering::Acquire) && !spent {
                    spent = true;
                    for _ in 0..BUDGET - left {
                        assert!(pin!(consume_budget()).poll(cx).is_ready(), "more than a budget");
                    }
                }
                let result = client.as_mut().poll(cx);
                if watch.written() > 0
                    && let Some(is_out) = is_out.take()
                {
                    is_out.send(()).expect("the server waits");
                }
                result
            })
        });
        drop((response.expect("a response"), caller));
        server.join().expect("a server without complaints");
    }
}

async fn many_requests_and_messages_in_one_task_all_arrive(backend: Backend) {
    const REQUESTS: usize = 6;
    const ROUNDS: std::ops::Range<usize> = BUDGET - 4 * REQUESTS..BUDGET;
    let (written, all_written) = mpsc::channel();
    let (go_on, mut may_go_on) = unbounded_channel();
    let (caller, server) = start_elsewhere(backend, move |mut server| async move {
        let mut connections = Vec::new();
        for _ in 0..REQUESTS {
            connections.push(server.accept().await);
        }
        for _ in ROUNDS {
            for connection in &mut connections {
                connection.read_request().await;
            }
            for connection in &mut connections {
                connection.write(HALF).await;
            }
            written.send(()).expect("the client waits");
            may_go_on.recv().await.expect("the client lives");
            for connection in &mut connections {
                connection.write("half").await;
            }
        }
    });
    let client = caller.clone();
    alone(move || async move {
        client.pool.warm(&client.address, REQUESTS).await.expect("connections");
        for messages in ROUNDS {
            // A stream may have to read what its handshake has left before it writes, so the first round goes as it may.
            let waits = messages > ROUNDS.start;
            // So that the requests go out with a whole budget.
            tokio::task::yield_now().await;
            let (sender, mut receiver) = unbounded_channel();
            (0..messages).for_each(|_| sender.send(()).expect("an open channel"));
            let mut requests: Vec<_> =
                (0..REQUESTS).map(|_| Box::pin(client.send(get("/")))).collect();
            let (mut responses, mut are_out) = (Vec::new(), false);
            poll_fn(|cx| {
                if are_out {
                    while receiver.poll_recv(cx).is_ready() {}
                }
                requests.retain_mut(|request| match request.as_mut().poll(cx) {
                    Poll::Ready(response) => {
                        responses.push(response.expect("a response"));
                        false
                    }
                    Poll::Pending => true,
                });
                if !are_out {
                    // All answers come to the same poll, the next one.
                    are_out = true;
                    if waits {
                        all_written.recv().expect("the server writes");
                    }
                }
                if requests.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            if !waits {
                all_written.recv().expect("the server writes");
            }
            go_on.send(()).expect("the server waits");
            for response in responses {
                assert_eq!(Whole::read(response).await.expect("a body").body, "halfhalf");
            }
        }
    });
    assert_eq!(caller.watch.opened(), REQUESTS as u64);
    server.join().expect("a server without complaints");
}
