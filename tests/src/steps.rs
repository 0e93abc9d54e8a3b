//! Steps in which a test leads a connection or a future from one state to the next.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::Response;
use pool_core::Body;
use tokio::task::yield_now;

use crate::{Caller, Connection, Server, Whole, get};

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
