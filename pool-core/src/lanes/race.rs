//! Opening a stream to an address; where it is a name, to one of the socket addresses behind it (RFC 8305).
//!
//! ```text
//!   resolve ─► the next address ─► connected
//!                ▲    │ failed ────────────────────────┐
//!                │    │ 250 ms                         │
//!                │    ├─► another dial tries the next ─┼─► this one goes on beside it
//!                │    └─► a limit allows none: given up┤
//!                └─────────────────────────────────────┘
//! ```
//!
//! A dial tries one address at a time. What runs beside it is a dial like any other, with a permit of its own, so
//! the limits hold; and what comes too late serves the next request, or becomes idle, as any connection that no
//! request waits for.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::lane::Lane;
use crate::connector::{ConnectOptions, Connected, Connector, Fault, Resolving};
use crate::policy::{HANGS, Tried, Turn};
use crate::report::Chain;

/// After so long the next address is tried: RFC 8305 5.
pub(crate) const DELAY: Duration = Duration::from_millis(250);

/// Opens a stream to one of the addresses behind a name.
pub(super) async fn connect<C: Connector>(
    connector: &C,
    peer: (&C::Address, &ConnectOptions),
    (lane, number, tried): (&Arc<Lane>, u64, Option<Tried>),
    resolving: Resolving<'_>,
) -> Result<Connected<C::Stream>, (io::Error, Fault)> {
    if lane.host().peers().are_known() {
        // The answer before stays in use until the next has come.
        drop(resolving);
        lane.resolve_if_due();
    } else if let Err(error) = resolve(lane, resolving).await {
        let fault = connector.fault(&error);
        let again = connector.resolve(peer.0).filter(|_| fault == Fault::Descriptors);
        match again.filter(|_| lane.free_descriptor()) {
            Some(again) => resolve(lane, again).await.map_err(|error| {
                let fault = connector.fault(&error);
                (error, fault)
            })?,
            None => return Err((error, fault)),
        }
    }
    if lane.host().peers().are_one() && !lane.dialer().may_share() {
        // There is no better address to find out, so no request waits for the dial of another.
        lane.queue.set_per_dial(1);
        lane.dial(Turn::Own);
    }
    connect_to_any(connector, peer, (lane, number, tried)).await
}

/// Opens a stream; once more if it lacks a descriptor, and an idle connection has one to give.
pub(super) async fn connect_once<C: Connector>(
    connector: &C,
    (address, options): (&C::Address, &ConnectOptions),
    lane: &Lane,
) -> Result<Connected<C::Stream>, (io::Error, Fault)> {
    let judged = |error| {
        let fault = connector.fault(&error);
        (error, fault)
    };
    match connector.connect(address, options).await.map_err(judged) {
        Err((_, Fault::Descriptors)) if lane.free_descriptor() => {
            connector.connect(address, options).await.map_err(judged)
        }
        done => done,
    }
}

/// Resolves the name, if that is due, or no answer is known. An error that changes nothing is not told.
pub(super) async fn resolve(lane: &Lane, resolving: Resolving<'_>) -> io::Result<()> {
    let peers = lane.host().peers();
    let Some(resolution) = peers.resolution(Instant::now()) else { return Ok(()) };
    match resolving.await {
        Ok(answer) if answer.addresses.is_empty() && resolution.is_needed => {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }
        Ok(answer) => {
            if resolution.resolved(answer, Instant::now()) {
                lane.host().reconsider_idle();
            }
            Ok(())
        }
        Err(error) if resolution.is_needed => Err(error),
        Err(_) => Ok(()),
    }
}

/// Opens a stream to the first address behind the name that can be reached, of those that were not tried for the request of
/// the dial `number`.
async fn connect_to_any<C: Connector>(
    connector: &C,
    (address, options): (&C::Address, &ConnectOptions),
    (lane, number, tried): (&Arc<Lane>, u64, Option<Tried>),
) -> Result<Connected<C::Stream>, (io::Error, Fault)> {
    let peers = lane.host().peers();
    let tried = tried.unwrap_or_default();
    let mut failures = Vec::new();
    while let Some(peer) = peers.next(&tried) {
        tried.add(peer);
        let (options, reached) = options.for_peer(peer);
        let mut connect = pin!(connect_once(connector, (address, &options), lane));
        let (mut patience, mut tried, mut hanging) = (DELAY, tried.clone(), None);
        let connected = loop {
            if let Ok(done) = timeout(patience, connect.as_mut()).await {
                break done;
            }
            if reached.load(Ordering::Relaxed) {
                break connect.await;
            }
            if peers.has_other(peer, &tried) && !lane.queue.is_overtaken(number) {
                hanging.get_or_insert_with(|| peers.hangs(peer, Instant::now()));
                if !lane.is_overtaken_by_another(number, tried) && patience == DELAY {
                    // A limit leaves no room for two.
                    break Err((io::ErrorKind::TimedOut.into(), Fault::Peer));
                }
            }
            // Those that have failed may be back by then.
            (patience, tried) = (HANGS, Tried::default());
        };
        drop(hanging);
        match connected {
            Ok(mut connected) => {
                peers.reached(peer);
                connected.resolved = Some(peer);
                return Ok(connected);
            }
            Err(error) => {
                peers.failed(peer, Instant::now());
                failures.push((peer, error));
                // The other addresses are tried in its place.
                if lane.queue.is_overtaken(number) {
                    break;
                }
            }
        }
    }
    Err(unreachable(failures))
}

impl Lane {
    /// Resolves the name again in a task of its own, if the answer is no longer good.
    fn resolve_if_due(self: &Arc<Self>) {
        if self.host().peers().are_due(Instant::now()) {
            self.dialer().resolve(Arc::clone(self));
        }
    }

    /// Has another dial begin in the place of this one, which hangs, if a request waits for it. False if one waits, and a
    /// limit leaves no room. The other one tries none that was `tried`.
    fn is_overtaken_by_another(self: &Arc<Self>, number: u64, tried: Tried) -> bool {
        if !self.queue.overtake(number, tried) {
            return true;
        }
        let begun = self.dial(Turn::Own).any;
        !self.queue.end_overtaking(number, begun)
    }
}

/// None of these addresses could be reached.
fn unreachable(mut failures: Vec<(SocketAddr, (io::Error, Fault))>) -> (io::Error, Fault) {
    if failures.len() == 1 {
        return failures.remove(0).1;
    }
    let Some((_, (first, fault))) = failures.first() else {
        let why = "all of its addresses hang, or have just failed";
        return (io::Error::new(io::ErrorKind::TimedOut, why), Fault::Peer);
    };
    // What this machine lacks is lacking whatever the address.
    let alike = failures.iter().all(|(_, (_, other))| other == fault);
    let (kind, fault) = (first.kind(), if alike { *fault } else { Fault::Peer });
    let tell = |(address, (error, _)): &(SocketAddr, (io::Error, _))| {
        format!("{address}: {}", Chain(error))
    };
    let told: Vec<_> = failures.iter().map(tell).collect();
    (io::Error::new(kind, told.join("; ")), fault)
}
