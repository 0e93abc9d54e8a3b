//! A stream that is open, and the lease that keeps its place: reset, or read to its end, when its caller has gone.
//!
//! A client that resets many streams looks like an attack, so a stream beyond the rate is read on by the task of its
//! connection until it ends or may be reset.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use h2::RecvStream;
use tokio::time::timeout;

use crate::conn::http2::{Tunnel, Upload};
use crate::lanes::StreamLease;
use crate::request::BoxError;

/// How often a stream asks whether it may be reset.
const BETWEEN_RESETS: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) struct OpenStream(Arc<Inner>);

impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").field("connection", &self.lease().connection).finish()
    }
}

struct Inner {
    lease: StreamLease,
    upload: Option<Arc<Upload>>,
    /// Nothing of the request body is sent after the response.
    ends_with_response: AtomicBool,
}

impl OpenStream {
    pub(super) fn new(lease: StreamLease, upload: Option<Arc<Upload>>) -> Self {
        Self(Arc::new(Inner { lease, upload, ends_with_response: AtomicBool::new(false) }))
    }

    pub(super) fn lease(&self) -> &StreamLease {
        &self.0.lease
    }

    /// How the body of the request has failed, if it has.
    pub(super) fn take_upload_failure(&self) -> Option<BoxError> {
        self.0.upload.as_ref()?.take_failure()
    }

    /// The server does not want the body that still waits; the stream is reset when its response has ended.
    pub(super) fn ends_with_response(&self) {
        self.0.ends_with_response.store(true, Ordering::Relaxed);
    }

    /// The response has ended, or no caller waits for it any more. What is left of the request is sent on as long as the server
    /// takes it in, as over HTTP/1.
    pub(super) fn response_ended(&self) {
        let Some(upload) = self.0.upload.clone().filter(|upload| !upload.is_whole()) else {
            return;
        };
        if self.0.ends_with_response.load(Ordering::Relaxed) {
            return upload.give_up();
        }
        let pause = self.lease().lane().settings().drain_limit.time;
        self.lease().connection.spawn(async move { upload.give_up_after(pause).await });
    }

    /// No caller waits for the stream any more; it is reset if its request is still going out.
    pub(super) fn give_up(&self) {
        if let Some(upload) = &self.0.upload {
            upload.give_up();
        }
    }

    /// The caller does not read the rest of the response.
    pub(super) fn abandon(self, incoming: RecvStream) {
        if incoming.is_end_stream() {
            return self.response_ended();
        }
        let connection = Arc::clone(&self.lease().connection);
        if connection.take_reset() {
            // `incoming` drops here, and h2 resets the stream.
            return self.give_up();
        }
        connection.spawn(async move {
            if self.until_resettable(read_to_end(incoming)).await {
                self.response_ended();
            } else {
                self.give_up();
            }
        });
    }

    /// Ends a tunnel in order: its end follows what was written, and the rest of what comes is read until it ends, or until the
    /// stream may be reset and nothing waits to be written.
    pub(super) fn end_tunnel(&self, tunnel: Tunnel) {
        let (stream, connection) = (self.clone(), Arc::clone(&self.lease().connection));
        connection.spawn(async move {
            let mut rest = pin!(tunnel.end());
            while timeout(BETWEEN_RESETS, rest.as_mut()).await.is_err() {
                let connection = &stream.lease().connection;
                if connection.wire().is_flushed() && connection.take_reset() {
                    return;
                }
            }
        });
    }

    /// Goes on with what no caller waits for, until it ends or its stream may be reset; false in that case.
    pub(super) async fn until_resettable(&self, rest: impl Future<Output = ()>) -> bool {
        let mut rest = pin!(rest);
        while timeout(BETWEEN_RESETS, rest.as_mut()).await.is_err() {
            if self.lease().connection.take_reset() {
                return false;
            }
        }
        true
    }
}

pub(super) async fn read_to_end(mut incoming: RecvStream) {
    while let Some(Ok(data)) = incoming.data().await {
        // A stream that has ended has no window.
        incoming.flow_control().release_capacity(data.len()).ok();
    }
}
