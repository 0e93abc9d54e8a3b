//! Opening a connection: a task of its own, so that it belongs to the pool and not to a request.
//!
//! A request that is cancelled leaves its dial behind; the connection serves the next who waits, or rests.
//! A dial that dies with its runtime gives its permit back, and whoever waits for one is called.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

use crate::backoff::{Backoff, Trial};
use crate::connection::{self, Connection};
use crate::connector::{Connected, Connector, Protocol, Target};
use crate::error::{Error, ErrorKind};
use crate::events::Event;
use crate::host::{Host, Permit};
use crate::http2::{self, Http2};
use crate::kept::Birth;
use crate::lane::{Dial, Lane};
use crate::multiplex::Multiplex;
use crate::waiting::Turn;

pub(crate) struct Dialer<C: Connector> {
    connector: Arc<C>,
    address: C::Address,
    may_share: bool,
}

impl<C: Connector> Dialer<C> {
    pub(crate) fn boxed(connector: &Arc<C>, address: &C::Address, http2: Http2) -> Box<dyn Dial> {
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
        tokio::spawn(async move {
            let lane = Arc::clone(&under_way.0);
            let opened = {
                let dial = pin!(open(&*connector, &address, &lane, permit));
                unless_closed(&lane, dial).await
            };
            let opened = match opened {
                Ok(Opened::Connection(connection)) => Ok(Some(connection)),
                Ok(Opened::Multiplex(multiplex)) => {
                    let settled = pin!(lane.opened_for_many(multiplex));
                    unless_closed(&lane, settled).await.map(|()| None)
                }
                Err(error) => Err(error),
            };
            // A dial stops being counted only after the request that it was for: whoever joined in between would
            // dial for that one too.
            match opened {
                Ok(connection) => {
                    lane.host.reached();
                    if let Some(connection) = connection {
                        lane.opened_for_one(connection);
                    }
                    drop(under_way);
                }
                Err(error) => {
                    lane.host.tell(|| Event::OpenFailed { error: &error });
                    let unreachable = error.kind() != ErrorKind::Closed;
                    lane.dial_failed(error);
                    drop(under_way);
                    if unreachable {
                        lane.host.missed(trial, begun, Instant::now());
                    }
                }
            }
            // While this dial was counted, a waiter may have seen no need for one of its own.
            lane.dial(Turn::Own);
        });
    }
}

/// What a dial that has ended means for all who wait.
impl Host {
    /// The address can be reached again.
    pub(crate) fn reached(&self) {
        if self.failures.forget() {
            self.call_all();
        }
    }

    /// A connection could not be opened; the address may have to be left alone.
    pub(crate) fn missed(&self, trial: Option<Trial>, begun: Instant, now: Instant) {
        self.counters.failed_to_open();
        let backoff = self.shared.settings.backoff;
        if backoff == Backoff::Off {
            return;
        }
        let Some(pause) = self.failures.add(trial, begun, now) else { return };
        self.tell(|| Event::BackingOff { pause });
        if backoff == Backoff::Fail && !self.has_connections() {
            for lane in self.lanes() {
                lane.fail_waiting(|| Error::backing_off(&self.name, pause));
            }
        } else {
            self.call_all();
        }
    }

    /// Calls all who want a dial.
    pub(crate) fn call_all(&self) {
        for lane in self.lanes().into_iter().filter(|lane| lane.queue().wants_dial()) {
            lane.call_dial(Turn::Own);
        }
    }
}

/// A dial counts as under way until it has ended, or was dropped with its runtime. One that panics fails the
/// waiter that it was for, like any other.
struct UnderWay(Arc<Lane>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.queue().end_dial();
        if std::thread::panicking() {
            let panicked = io::Error::other("the connector panicked");
            self.0.dial_failed(Error::connect(&self.0.host.name, panicked));
        }
    }
}

async fn open<C: Connector>(
    connector: &C,
    address: &C::Address,
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Opened, Error> {
    let (name, settings) = (&lane.host.name, &lane.host.shared.settings);
    let started = Instant::now();
    let opening = async {
        let connected =
            connector.connect(address).await.map_err(|error| Error::connect(name, error))?;
        finish(connected, started, lane, permit).await
    };
    match settings.connect_timeout {
        None => opening.await,
        Some(limit) => {
            timeout(limit, opening).await.map_err(|_| Error::connect_timeout(name, limit))?
        }
    }
}

/// What a dial has opened.
enum Opened {
    Connection(Box<Connection>),
    Multiplex(Arc<Multiplex>),
}

/// Opens HTTP over a stream that is there.
async fn finish<S>(
    connected: Connected<S>,
    started: Instant,
    lane: &Arc<Lane>,
    permit: Permit,
) -> Result<Opened, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (name, settings) = (&lane.host.name, &lane.host.shared.settings);
    let now = Instant::now();
    let retires = settings
        .max_lifetime
        .and_then(|lifetime| now.checked_add(jittered(lifetime, settings.lifetime_jitter)));
    let addresses = (connected.local_address, connected.peer_address);
    let birth = Birth::new(addresses, now - started, connected.kernel_check, retires);
    match (settings.http2, connected.protocol) {
        (Http2::Off, Protocol::Http2) => {
            // Before the permit, which the order of parameters would give back first.
            drop(connected.stream);
            let why = "HTTP/2 was negotiated, which the pool is set not to speak";
            Err(Error::connect(name, io::Error::new(io::ErrorKind::Unsupported, why)))
        }
        (Http2::Assumed, _) | (_, Protocol::Http2) => {
            let multiplex = http2::open(connected.stream, birth, permit, lane).await;
            multiplex.map(Opened::Multiplex).map_err(|error| Error::handshake(name, error))
        }
        (_, Protocol::Http1) => {
            let watch = Arc::downgrade(lane);
            let connection = connection::open(connected.stream, birth, permit, watch);
            connection.map(Opened::Connection).map_err(|error| Error::handshake(name, error))
        }
    }
}

/// Connections opened at one moment shall not all end at one moment.
pub(crate) fn jittered(time: Duration, jitter: f64) -> Duration {
    let less = time.as_secs_f64() * jitter * fastrand::f64();
    time.saturating_sub(Duration::try_from_secs_f64(less).unwrap_or_default())
}

/// Abandons the dial when the pool closes.
async fn unless_closed<T>(
    lane: &Lane,
    mut dial: std::pin::Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let shared = &lane.host.shared;
    let mut closing = pin!(shared.closing.notified());
    closing.as_mut().enable();
    poll_fn(|cx| {
        if shared.is_closed() || closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(Error::closed(&lane.host.name)));
        }
        dial.as_mut().poll(cx)
    })
    .await
}
