//! A stream that is open, and the lease that keeps its place: reset, or read to its end, when its caller has gone.
//!
//! A client that resets many streams looks like an attack, so a stream beyond the rate is read on by the task of its
//! connection until it ends or may be reset.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::lanes::StreamLease;
use crate::report::Reason;

/// How often a stream asks whether it may be reset.
const BETWEEN_RESETS: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) struct OpenStream(Arc<StreamLease>);

impl OpenStream {
    pub(super) fn new(lease: StreamLease) -> Self {
        Self(Arc::new(lease))
    }

    pub(super) fn lease(&self) -> &Arc<StreamLease> {
        &self.0
    }

    /// The server has taken too long: no other request goes to a connection that does not answer.
    pub(super) fn times_out(&self) {
        self.0.stop_using(Reason::TimedOut);
    }

    /// The caller does not read the rest of the response.
    pub(super) fn abandon(self, incoming: Incoming) {
        if incoming.is_end_stream() {
            return;
        }
        if self.0.connection.take_reset() {
            // `incoming` drops here, and h2 resets the stream.
            return self.0.give_up();
        }
        let connection = Arc::clone(&self.0.connection);
        connection.spawn(async move {
            if !self.until_resettable(read_to_end(incoming)).await {
                self.0.give_up();
            }
        });
    }

    /// Goes on with what no caller waits for, until it ends or its stream may be reset; false in that case.
    pub(super) async fn until_resettable(&self, rest: impl Future<Output = ()>) -> bool {
        let mut rest = pin!(rest);
        while timeout(BETWEEN_RESETS, rest.as_mut()).await.is_err() {
            if self.0.connection.take_reset() {
                return false;
            }
        }
        true
    }
}

pub(super) async fn read_to_end(mut incoming: Incoming) {
    while let Some(Ok(_)) = incoming.frame().await {}
}
