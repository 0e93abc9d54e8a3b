//! Opening a connection: a task of its own, so that it belongs to the pool and not to a request.
//!
//! A request that is cancelled leaves its dial behind; the connection serves the next waiter, or becomes idle. Of several
//! such dials only the oldest goes on, and even that one ends where a limit keeps a request waiting. A dial that ends,
//! or goes with its runtime, gives its permit back, and the lanes that wait for one are told.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::lane::{Dial, Lane};
use super::under_way::Begun;
use crate::conn::{Hold, Opened, http1, http2};
use crate::connector::{Connected, Connector, Fault, Protocol, Target};
use crate::io::ConnectionWaker;
use crate::policy::{Attempt, HANGS, Member, Permit, Turn};
use crate::report::{Error, Event, Reason};
use crate::settings::Http2;

pub(super) struct Dialer<C: Connector> {
    connector: Arc<C>,
    address: C::Address,
    may_share: bool,
}

impl<C: Connector> Dialer<C> {
    pub(super) fn boxed(connector: &Arc<C>, address: &C::Address, http2: Http2) -> Box<dyn Dial> {
        let may_share = match http2 {
            Http2::Off => false,
            Http2::Negotiated => connector.may_negotiate_http2(address),
            Http2::Assumed => true,
        };
        Box::new(Self { connector: Arc::clone(connector), address: address.clone(), may_share })
    }
}

impl<C: Connector> Dial for Dialer<C> {
    fn may_share(&self) -> bool {
        self.may_share
    }

    fn target(&self) -> Target {
        self.connector.target(&self.address)
    }

    fn dial(&self, lane: Arc<Lane>, begun: Begun, permit: Permit, attempt: Attempt) {
        let (connector, address) = (Arc::clone(&self.connector), self.address.clone());
        let Begun { number, unwanted } = begun;
        let is_for_all = attempt.is_for_all();
        let mut under_way = UnderWay { lane, number, before: number, is_for_all };
        // Boxed once, because a spawned future is moved several times, and this one is large.
        tokio::spawn(Box::pin(async move {
            // Not when it was spawned: requests that came since then share what it says.
            under_way.before = under_way.lane.queue.next_number();
            let lane = Arc::clone(&under_way.lane);
            let opened = {
                let open = pin!(open(&*connector, &address, &lane, permit));
                unless_closed(&lane, unless_unwanted(&lane, unwanted, open)).await
            };
            let opened = match opened {
                Ok(Dialled::Http1(connection)) => Ok(Some(connection)),
                Ok(Dialled::Http2(connection)) => {
                    let opened = Box::pin(lane.opened_for_many(connection));
                    let opened = async { opened.await.map_err(Failure::of_peer) };
                    unless_closed(&lane, opened).await.map(|()| None)
                }
                Err(failure) => Err(failure),
            };
            // A dial stops counting only after the request that it was for is served: a request that joined in between
            // would dial for that one too.
            match opened {
                Ok(connection) => {
                    attempt.succeeded(Instant::now());
                    if let Some(connection) = connection {
                        lane.opened_for_one(connection);
                    }
                    drop(under_way);
                }
                // It counts no more, and no request waits for it.
                Err(Failure::Unwanted) => drop((under_way, attempt)),
                Err(Failure::Closed) => {
                    let error = Error::closed(lane.name());
                    lane.host().tell(|| Event::OpenFailed { error: &error });
                    under_way.fail(error);
                }
                Err(Failure::Failed(error, fault)) => {
                    lane.host().note_failed_dial(&error);
                    under_way.fail(error);
                    match fault {
                        Fault::Peer => attempt.failed(Instant::now()),
                        _ => drop(attempt),
                    }
                    // Requests have left without their dials.
                    lane.left_dials_behind();
                }
            }
            // While this dial was counted, a waiter may have seen no need for one of its own.
            lane.dial(Turn::Own);
        }));
    }
}

/// A dial counts as under way until it has ended, or was dropped with its runtime. A dial that panics fails the waiter
/// that it was for, as any other failure does.
struct UnderWay {
    lane: Arc<Lane>,
    number: u64,
    /// It may fail the waiters whose numbers are smaller.
    before: u64,
    is_for_all: bool,
}

impl UnderWay {
    fn fail(self, error: Error) {
        self.lane.dial_failed(self.before, self.is_for_all, error);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.lane.queue.end_dial(self.number);
        if std::thread::panicking() {
            let panicked = io::Error::other("the connector panicked");
            let error = Error::connect(self.lane.name(), panicked);
            self.lane.dial_failed(self.before, self.is_for_all, error);
            // Others may have relied on it.
            Arc::clone(&self.lane).request_dial(Turn::Own);
        }
    }
}

/// Why a dial has opened nothing.
enum Failure {
    /// The pool has closed.
    Closed,
    /// No request waits for it any more.
    Unwanted,
    Failed(Error, Fault),
}

impl Failure {
    fn of_peer(error: Error) -> Self {
        Self::Failed(error, Fault::Peer)
    }
}

/// A connection holds its permit until its socket has closed.
impl Hold for Permit {
    fn closing(&mut self, reason: Reason) {
        self.set_reason(reason);
    }
}

async fn open<C: Connector>(
    connector: &C,
    address: &C::Address,
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Dialled, Failure> {
    let started = Instant::now();
    let opening = async {
        let connected = connect(connector, address, lane).await.map_err(|error| {
            let fault = connector.fault(&error);
            let error = match fault {
                Fault::Runtime => Error::runtime_unfit(lane.name(), error),
                _ => Error::connect(lane.name(), error),
            };
            Failure::Failed(error, fault)
        })?;
        open_http(connected, started, lane, permit).await.map_err(Failure::of_peer)
    };
    match lane.settings().connect_timeout {
        None => opening.await,
        Some(limit) => match timeout(limit, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Failure::of_peer(Error::connect_timeout(lane.name(), limit))),
        },
    }
}

/// Opens a stream; once more if it lacks a descriptor, and an idle connection has one to give.
async fn connect<C: Connector>(
    connector: &C,
    address: &C::Address,
    lane: &Lane,
) -> io::Result<Connected<C::Stream>> {
    match connector.connect(address).await {
        Err(error) if connector.fault(&error) == Fault::Descriptors && lane.free_descriptor() => {
            connector.connect(address).await
        }
        done => done,
    }
}

/// What a dial has opened.
enum Dialled {
    Http1(Box<http1::Connection>),
    Http2(Arc<http2::Connection>),
}

/// Opens HTTP over a stream that is there.
async fn open_http<S>(
    connected: Connected<S>,
    started: Instant,
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Dialled, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = lane.settings();
    let took = started.elapsed();
    let Connected { stream, local_address, peer_address, kernel_check, protocol } = connected;
    let opened = |mut permit: Permit| {
        let id = permit.opened(took);
        let addresses = (local_address, peer_address);
        Opened::new(id, addresses, took, kernel_check, &settings.connection, Box::new(permit))
    };
    let failed = |error| Error::handshake(lane.name(), error);
    match (settings.http2, protocol) {
        (Http2::Off, Protocol::Http2) => {
            // Before the permit, which the order of parameters would give back first.
            drop(stream);
            let why = "HTTP/2 was negotiated, which the pool is set not to speak";
            Err(Error::connect(lane.name(), io::Error::new(io::ErrorKind::Unsupported, why)))
        }
        (Http2::Assumed, _) | (_, Protocol::Http2) => {
            // Boxed, so that dials over HTTP/1 do not carry the size of this.
            let handshake = Box::pin(http2::handshake(stream, &settings.connection));
            let shaken = handshake.await.map_err(failed)?;
            let watch: Weak<Lane> = Arc::downgrade(lane);
            Ok(Dialled::Http2(shaken.start(opened(permit), watch)))
        }
        (_, Protocol::Http1) => {
            let watch: Weak<Lane> = Arc::downgrade(lane);
            let waker = ConnectionWaker::new(watch, Arc::clone(lane.pending_reads()));
            let connection = http1::open(stream, opened(permit), waker).map_err(failed)?;
            Ok(Dialled::Http1(connection))
        }
    }
}

/// Abandons the dial when the pool closes.
async fn unless_closed<T>(
    lane: &Lane,
    dial: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // The pool first, so that a dial which has ended is abandoned too.
    match select(pin!(lane.pool().closed()), pin!(dial)).await {
        Either::Left(((), _)) => Err(Failure::Closed),
        Either::Right((done, _)) => done,
    }
}

/// Abandons the dial when no request waits for it any more.
async fn unless_unwanted<T>(
    lane: &Arc<Lane>,
    unwanted: oneshot::Receiver<()>,
    dial: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let dial = async {
        let mut dial = pin!(dial);
        loop {
            if let Ok(done) = timeout(HANGS, dial.as_mut()).await {
                return done;
            }
            // Its request may have been served by another connection. Until now it was about to open its own.
            lane.left_dials_behind();
        }
    };
    // A sender that is dropped has told nothing, and is dropped only after the dial was taken off the list.
    match select(unwanted, pin!(dial)).await {
        Either::Left(_) => Err(Failure::Unwanted),
        Either::Right((done, _)) => done,
    }
}
