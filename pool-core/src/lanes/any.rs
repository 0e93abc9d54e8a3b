//! How a request gets a lease at any of several addresses: an idle connection to the first that has one, else a race of
//! their queues.
//!
//! A racer is a request that waits at one address, as any other does: it has its place in the queue there, and its dial
//! has a permit of its own. The one that is served first ends the others, whose dials are left behind.

use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{sleep, timeout};

use super::checkout::Trust;
use super::hosts::Hosts;
use super::lane::Lane;
use super::lease::Lease;
use super::race::DELAY;
use super::wants::{Needs, Wants};
use crate::connector::Connector;
use crate::report::Error;
use crate::settings::{Http2, Settings};

/// The addresses that may serve a request, those that fail last.
pub(crate) struct Candidates<'a, C: Connector>(Vec<(&'a C::Address, Arc<Lane>)>);

impl<C: Connector> Hosts<C> {
    /// The addresses among these that take requests.
    ///
    /// # Errors
    ///
    /// When none of them does: why the first does not. None where there is none at all.
    pub(crate) fn candidates<'a>(
        self: &Arc<Self>,
        addresses: &'a [C::Address],
        http1_only: bool,
    ) -> Result<Candidates<'a, C>, Option<Error>> {
        let mut refused = None;
        let mut found = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.lane_for(address, http1_only) {
                Ok(lane) => found.push((address, lane)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if http1_only && found.iter().any(|(_, lane)| !lane.assumes_http2()) {
            found.retain(|(_, lane)| !lane.assumes_http2());
        }
        found.sort_by_key(|(_, lane)| lane.host().fails());
        if found.is_empty() { Err(refused) } else { Ok(Candidates(found)) }
    }

    /// Waits at one address, at the next beside it after the delay or at once when it fails there, and so on, for
    /// whatever comes first.
    ///
    /// # Errors
    ///
    /// The error of the address that fails first, when none of them has a connection.
    pub(crate) async fn wait_any(
        self: &Arc<Self>,
        candidates: Candidates<'_, C>,
        mut needs: Needs,
    ) -> Result<Lease, Error> {
        // Once, and not at each address.
        if let Some(pause) = needs.pause.take() {
            sleep(pause).await;
        }
        let mut left = candidates.0.into_iter();
        let mut racers = FuturesUnordered::new();
        let mut failed = None;
        loop {
            if let Some((address, lane)) = left.next() {
                racers.push(self.wait(address, lane, needs, None));
            }
            let served = if left.len() == 0 {
                racers.next().await
            } else {
                match timeout(DELAY, racers.next()).await {
                    Ok(served) => served,
                    // The next one races too.
                    Err(_) => continue,
                }
            };
            match (served, failed.take()) {
                (Some(Ok(lease)), _) => return Ok(lease),
                (Some(Err(error)), first) => failed = first.or(Some(error)),
                (None, Some(first)) => return Err(first),
                (None, None) => unreachable!("there is a candidate, and it is served or fails"),
            }
        }
    }
}

impl Lane {
    /// Whether no request that is for HTTP/1 alone can be sent here.
    fn assumes_http2(&self) -> bool {
        self.settings().http2 == Http2::Assumed
    }
}

impl<C: Connector> Candidates<'_, C> {
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.0.iter().map(|(_, lane)| lane)
    }

    /// An idle connection to the first that has one which suits.
    pub(crate) fn take_idle(
        &self,
        needs: Needs,
        may_try: impl Fn(&Settings) -> bool,
    ) -> Option<Lease> {
        if needs.wants != Wants::Any || needs.pause.is_some() {
            return None;
        }
        self.lanes().find_map(|lane| {
            let trust = Trust::of(lane.host(), || may_try(lane.settings()));
            super::take_idle(Arc::clone(lane), needs.chunks, trust).ok()
        })
    }
}
