//! How a request gets a lease: the newest idle connection that suits, or a place in the queue.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::checkout::Trust;
use super::hosts::{Hosts, name_of};
use super::lane::Lane;
use super::lease::{Lease, Unused};
use super::wait::{Place, Refused};
use super::wants::Wants;
use crate::connector::Connector;
use crate::report::{Error, Reason};

impl<C: Connector> Hosts<C> {
    /// The lane for a request that comes to `address`.
    ///
    /// # Errors
    ///
    /// When there is no runtime, or one without timers, the pool is closed, or the address is retired.
    #[inline]
    pub(crate) fn lane_for(self: &Arc<Self>, address: &C::Address) -> Result<Arc<Lane>, Error> {
        let runtime = Handle::try_current().map_err(|_| Error::no_runtime(&name_of(address)))?;
        let lane = self.lane(address, &runtime)?;
        match lane.refusal() {
            None => Ok(lane),
            Some(error) => Err(error),
        }
    }

    /// A lease for a caller that has not shown its request yet. Whether the connection can carry the request is checked
    /// when it comes.
    pub(crate) async fn lease(self: &Arc<Self>, address: &C::Address) -> Result<Lease, Error> {
        let lane = self.lane_for(address)?;
        let trust = Trust::of(lane.host(), || false);
        match take_idle(lane, false, trust) {
            Some(lease) => Ok(lease),
            None => self.wait(address, Wants::Any, false).await,
        }
    }

    /// Waits for what comes first of what is wanted, a returned connection or a new one.
    pub(crate) async fn wait(
        self: &Arc<Self>,
        address: &C::Address,
        wants: Wants,
        needs_chunks: bool,
    ) -> Result<Lease, Error> {
        let now = Instant::now();
        loop {
            let lease = self.join(address, now, wants)?.lease(now).await?;
            if lease.can_carry(needs_chunks) {
                return Ok(lease);
            }
            lease.discard(Reason::Unsuitable);
        }
    }

    /// Joins the queue of the address.
    fn join(
        self: &Arc<Self>,
        address: &C::Address,
        now: Instant,
        wants: Wants,
    ) -> Result<Place, Error> {
        // A watcher may retire between the look-up and the join, and then the lane takes no more waiters. Two in a row
        // retire only where the runtime itself has shut down.
        for _ in 0..2 {
            let lane = self.lane_for(address)?;
            if wants == Wants::Any && lane.host().doubts_idle() {
                lane.close_surplus_set_aside();
            }
            if let Some(place) = join(&lane, now, wants)? {
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
        let lane = self.lane_for(address)?;
        lane.host().end_pause();
        let now = Instant::now();
        let missing = count.saturating_sub(lane.idle());
        let places: Vec<_> = (0..missing).map(|_| join(&lane, now, Wants::Fresh)).collect();
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

/// The newest idle connection that can carry the request. It keeps the lane, which saves a clone for each request.
#[inline]
pub(crate) fn take_idle(mut lane: Arc<Lane>, needs_chunks: bool, trust: Trust) -> Option<Lease> {
    let now = Instant::now();
    loop {
        let lease = lane.checkout(now, trust)?;
        if lease.can_carry(needs_chunks) {
            return Some(lease);
        }
        lane = Arc::clone(lease.lane());
        lease.discard(Reason::Unsuitable);
    }
}

/// Joins the queue of a lane; none if its watcher has gone.
fn join(lane: &Arc<Lane>, now: Instant, wants: Wants) -> Result<Option<Place>, Error> {
    let place = match lane.enqueue(now, wants) {
        Ok(place) => place,
        Err(Refused::BackingOff(pause)) => return Err(Error::backing_off(lane.name(), pause)),
        Err(Refused::QueueFull) => return Err(Error::queue_full(lane.name())),
        Err(Refused::WatcherGone) => return Ok(None),
    };
    // `close` answers waiters after setting its flag, and `drain` waits for them; so join first, then check the flag.
    lane.refusal().map_or(Ok(Some(place)), Err)
}
