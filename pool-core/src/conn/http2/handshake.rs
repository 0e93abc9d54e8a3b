//! HTTP/2 is opened over a stream: h2 with the windows and limits of the pool.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::PingPong;
use h2::client::{self, SendRequest};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Connection;
use super::driver::{Drive, Driver, DriverCell, UNSAID};
use super::signs::Signs;
use super::task::{StreamWatch, Task};
use super::wire::{Watched, Wire};
use crate::conn::Opened;
use crate::settings::{ConnectionSettings, Http2Settings};

/// What frames that are hardly larger than their heads may take beside the window, over all streams that are not read:
/// about a quarter of a million of them. h2 would otherwise end a connection whose slow reader is sent small messages.
const SMALL_FRAMES: usize = 64 * 1024 * 1024;

/// How many streams are remembered after a reset from here, for the second in which frames of theirs may still come.
const RESET_STREAMS: usize = 256;

/// h2 takes what is larger than its limit for a malformed response. So its limit lies above ours, which names itself.
const ABOVE_LIMIT: u32 = 2;

/// A connection over which HTTP/2 has been opened, and whose task has not started.
pub(crate) struct Handshaken {
    sender: SendRequest<Bytes>,
    http2: Box<dyn Drive>,
    ping: Option<PingPong>,
    wire: Arc<Wire>,
    settings: Http2Settings,
}

/// Opens HTTP/2 over a stream.
pub(crate) async fn handshake<S>(
    stream: S,
    settings: &ConnectionSettings,
) -> Result<Handshaken, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head = u32::try_from(settings.max_response_head).unwrap_or(u32::MAX / ABOVE_LIMIT);
    let settings = settings.http2;
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(UNSAID)
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.frame_size)
        .max_send_buffer_size(settings.send_buffer)
        .max_header_list_size(head.saturating_mul(ABOVE_LIMIT))
        .max_concurrent_reset_streams(RESET_STREAMS)
        .data_frame_budget(SMALL_FRAMES);
    let (stream, wire) = Watched::new(stream);
    let (sender, mut connection) = builder.handshake(stream).await?;
    let ping = connection.ping_pong();
    let http2 = Box::new(Driven { connection, wire: Arc::clone(&wire) });
    Ok(Handshaken { sender, http2, ping, wire, settings })
}

impl Handshaken {
    /// Starts the task of the connection, which tells `watch` what changes.
    pub(crate) fn start(self, opened: Opened, watch: Weak<dyn StreamWatch>) -> Arc<Connection> {
        let Self { sender, http2, ping, wire, settings } = self;
        let Opened { established, kernel_check, lifetime, hold, .. } = opened;
        let (driver, spawner) = Driver::new(http2, Arc::clone(&wire), hold);
        let cell = DriverCell::new(driver, spawner);
        let connection = Connection::new(
            sender,
            established,
            lifetime,
            &settings,
            Arc::clone(&wire),
            kernel_check,
            Arc::clone(&cell),
        );
        let signs = Signs::new(&settings, ping);
        Task::start(cell, wire, signs, &connection, watch);
        connection
    }
}

struct Driven<S> {
    connection: client::Connection<Watched<S>, Bytes>,
    wire: Arc<Wire>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Drive for Driven<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        self.wire.turn().begin();
        Pin::new(&mut self.connection).poll(cx)
    }

    fn streams(&self) -> usize {
        self.connection.max_concurrent_send_streams()
    }
}
