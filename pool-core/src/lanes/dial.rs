//! Opening a connection: a task of its own, so that it belongs to the pool and not to a request.
//!
//! A request that is cancelled leaves its dial behind; the connection serves the next waiter, or becomes idle. A dial
//! that ends with its runtime gives its permit back, and the lanes that wait for one are told.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Weak};

use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use super::lane::{Dial, Lane};
use crate::conn::{Hold, Opened, http1, http2};
use crate::connector::{Connected, Connector, Protocol, Target};
use crate::io::ConnectionWaker;
use crate::policy::{Permit, Trial, Turn};
use crate::report::{Error, ErrorKind, Event, Reason};
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

impl<C: Connector> Drop for Dialer<C> {
    /// It goes with the lane, and so when the pool forgets the address.
    fn drop(&mut self) {
        self.connector.forget(&self.address);
    }
}

impl<C: Connector> Dial for Dialer<C> {
    fn may_share(&self) -> bool {
        self.may_share
    }

    fn target(&self) -> Target {
        self.connector.target(&self.address)
    }

    fn dial(&self, lane: Arc<Lane>, permit: Permit, trial: Option<Trial>) {
        let (connector, address) = (Arc::clone(&self.connector), self.address.clone());
        let (under_way, begun) = (UnderWay(lane), Instant::now());
        // Boxed once, because a spawned future is moved several times, and this one is large.
        tokio::spawn(Box::pin(async move {
            let lane = Arc::clone(&under_way.0);
            let opened = {
                let open = open(&*connector, &address, &lane, permit);
                unless_closed(&lane, open).await
            };
            let opened = match opened {
                Ok(Dialled::Http1(connection)) => Ok(Some(connection)),
                Ok(Dialled::Http2(connection)) => {
                    let opened = Box::pin(lane.opened_for_many(connection));
                    unless_closed(&lane, opened).await.map(|()| None)
                }
                Err(error) => Err(error),
            };
            // A dial stops counting only after the request that it was for is served: a request that joined in between
            // would dial for that one too.
            match opened {
                Ok(connection) => {
                    lane.host().reached();
                    if let Some(connection) = connection {
                        lane.opened_for_one(connection);
                    }
                    drop(under_way);
                }
                Err(error) => {
                    lane.host().tell(|| Event::OpenFailed { error: &error });
                    let unreachable = error.kind() != ErrorKind::Closed;
                    lane.dial_failed(error);
                    drop(under_way);
                    if unreachable {
                        // Before the next pause begins, so that the trial does not hand that one on.
                        let was_trial = trial.map(Trial::end).is_some();
                        lane.host().missed(was_trial, begun, Instant::now());
                    }
                }
            }
            // While this dial was counted, a waiter may have seen no need for one of its own.
            lane.dial(Turn::Own);
        }));
    }
}

/// A dial counts as under way until it has ended, or was dropped with its runtime. A dial that panics fails the waiter
/// that it was for, as any other failure does.
struct UnderWay(Arc<Lane>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.queue.end_dial();
        if std::thread::panicking() {
            let panicked = io::Error::other("the connector panicked");
            self.0.dial_failed(Error::connect(self.0.name(), panicked));
        }
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
) -> Result<Dialled, Error> {
    let started = Instant::now();
    let opening = async {
        let connected =
            connector.connect(address).await.map_err(|error| Error::connect(lane.name(), error))?;
        open_http(connected, started, lane, permit).await
    };
    match lane.settings().connect_timeout {
        None => opening.await,
        Some(limit) => {
            timeout(limit, opening).await.map_err(|_| Error::connect_timeout(lane.name(), limit))?
        }
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
    dial: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // The pool first, so that a dial which has ended is abandoned too.
    match select(pin!(lane.pool().closed()), pin!(dial)).await {
        Either::Left(((), _)) => Err(Error::closed(lane.name())),
        Either::Right((done, _)) => done,
    }
}
