//! hyper's side of an HTTP/2 connection: how it is opened over a stream, and polled.

#![expect(clippy::disallowed_types, reason = "hyper's side of HTTP/2 lives here")]

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::connection::Connection;
use super::driver::{Drive, Driver, DriverCell, UNSAID};
use super::executor::{InlineExecutor, Spawned};
use super::sender::Sender;
use super::task::{StreamWatch, Task};
use crate::conn::Opened;
use crate::io::{Counted, Traffic};
use crate::request::RequestBody;
use crate::settings::{ConnectionSettings, KeepAlive, jittered};

/// So that not all connections ask for a sign of life at one instant; Envoy spreads as much.
const JITTER: f64 = 0.15;

/// A connection over which HTTP/2 has been opened, and whose task has not started.
pub(crate) struct Handshaken {
    sender: Sender,
    http2: Box<dyn Drive>,
    executor: InlineExecutor,
    spawned: mpsc::UnboundedReceiver<Spawned>,
    traffic: Arc<Traffic>,
    max_streams: Option<usize>,
}

/// Opens HTTP/2 over a stream.
pub(crate) async fn handshake<S>(
    stream: S,
    settings: &ConnectionSettings,
) -> hyper::Result<Handshaken>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (executor, spawned) = InlineExecutor::new();
    let mut builder = http2::Builder::new(executor.clone());
    builder.timer(TokioTimer::new()).initial_max_send_streams(UNSAID);
    if let Some(KeepAlive { interval, timeout }) = settings.http2_keep_alive {
        builder
            .keep_alive_interval(jittered(interval, JITTER))
            .keep_alive_timeout(timeout)
            .keep_alive_while_idle(true);
    }
    let (stream, traffic) = Counted::new(stream);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let (http2, max_streams) = (Box::new(connection), settings.http2_max_streams);
    Ok(Handshaken { sender, http2, executor, spawned, traffic, max_streams })
}

impl Handshaken {
    /// Starts the task of the connection, which tells `watch` what changes.
    pub(crate) fn start(self, opened: Opened, watch: Weak<dyn StreamWatch>) -> Arc<Connection> {
        let Self { sender, http2, executor, spawned, traffic, max_streams } = self;
        let Opened { established, lifetime, hold, .. } = opened;
        let cell = DriverCell::new(Driver::new(http2, spawned, hold));
        let connection = Connection::new(
            sender,
            established,
            lifetime,
            max_streams,
            traffic,
            executor,
            Arc::clone(&cell),
        );
        Task::start(cell, &connection, watch);
        connection
    }
}

impl<S> Drive for http2::Connection<S, RequestBody, InlineExecutor>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn streams(&self) -> usize {
        self.current_max_send_streams()
    }
}
