//! HTTP over a stream that a dial has opened.
//!
//! The dial counts as a connection from here on, so its permit goes with it.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::lane::Lane;
use crate::conn::{self, Opened};
use crate::connector::Connected;
use crate::io::ConnectionWaker;
use crate::policy::Permit;
use crate::report::Error;

/// What a dial has opened.
pub(super) enum Dialled {
    Http1(Box<conn::http1::Connection>),
    Http2(Arc<conn::http2::Connection>),
}

/// Opens HTTP/1 over a stream that is there. Not an async function, whose future would hold the stream twice.
pub(super) fn http1<S>(
    connected: Connected<S>,
    times: (Instant, Duration),
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Dialled, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, opened) = opened(connected, times, lane, permit);
    let watch: Weak<Lane> = Arc::downgrade(lane);
    let waker = ConnectionWaker::new(watch, Arc::clone(lane.pending_reads()));
    let connection = conn::http1::open(stream, opened, waker);
    connection.map(Dialled::Http1).map_err(|error| Error::handshake(lane.name(), error))
}

pub(super) async fn http2<S>(
    connected: Connected<S>,
    times: (Instant, Duration),
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Dialled, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if connected.is_forwarded() {
        // Before the permit, which would be given back first.
        drop(connected);
        let why = "a proxy that forwards requests is not spoken to over HTTP/2";
        let error = io::Error::new(io::ErrorKind::Unsupported, why);
        return Err(Error::connect(lane.name(), error));
    }
    let (stream, rest) = connected.take_stream();
    let handshake = conn::http2::handshake(stream, &lane.settings().connection);
    let shaken = handshake.await.map_err(|error| Error::http2_handshake(lane.name(), error))?;
    let watch: Weak<Lane> = Arc::downgrade(lane);
    let ((), opened) = opened(rest, times, lane, permit);
    Ok(Dialled::Http2(shaken.start(opened, watch)))
}

/// Counts a connection as open, and gives its stream beside what is known of it.
fn opened<S>(
    connected: Connected<S>,
    (now, took): (Instant, Duration),
    lane: &Lane,
    mut permit: Permit,
) -> (S, Opened) {
    let Connected {
        stream,
        local_address,
        peer_address,
        kernel_check,
        extensions,
        absolute_form,
        resolved: connected_to,
        ..
    } = connected;
    let id = permit.opened(now, took);
    let addresses = (local_address, peer_address);
    let gone = connected_to.and_then(|address| lane.host().peers().gone(address));
    let settings = &lane.settings().connection;
    let permit = Box::new(permit);
    let known = (extensions, Arc::clone(lane.host().server()));
    let opened =
        Opened::new(id, addresses, known, (now, took), (kernel_check, gone), settings, permit);
    (stream, opened.with_absolute_form(absolute_form))
}
