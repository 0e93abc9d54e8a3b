//! hyper's side of an HTTP/2 connection: how it is opened over a stream, and polled.

#![expect(clippy::disallowed_types, reason = "hyper's side of HTTP/2 lives here")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::dial::jittered;
use crate::host::Permit;
use crate::kept::Birth;
use crate::lane::Lane;
use crate::multiplex::Multiplex;
use crate::request_body::RequestBody;
use crate::runner::Runner;
use crate::seat::{Driver, Seat, Speak, Task, UNSAID};
use crate::stream::Counted;

/// Takes requests for a connection that its task drives.
pub(crate) type Sender = http2::SendRequest<RequestBody>;

/// Why there is no response.
pub(crate) type Unanswered = TrySendError<Request<RequestBody>>;

/// Whether a pool speaks HTTP/2; see [`Builder::http2`](crate::Builder::http2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Http2 {
    /// Never. A connector that negotiates it all the same fails to connect.
    Off,
    /// Where the connector has negotiated it, as TLS does by ALPN; everywhere else HTTP/1.
    #[default]
    Negotiated,
    /// Everywhere, without asking (RFC 9113 3.3, \"prior knowledge\"). A server that speaks only HTTP/1 does not
    /// understand it.
    Assumed,
}

/// When a connection is asked whether it is still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepAlive {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// Servers, and what is between, shall not be asked by all connections at one instant; Envoy spreads as much.
const JITTER: f64 = 0.15;

/// Opens HTTP/2 over a stream, and starts the task that drives it.
pub(crate) async fn open<S>(
    stream: S,
    mut birth: Birth,
    mut permit: Permit,
    lane: &Arc<Lane>,
) -> hyper::Result<Arc<Multiplex>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &lane.shared().settings;
    let (runner, errands) = Runner::new();
    let mut builder = http2::Builder::new(runner.clone());
    builder.timer(TokioTimer::new()).initial_max_send_streams(UNSAID);
    if let Some(KeepAlive { interval, timeout }) = settings.http2_keep_alive {
        builder
            .keep_alive_interval(jittered(interval, JITTER))
            .keep_alive_timeout(timeout)
            .keep_alive_while_idle(true);
    }
    let (stream, traffic) = Counted::new(stream);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    birth.origin.id = permit.opened(birth.origin.connect_time);
    let seat = Arc::<Seat>::default();
    let Birth { origin, retires, .. } = birth;
    let most = settings.http2_max_streams;
    let multiplex = Multiplex::new(sender, origin, retires, most, traffic, Arc::clone(&seat));
    let driver = Driver::new(Box::new(connection), errands, permit);
    Task::start(driver, runner, &multiplex, &seat, lane);
    Ok(multiplex)
}

impl<S> Speak for http2::Connection<S, RequestBody, Runner>
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
