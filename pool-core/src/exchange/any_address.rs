//! A request that may go to any of several addresses.
//!
//! Each attempt looks at all of them anew, so what failed at one may go to another. An async function, because what it saves
//! is a dial, beside which its instructions do not count.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::Response;

use super::pending::PendingRequest;
use super::request_future::{fail, send_over_lease};
use super::response_body::Body;
use crate::connector::Connector;
use crate::lanes::{Candidates, Hosts, Lease, Needs};
use crate::report::Error;
use crate::request::check_secure;

/// Sends a request to one of `addresses`, over as many connections as the rule in `request/retry.rs` allows.
pub(crate) async fn send_to_any<C: Connector>(
    hosts: &Arc<Hosts<C>>,
    addresses: &[C::Address],
    mut pending: PendingRequest,
) -> Result<Response<Body>, Error> {
    let name: Arc<str> = format!("any of {addresses:?}").into();
    loop {
        let sent = match attempt(hosts, addresses, &name, &mut pending).await {
            Ok(Some(response)) => return Ok(response),
            // The address has come to speak HTTP/2, and has a lane beside for such requests.
            Ok(None) => continue,
            Err(error) => pending.retry(error),
        };
        if let Err(error) = sent {
            return Err(fail(hosts, addresses.first(), &mut pending, error));
        }
    }
}

async fn attempt<C: Connector>(
    hosts: &Arc<Hosts<C>>,
    addresses: &[C::Address],
    name: &Arc<str>,
    pending: &mut PendingRequest,
) -> Result<Option<Response<Body>>, Error> {
    pending.check().map_err(|why| Error::invalid_request(name, why))?;
    let http1_only = pending.needs_http1();
    let candidates = hosts.candidates(addresses, http1_only).map_err(|refused| {
        refused.unwrap_or_else(|| Error::invalid_request(name, "there is no address"))
    })?;
    begin(&candidates, pending)?;
    let needs = Needs {
        wants: pending.wants(),
        chunks: pending.facts.needs_chunks,
        http1_only,
        pause: pending.take_pause(),
        first_is_for_all: true,
    };
    let lease = match candidates.take_idle(needs, |settings| pending.may_try(settings)) {
        Some(lease) => lease,
        None => {
            let mut wait = pin!(hosts.wait_any(candidates, needs));
            poll_fn(|cx| match wait.as_mut().poll(cx) {
                Poll::Pending => {
                    pending.poll_total(cx).map(|limit| Err(Error::total_timeout(name, limit)))
                }
                ready => ready,
            })
            .await?
        }
    };
    match lease {
        Lease::Stream(stream) if http1_only && stream.goes_beside() => Ok(None),
        lease => send_over_lease(lease, pending).await.map(Some),
    }
}

/// The first address says what bounds the exchange, and its statistics have the request.
fn begin<C: Connector>(
    candidates: &Candidates<'_, C>,
    pending: &mut PendingRequest,
) -> Result<(), Error> {
    for lane in candidates.lanes() {
        check_secure(pending.facts, lane.default_target())
            .map_err(|why| Error::invalid_request(lane.name(), why))?;
    }
    if let Some(first) = candidates.lanes().next() {
        pending.begin(first.host());
        if let Some(limit) = pending.is_overdue() {
            return Err(Error::total_timeout(first.name(), limit));
        }
        pending.count(first.host());
        pending.counted_at.get_or_insert_with(|| Arc::clone(first.host()));
    }
    Ok(())
}
