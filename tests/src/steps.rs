//! Steps in which a test leads a connection or a future from one state to the next.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use http::Response;
use pool_core::Body;
use tokio::task::yield_now;

use crate::{Caller, Connection, Server, Watch, Whole, get};

/// A connection that is lent: half of its response has come.
#[derive(Debug)]
pub struct Lent {
    /// The server's end.
    pub connection: Connection,
    /// What the caller holds.
    pub response: Response<Body>,
}

impl Lent {
    /// Has the caller open another connection, which none that is idle may make needless.
    pub async fn open(caller: &Caller, server: &mut Server) -> Self {
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
        let (connection, _, response) = server.open(caller.send(get("/lent")), half).await;
        Self { connection, response }
    }

    /// Ends the response, so that the connection comes home.
    ///
    /// # Panics
    ///
    /// When the response does not arrive whole.
    pub async fn come_home(self) -> Connection {
        let Self { mut connection, response } = self;
        connection.write("half").await;
        Whole::read(response).await.expect("the other half");
        connection
    }
}

/// Polls a future once, by hand: it goes on only when it is polled again.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets all other tasks of a current-thread runtime go as far as they can, when something is *not* to happen.
pub async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

/// Lets a paused clock run on: what is due meanwhile happens in its order.
pub async fn let_pass(time: std::time::Duration) {
    // Nothing comes but the end of the time.
    tokio::time::timeout(time, std::future::pending::<()>()).await.ok();
}

/// What `client` gives, and the most that was read between two turns of a task that is always ready: how long, in bytes,
/// others wait for the thread.
///
/// In a runtime of one thread, where each task that is ready has its turn after all others.
pub async fn longest_turn<T>(watch: &Watch, client: impl Future<Output = T>) -> (T, u64) {
    let (longest, counted) = (Arc::<AtomicU64>::default(), watch.clone());
    let other = tokio::spawn({
        let (longest, mut before) = (Arc::clone(&longest), watch.read());
        poll_fn(move |cx| -> Poll<()> {
            let now = counted.read();
            longest.fetch_max(now - std::mem::replace(&mut before, now), Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    });
    let output = client.await;
    // Its last turn, after whatever came before this one.
    settle().await;
    other.abort();
    (output, longest.load(Ordering::Relaxed))
}
