//! How a request gets a lease: the newest idle connection that suits, or a place in the queue.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::checkout::Trust;
use super::hosts::{Hosts, name_of};
use super::lane::Lane;
use super::lease::{Lease, Unused};
use super::position::Position;
use super::wait::{Place, Refused};
use super::wants::{Needs, Wants};
use crate::connector::Connector;
use crate::report::{Error, Reason};
use crate::settings::Http2;

impl<C: Connector> Hosts<C> {
    /// The lane for a request that comes to `address`.
    ///
    /// # Errors
    ///
    /// When there is no runtime, or one without timers, the pool is closed, or the address is retired.
    #[inline]
    pub(crate) fn lane_for(
        self: &Arc<Self>,
        address: &C::Address,
        http1_only: bool,
    ) -> Result<Arc<Lane>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(&name_of(address)))?;
        let mut lane = self.lane(address, &runtime, false)?;
        if http1_only && lane.shares() && lane.settings().http2 == Http2::Negotiated {
            lane = self.lane(address, &runtime, true)?;
        }
        match lane.refusal() {
            None => Ok(lane),
            Some(error) => Err(error),
        }
    }

    /// A lease for a caller that has not shown its request yet. Whether the connection can carry the request is checked
    /// when it comes.
    pub(crate) async fn lease(self: &Arc<Self>, address: &C::Address) -> Result<Lease, Error> {
        let lane = self.lane_for(address, false)?;
        let trust = Trust::of(lane.host(), || false);
        match take_idle(lane, false, trust) {
            Ok(lease) => Ok(lease),
            Err(lane) => self.wait(address, lane, Needs::default(), None).await,
        }
    }

    /// Waits for what comes first of what is wanted, a returned connection or a new one. `lane` is that of the address, as
    /// [`lane_for`](Self::lane_for) has just given it, and `position` that in which the service of the request has stood.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        address: &C::Address,
        lane: Arc<Lane>,
        needs: Needs,
        mut position: Option<Position>,
    ) -> Result<Lease, Error> {
        if let Some(pause) = needs.pause {
            sleep(pause).await;
        }
        let now = Instant::now();
        let mut lane = Some(lane);
        loop {
            let place = self.join(address, lane.take(), now, needs, position.as_ref())?;
            // From here on the request itself stands there.
            position = None;
            let lease = place.lease(now).await?;
            if lease.can_carry(needs.chunks) {
                return Ok(lease);
            }
            lease.discard(Reason::Unsuitable);
        }
    }

    /// Joins the queue of the address.
    fn join(
        self: &Arc<Self>,
        address: &C::Address,
        mut lane: Option<Arc<Lane>>,
        now: Instant,
        Needs { wants, http1_only, first_is_for_all, .. }: Needs,
        position: Option<&Position>,
    ) -> Result<Place, Error> {
        // A watcher may retire between the look-up and the join, and then the lane takes no more waiters. Two in a row
        // retire only where the runtime itself has shut down.
        for _ in 0..2 {
            let lane = lane.take().map_or_else(|| self.lane_for(address, http1_only), Ok)?;
            if wants == Wants::Any && lane.host().doubts_idle() {
                lane.close_surplus_set_aside();
            }
            if first_is_for_all && !lane.host().has_connections() {
                lane.queue.let_first_be_for_all();
            }
            let number = position.and_then(|position| position.number_in(&lane));
            if let Some(place) = join(&lane, now, wants, number)? {
                return Ok(place);
            }
        }
        Err(Error::runtime_gone(&name_of(address)))
    }

    /// Opens connections until `count` are idle, those included that are idle already.
    ///
    /// # Errors
    ///
    /// The error of the first connection that could not be opened. The others stay open.
    pub(crate) async fn warm(
        self: &Arc<Self>,
        address: &C::Address,
        count: usize,
    ) -> Result<(), Error> {
        let lane = self.lane_for(address, false)?;
        lane.host().end_pause();
        let now = Instant::now();
        let missing = count.saturating_sub(lane.idle());
        let places: Vec<_> = (0..missing).map(|_| join(&lane, now, Wants::Fresh, None)).collect();
        // Held until all are there: a connection that was checked in at once would serve the next place.
        let mut held = Vec::with_capacity(missing);
        let mut failed = None;
        for place in places {
            let lease = async {
                let gone = || Error::runtime_gone(lane.name());
                place?.ok_or_else(gone)?.lease(now).await
            };
            match lease.await {
                Ok(lease) => {
                    let unused = Unused::new(lease);
                    unused.dial_ended().await;
                    held.push(unused);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The newest idle connection that can carry the request, or the lane if there is none. A lease keeps the lane, which saves
/// a clone for each request.
#[inline]
pub(crate) fn take_idle(
    mut lane: Arc<Lane>,
    needs_chunks: bool,
    trust: Trust,
) -> Result<Lease, Arc<Lane>> {
    let now = Instant::now();
    loop {
        let lease = lane.checkout(now, trust)?;
        if lease.can_carry(needs_chunks) {
            return Ok(lease);
        }
        lane = Arc::clone(lease.lane());
        lease.discard(Reason::Unsuitable);
    }
}

/// Joins the queue of a lane; none if its watcher has gone.
fn join(
    lane: &Arc<Lane>,
    now: Instant,
    wants: Wants,
    number: Option<u64>,
) -> Result<Option<Place>, Error> {
    let place = match lane.enqueue(now, wants, number) {
        Ok(place) => place,
        Err(Refused::BackingOff(pause)) => return Err(Error::backing_off(lane.name(), pause)),
        Err(Refused::QueueFull) => return Err(Error::queue_full(lane.name())),
        Err(Refused::WatcherGone) => return Ok(None),
    };
    // `close` answers waiters after setting its flag, and `drain` waits for them; so join first, then check the flag.
    lane.refusal().map_or(Ok(Some(place)), Err)
}
