//! Opening a connection: a task of its own, so that it belongs to the pool and not to a request.
//!
//! A request that is cancelled leaves its dial behind; the connection serves the next waiter, or becomes idle. Of several
//! such dials only the oldest goes on, and even that one ends where a limit keeps a request waiting. A dial that ends,
//! or goes with its runtime, gives its permit back, and the lanes that wait for one are told.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_util::future::{Either, select};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::lane::{Dial, Lane};
use super::opening::{self, Dialled};
use super::race;
use super::under_way::{Begun, Heritage};
use crate::conn::{Hold, http2};
use crate::connector::{ConnectOptions, Connector, Fault, Protocol, Target};
use crate::policy::{Attempt, HANGS, Member, Permit, Tried, Turn};
use crate::report::{Carried, Error, Event, Reason};
use crate::settings::Http2;

pub(super) struct Dialer<C: Connector> {
    connector: Arc<C>,
    address: C::Address,
    options: ConnectOptions,
    may_share: bool,
    is_name: bool,
}

impl<C: Connector> Dialer<C> {
    /// Of connections that may come to speak HTTP/2, unless `http1_only`.
    pub(super) fn boxed(
        connector: &Arc<C>,
        address: &C::Address,
        http2: Http2,
        target: &Target,
        http1_only: bool,
    ) -> Box<dyn Dial> {
        let may_share = !http1_only
            && match http2 {
                Http2::Off => false,
                Http2::Negotiated => target.negotiates_http2,
                Http2::Assumed => true,
            };
        let options = ConnectOptions::new().with_http2(!http1_only && http2 != Http2::Off);
        let (connector, address) = (Arc::clone(connector), address.clone());
        let is_name = connector.resolve(&address).is_some();
        Box::new(Self { connector, address, options, may_share, is_name })
    }
}

impl<C: Connector> Dial for Dialer<C> {
    fn may_share(&self) -> bool {
        self.may_share
    }

    fn is_name(&self) -> bool {
        self.is_name
    }

    fn resolve(&self, lane: Arc<Lane>) {
        if !self.is_name {
            return;
        }
        let (connector, address) = (Arc::clone(&self.connector), self.address.clone());
        tokio::spawn(async move {
            // A resolver may have few threads, and dials that know no answer come first. What is due is asked for again.
            let Ok(_turn) = lane.pool().resolutions.try_acquire() else { return };
            if let Some(resolving) = connector.resolve(&address) {
                // Without an answer the one before stays, and is asked for again.
                race::resolve(&lane, resolving).await.ok();
            }
        });
    }

    fn dial(&self, lane: Arc<Lane>, begun: Begun, permit: Permit, attempt: Attempt) {
        let (connector, address) = (Arc::clone(&self.connector), self.address.clone());
        let options = self.options.clone();
        let Begun { number, heir_of, mut unwanted, .. } = begun;
        let (mut tried, since) = heir_of.map(|Heritage { tried, since }| (tried, since)).unzip();
        let is_for_all = attempt.is_for_all();
        let mut under_way = UnderWay { lane, number, before: number, is_for_all };
        let mut permit = Some(permit);
        // Boxed once, because a spawned future is moved several times, and this one is large. What it hands to the futures
        // within goes by reference, or each of these would have room for it as well.
        tokio::spawn(Box::pin(async move {
            // Not when it was spawned: requests that came since then share what it says.
            under_way.before = under_way.lane.queue.next_number();
            let lane = Arc::clone(&under_way.lane);
            let opened = {
                let peer = (&address, &options);
                let dial = Dialling { lane: &lane, number, tried: &mut tried, permit: &mut permit };
                let open = pin!(open(&*connector, peer, dial));
                while_wanted(&lane, since, &mut unwanted, open).await
            };
            // A limit must not be full on account of what has ended.
            drop(permit);
            if !matches!(opened, Ok(Dialled::Http2(_))) {
                // It is ended no more.
                unwanted.close();
            }
            let opened = match opened {
                Ok(Dialled::Http1(connection)) => Ok(Some(connection)),
                Ok(Dialled::Http2(connection)) => {
                    lane.queue.dial_has_connected(number);
                    Box::pin(opened_for_many(&lane, connection, unwanted)).await.map(|()| None)
                }
                Err(failure) => Err(failure),
            };
            // A dial stops counting only after the request that it was for is served: a request that joined in between
            // would dial for that one too.
            match opened {
                Ok(connection) => {
                    let now = Instant::now();
                    attempt.succeeded(now);
                    if let Some(connection) = connection {
                        lane.opened_for_one(connection, now);
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
        if !self.lane.queue.has_other(self.number) {
            self.lane.dial_failed(self.before, self.is_for_all, error);
        }
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

    fn closed(&mut self, carried: Carried) {
        Self::closed(self, carried);
    }
}

/// What a dial opens its connection for, and under.
struct Dialling<'a> {
    lane: &'a Arc<Lane>,
    number: u64,
    tried: &'a mut Option<Tried>,
    permit: &'a mut Option<Permit>,
}

async fn open<C: Connector>(
    connector: &C,
    peer: (&C::Address, &ConnectOptions),
    Dialling { lane, number, tried, permit }: Dialling<'_>,
) -> Result<Dialled, Failure> {
    let started = Instant::now();
    let connected = match connector.resolve(peer.0) {
        None => race::connect_once(connector, peer, lane).await,
        // Boxed, so that dials to addresses that are no names do not carry the size of this.
        Some(resolving) => {
            let dial = (lane, number, tried.take());
            Box::pin(race::connect(connector, peer, dial, resolving)).await
        }
    };
    let connected = connected.map_err(|(error, fault)| {
        let error = match fault {
            Fault::Runtime => Error::runtime_unfit(lane.name(), error),
            _ => Error::connect(lane.name(), error),
        };
        Failure::Failed(error, fault)
    })?;
    let Some(permit) = permit.take() else { unreachable!("it is taken here alone") };
    let now = Instant::now();
    let times = (now, now.saturating_duration_since(started));
    let opened = match (lane.settings().http2, connected.protocol) {
        (_, Protocol::Http2) if !peer.1.http2 => {
            // Before the permit, which would be given back first.
            drop(connected);
            let why = "HTTP/2 was negotiated, which was not wanted";
            Err(Error::connect(lane.name(), io::Error::new(io::ErrorKind::Unsupported, why)))
        }
        // Boxed, so that dials over HTTP/1 do not carry the size of this.
        (Http2::Assumed, _) | (_, Protocol::Http2) => {
            Box::pin(opening::http2(connected, times, lane, permit)).await
        }
        (_, Protocol::Http1) => opening::http1(connected, times, lane, permit),
    };
    opened.map_err(Failure::of_peer)
}

/// Abandons a dial when the connect timeout has passed, the pool closes, or no request waits for it any more.
///
/// One timer serves both of what takes long, because a timer is a good part of what it costs to open a connection.
async fn while_wanted(
    lane: &Arc<Lane>,
    since: Option<Instant>,
    unwanted: &mut oneshot::Receiver<()>,
    mut dial: Pin<&mut impl Future<Output = Result<Dialled, Failure>>>,
) -> Result<Dialled, Failure> {
    // A dial in the place of another has what was left of its time, or there might always be another.
    let started = since.unwrap_or_else(Instant::now);
    let limit = lane.settings().connect_timeout;
    // A time too long for the clock is never over.
    let end = limit.and_then(|limit| started.checked_add(limit));
    let next = |now: Instant| end.map_or(now + HANGS, |end| end.min(now + HANGS));
    let mut unwanted = pin!(unwanted);
    let mut timer = pin!(sleep_until(next(started)));
    poll_fn(|cx| {
        // Before the dial, so that one which has ended is abandoned too. A sender that is dropped has told nothing, and is
        // dropped only after the dial was taken off the list.
        if unwanted.as_mut().poll(cx).is_ready() || lane.pool().is_closed() {
            let closed = lane.pool().is_closed();
            return Poll::Ready(Err(if closed { Failure::Closed } else { Failure::Unwanted }));
        }
        if let Poll::Ready(done) = dial.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if let Some(limit) = limit.filter(|_| end.is_some_and(|end| end <= now)) {
                let error = Error::connect_timeout(lane.name(), limit);
                return Poll::Ready(Err(Failure::of_peer(error)));
            }
            // Its request may have been served by another connection. Until now it was about to open its own.
            lane.left_dials_behind();
            timer.as_mut().reset(next(now));
        }
    })
    .await
}

/// Waits until a shared connection has shown how many it serves; abandons it when the pool closes, or no request waits for
/// it any more.
async fn opened_for_many(
    lane: &Arc<Lane>,
    connection: Arc<http2::Connection>,
    unwanted: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let opened = pin!(lane.opened_for_many(Arc::clone(&connection)));
    let (closed, unwanted) = (pin!(lane.pool().closed()), pin!(told(unwanted)));
    // The word first, so that a dial which has ended is abandoned too.
    match select(select(closed, unwanted), opened).await {
        Either::Left((Either::Left(_), _)) => Err(Failure::Closed),
        Either::Left((Either::Right(_), _)) => {
            connection.close(Reason::Cancelled);
            Err(Failure::Unwanted)
        }
        Either::Right((done, _)) => done.map_err(Failure::of_peer),
    }
}

/// Ends when a dial is told to. A sender that is dropped tells nothing.
async fn told(unwanted: oneshot::Receiver<()>) {
    if unwanted.await.is_err() {
        std::future::pending::<()>().await;
    }
}
