//! How a request over an HTTP/1 connection ends without a response: what is told of it, and what becomes of both.
//!
//! What must hold: the connection closes, and what its failure tells of others is noted before the request looks for
//! another one.

use std::sync::Arc;

use super::bookkeeping;
use super::pending::PendingRequest;
use super::timers::{HeadOverrun, TRIED};
use crate::conn::http1::Unanswered;
use crate::lanes::ConnectionLease;
use crate::policy::Trial;
use crate::report::{Error, Reason};

/// hyper's words for a head beyond its limits, which its clients can tell from others by nothing else.
const TOO_LARGE: &str = "message head is too large";

/// What hyper takes by itself.
const HYPERS_MAX_FIELDS: usize = 100;

/// There is no response, and the connection closes.
pub(super) fn fail(
    mut lease: ConnectionLease,
    mut unanswered: Unanswered,
    pending: &mut PendingRequest,
) -> Error {
    let attempt = lease.connection.attempt();
    let back = unanswered.take_message().map(|request| request.into_body().into_body());
    let unsent = back.is_some() || !attempt.reached_wire();
    let (host, error) = (Arc::clone(lease.lane().host()), unanswered.into_error());
    if error.is_user() {
        pending.fail(None, &host);
    } else {
        bookkeeping::connection_ended(&host, &attempt);
        bookkeeping::path_may_have_failed(&lease, &error);
        pending.fail(lease.connection.take_back(back), &host);
    }
    let error = if unsent && !error.is_user() {
        Error::unsent(host.name(), error)
    } else if error.is_parse() && error.to_string() == TOO_LARGE {
        beyond_limits(&lease)
    } else {
        Error::exchange(host.name(), error)
    };
    let reason = if unsent { lease.connection.closed_for() } else { Reason::Failed };
    lease.discard(reason);
    error.at(attempt)
}

/// hyper has taken no more of a head. It parses before it looks at the bytes, so with fewer than may come there were too
/// many fields.
#[cold]
fn beyond_limits(lease: &ConnectionLease) -> Error {
    let (name, settings) = (lease.lane().name(), &lease.settings().connection);
    let (_, read) = lease.connection.progress();
    if read >= settings.max_response_head as u64 {
        Error::large_head(name, settings.max_response_head)
    } else {
        Error::many_fields(name, settings.max_response_fields.unwrap_or(HYPERS_MAX_FIELDS))
    }
}

/// The head has not come in time, and the connection closes. A request that has only tried the connection is sent again.
#[cold]
pub(super) fn give_up(
    mut lease: ConnectionLease,
    overrun: HeadOverrun,
    pending: &mut PendingRequest,
) -> Error {
    let attempt = lease.connection.attempt();
    let host = Arc::clone(lease.lane().host());
    if let HeadOverrun::Total(limit) = overrun {
        // If most of that time was spent elsewhere, it says nothing of this connection, nor of others.
        if bookkeeping::has_waited(&lease, limit / 2) {
            bookkeeping::timed_out(&lease);
        }
        lease.discard(Reason::TimedOut);
        return Error::total_timeout(host.name(), limit).at(attempt);
    }
    let tried = host.is_tried(lease.connection.id()) && attempt.is_unanswered();
    let again = if tried { lease.connection.take_back(None) } else { None };
    let error = match (again, pending.longest_wait(lease.settings())) {
        (Some(again), Some(wait)) => {
            // Another connection tells whether the server is slow.
            pending.trial = Trial::begin(&host, lease.connection.id(), wait / TRIED).map(Box::new);
            pending.fail(Some(again), &host);
            Error::silent(host.name())
        }
        _ => {
            bookkeeping::timed_out(&lease);
            overrun.into_error(host.name())
        }
    };
    lease.discard(Reason::TimedOut);
    error.at(attempt)
}

/// What has come as the response had come before the request was written, and the connection closes.
#[cold]
pub(super) fn fail_out_of_step(mut lease: ConnectionLease, pending: &mut PendingRequest) -> Error {
    let attempt = lease.connection.attempt().unanswered();
    let host = Arc::clone(lease.lane().host());
    pending.fail(lease.connection.take_back(None), &host);
    let reason = lease.connection.closed_for();
    lease.discard(reason);
    Error::out_of_step(host.name()).at(attempt)
}

/// The head of the response contradicts itself or the request, and the connection closes. The request was answered, so it is not sent
/// again.
#[cold]
pub(super) fn fail_misframed(lease: ConnectionLease, why: &'static str) -> Error {
    let attempt = lease.connection.attempt();
    let error = Error::misframed(lease.lane().name(), why);
    lease.discard(Reason::Failed);
    error.at(attempt)
}
