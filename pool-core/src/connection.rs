//! One HTTP/1 connection, driven by whoever holds it.
//!
//! hyper's connection future is not spawned. It lives here beside its `SendRequest`, in one box that moves
//! between lease and idle store, and is polled by the request future, by the response body, and once by
//! the idle store. The waker it is polled with is the connection's own (`waker.rs`).
//!
//! ```text
//!   open ─► send ─► poll … poll ─► is_ready? ─► rest ─► leave_rest ─► send …
//!                     │ is_finished
//!                     ▼
//!                  dropped: the socket closes at once
//! ```
//!
//! What must hold: the futures that hyper answers through (the response, the next frame) are completed by
//! our own poll of the connection alone, so they are polled right after it and need no waker. A finished
//! hyper connection is dropped in the very poll that finished it, or its sender would wait for ever.

use std::error::Error as _;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
pub(crate) use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

use crate::connector::{Connected, KernelCheck};
use crate::host::Permit;
use crate::info::{ConnectionInfo, Origin, Visit};
use crate::request_body::RequestBody;
use crate::shared::Shared;
use crate::stats::Reason;
use crate::stream::{Counted, Traffic, Unasked};
use crate::waker::{ConnectionWaker, Watch};

/// A connection over a stream of any type, by way of its last field.
pub(crate) struct Connection<D: Drive + ?Sized = dyn Drive> {
    sender: SendRequest<RequestBody>,
    waker: Arc<ConnectionWaker>,
    own_waker: Waker,
    traffic: Arc<Traffic>,
    kernel_check: Option<KernelCheck>,
    origin: Arc<Origin>,
    visit: Visit,
    retires: Option<Instant>,
    speaks_http10: bool,
    last_use: bool,
    permit: Permit,
    driver: D,
}

/// hyper's side of a connection, whatever stream it is over.
pub(crate) trait Drive: Send {
    /// Polls until nothing more can be done; at the end closes the stream.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Prepares for the stream to become something else after the next response.
    fn allow_upgrade(&mut self);

    /// How it came to its end, if it has.
    fn ending(&self) -> Option<Ending>;

    /// Closes the stream now.
    fn close(&mut self);
}

/// How hyper came to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As the messages, or the end of the stream, asked for.
    Clean,
    /// It had read more than the messages.
    Surplus,
    /// The stream failed.
    Failed,
}

/// Opens HTTP/1 over a stream. No byte goes over it yet.
pub(crate) async fn open<S>(
    connected: Connected<S>,
    connect_time: Duration,
    mut permit: Permit,
    watch: Weak<dyn Watch>,
    retires: Option<Instant>,
) -> hyper::Result<Box<Connection>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, traffic) = Counted::new(connected.stream);
    let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
    let origin = Origin {
        id: permit.opened(connect_time),
        local_address: connected.local_address,
        peer_address: connected.peer_address,
        connect_time,
    };
    let waker = ConnectionWaker::new(watch);
    Ok(Box::new(Connection {
        sender,
        own_waker: Waker::from(Arc::clone(&waker)),
        waker,
        traffic,
        kernel_check: connected.kernel_check,
        origin: Arc::new(origin),
        visit: Visit::default(),
        retires,
        speaks_http10: false,
        last_use: false,
        permit,
        driver: Driver::Http(connection),
    }))
}

impl Connection {
    /// Hands a request to hyper. The response comes from the returned future, polled by way of
    /// [`poll`](Self::poll).
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.visit.use_number += 1;
        if asks_for_upgrade(&request) {
            self.driver.allow_upgrade();
            self.last_use = true;
        }
        self.last_use |= request.version() == Version::HTTP_10 && !asks_to_stay(&request);
        // hyper wakes its connection for the new request; we are about to poll it anyway.
        self.waker.begin();
        self.sender.try_send_request(request)
    }

    /// Drives the connection for the task of `cx`, until `answer` is ready.
    ///
    /// `answer` is a future that hyper completes: it is polled after each poll of the connection, and
    /// cannot become ready otherwise.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut answer: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Polling the answer may itself ask hyper for more, which it notes by a wake: hence twice. A
        // note that stands after that goes to the task, so that hyper's own yields are honoured.
        for _ in 0..2 {
            self.waker.begin();
            let _ = self.driver.poll(&mut Context::from_waker(&self.own_waker));
            let answer = answer(&mut Context::from_waker(Waker::noop()));
            if answer.is_ready() {
                return answer;
            }
            if !self.waker.is_noted() {
                break;
            }
        }
        self.waker.wait(cx.waker());
        Poll::Pending
    }

    /// Whether hyper has done with the last message, both ways, and takes another request.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.is_finished()
    }

    /// Whether hyper has closed the connection.
    pub(crate) fn is_finished(&self) -> bool {
        self.driver.ending().is_some()
    }

    /// Why hyper has closed the connection, or why it must be closed now that its message has ended.
    pub(crate) fn ended_for(&self) -> Reason {
        match (self.traffic.unasked(), self.driver.ending()) {
            (Unasked::Bytes, _) | (Unasked::Nothing, Some(Ending::Surplus)) => Reason::Unsolicited,
            (Unasked::RequestTimeout, _) => Reason::ClosedByPeer,
            (Unasked::Nothing, Some(Ending::Failed)) => Reason::Failed,
            (Unasked::Nothing, _) => Reason::Ended,
        }
    }

    /// Makes the connection tell its watch, under `sequence`, when it stirs; or says why it must close.
    pub(crate) fn rest(&mut self, sequence: u64) -> Result<(), Reason> {
        if self.last_use || !self.is_ready() {
            return Err(self.ended_for());
        }
        self.traffic.expect_nothing();
        // The last poll has left the waker with the stream, unless a wake says that more has come.
        if self.traffic.read_waits() && self.waker.rest(sequence) {
            return Ok(());
        }
        self.rest_after_poll(sequence)
    }

    /// As [`rest`](Self::rest), for a connection that may have been closed meanwhile.
    pub(crate) fn rest_after_poll(&mut self, sequence: u64) -> Result<(), Reason> {
        for _ in 0..2 {
            self.waker.begin();
            self.poll_unconstrained();
            if self.is_finished() {
                return Err(match self.ended_for() {
                    Reason::Ended => Reason::ClosedByPeer,
                    reason => reason,
                });
            }
            if self.waker.rest(sequence) {
                return Ok(());
            }
        }
        self.waker.rest_stirred();
        Ok(())
    }

    /// The idle store has no task that could be told to yield: with its budget spent, a constrained poll
    /// would not reach the stream at all and leave no waker there.
    fn poll_unconstrained(&mut self) {
        let (driver, own_waker) = (&mut self.driver, &self.own_waker);
        let poll = std::future::poll_fn(|_| driver.poll(&mut Context::from_waker(own_waker)));
        let _ = pin!(unconstrained(poll)).poll(&mut Context::from_waker(Waker::noop()));
    }

    /// The connection was taken out of the idle store.
    pub(crate) fn leave_rest(&mut self, idle_for: Duration) {
        self.visit.idle_for = idle_for;
        self.visit.queue_time = Duration::ZERO;
        self.waker.begin();
    }

    /// Whether a request has gone over it before.
    pub(crate) fn is_used(&self) -> bool {
        self.visit.use_number > 0
    }

    /// Why the connection should serve no further request, if it has lived or worked long enough.
    pub(crate) fn worn_out(&self, shared: &Shared, now: Instant) -> Option<Reason> {
        if shared.settings.max_uses.is_some_and(|limit| self.visit.use_number >= limit) {
            Some(Reason::MaxUses)
        } else if self.retires.is_some_and(|retires| retires <= now) {
            Some(Reason::MaxLifetime)
        } else {
            None
        }
    }

    /// Makes the next read ask the kernel whether an idle connection is still quiet.
    ///
    /// hyper reads before it writes, and hands an unsent request back when it finds an end or bytes that
    /// nobody asked for.
    pub(crate) fn ask_kernel(&self) {
        if let Some(check) = &self.kernel_check {
            check.ask();
        }
    }

    /// Remembers that the server speaks HTTP/1.0, which hyper then does too.
    pub(crate) fn note_version(&mut self, version: Version) {
        self.speaks_http10 = version == Version::HTTP_10;
    }

    /// Whether a body of unknown length can be sent: to an HTTP/1.0 server hyper would send it empty.
    pub(crate) fn can_send_chunked(&self) -> bool {
        !self.speaks_http10
    }

    pub(crate) fn id(&self) -> u64 {
        self.origin.id
    }

    pub(crate) fn visit(&self) -> Visit {
        self.visit
    }

    /// What a response that it brought says of it.
    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo::new(Arc::clone(&self.origin), self.visit)
    }

    /// The request waited so long for this connection, which then was not idle.
    pub(crate) fn note_queue_time(&mut self, waited: Duration) {
        self.visit.queue_time = waited;
        self.visit.idle_for = Duration::ZERO;
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    pub(crate) fn waker(&self) -> &Arc<ConnectionWaker> {
        &self.waker
    }

    /// Closes the connection at once.
    #[expect(clippy::boxed_local, reason = "an unsized connection cannot leave its box")]
    pub(crate) fn discard(mut self: Box<Self>, reason: Reason) {
        self.permit.closing(reason);
    }
}

impl<D: Drive + ?Sized> Drop for Connection<D> {
    fn drop(&mut self) {
        // Before the permit: a limit must not be free while the socket is still open.
        self.driver.close();
    }
}

fn asks_for_upgrade<B>(request: &Request<B>) -> bool {
    *request.method() == Method::CONNECT || request.headers().contains_key(UPGRADE)
}

/// An HTTP/1.0 server closes unless asked not to, RFC 9112 C.2.2.
fn asks_to_stay<B>(request: &Request<B>) -> bool {
    let options = request.headers().get_all(CONNECTION);
    options
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|option| option.trim().eq_ignore_ascii_case("keep-alive"))
}

#[expect(clippy::large_enum_variant, reason = "it lives in the box of its connection")]
enum Driver<S: AsyncRead + AsyncWrite + Unpin> {
    Http(http1::Connection<TokioIo<Counted<S>>, RequestBody>),
    Upgradeable(Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>),
    Finished(Ending),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drive for Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What hyper reports here it has either told the request as well, or concerns no request.
        let ended = std::task::ready!(match self {
            Self::Http(connection) => connection.poll_without_shutdown(cx),
            Self::Upgradeable(connection) => connection.as_mut().poll(cx),
            Self::Finished(_) => return Poll::Ready(()),
        });
        *self = Self::Finished(match ended {
            Ok(()) => Ending::Clean,
            Err(error) if error.source().is_none() => Ending::Surplus,
            Err(_) => Ending::Failed,
        });
        Poll::Ready(())
    }

    fn allow_upgrade(&mut self) {
        *self = match std::mem::replace(self, Self::Finished(Ending::Clean)) {
            Self::Http(connection) => Self::Upgradeable(Box::pin(connection.with_upgrades())),
            other => other,
        };
    }

    fn ending(&self) -> Option<Ending> {
        match self {
            Self::Finished(ending) => Some(*ending),
            _ => None,
        }
    }

    fn close(&mut self) {
        *self = Self::Finished(Ending::Clean);
    }
}
