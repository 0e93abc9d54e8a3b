//! How an exchange over HTTP/2 ends without a response, and what that says of the request.
//!
//! | what h2 tells | what it means |
//! | --- | --- |
//! | `REFUSED_STREAM`, or a stream beyond the last of a GOAWAY | the server has not processed it, RFC 9113 8.7 |
//! | `HTTP_1_1_REQUIRED` | the server has not said whether it has processed it; it is wanted over HTTP/1.1 |
//! | any other reset by the server, or a response that h2 resets as malformed | an answer, if a poor one |
//! | the connection has ended | nothing, unless a 1xx answer was read before |
//!
//! A connection whose server has come to allow none of the streams that it has was given up on this side, and its requests were
//! refused in effect.

use super::bookkeeping;
use super::open_stream::OpenStream;
use super::pending::PendingRequest;
use super::timers::HeadOverrun;
use crate::conn::http2::NotOpened;
use crate::lanes::StreamLease;
use crate::report::{Attempt, ConnectionInfo, Error, Reason, Written};
use crate::request::SavedRequest;

/// h2 has not taken the request: the connection takes none, or the request cannot be written.
pub(super) fn not_opened(
    lease: &StreamLease,
    NotOpened { error, body }: NotOpened,
    info: ConnectionInfo,
    pending: &mut PendingRequest,
    mut saved: SavedRequest,
) -> Error {
    let (host, connection) = (lease.lane().host(), &lease.connection);
    let attempt = Attempt::shared(info, connection.is_fresh(), Written::Nothing, false);
    pending.fail(saved.take(Some(body.without_gate())), host);
    if !connection.is_leaving() && !error.is_go_away() && !error.is_io() {
        // Its numbers are used up, or the fault is that of the request.
        lease.stop_using(Reason::MaxUses);
        return Error::stream_unsent(host.name(), error).at(attempt);
    }
    bookkeeping::connection_ended(host, &attempt);
    match StreamError::of(&error) {
        StreamError::Refused { .. } => Error::refused(host.name(), error).at(attempt),
        _ => Error::stream_unsent(host.name(), error).at(attempt),
    }
}

/// There is no response.
pub(super) fn failed(
    stream: &OpenStream,
    error: h2::Error,
    attempt: Attempt,
    pending: &mut PendingRequest,
    mut saved: SavedRequest,
) -> Error {
    let lease = stream.lease();
    let (host, connection) = (lease.lane().host(), &lease.connection);
    if let Some(why) = stream.take_upload_failure() {
        return Error::request_body(host.name(), why).at(attempt.perhaps_written());
    }
    pending.fail(saved.take(None), host);
    match StreamError::of(&error) {
        StreamError::Refused { goaway } => {
            if goaway {
                bookkeeping::connection_ended(host, &attempt);
            } else if connection.refused() {
                lease.stop_using(Reason::ClosedByPeer);
            }
            Error::refused(host.name(), error).at(attempt)
        }
        StreamError::Http1Required => {
            Error::stream(host.name(), error).at(attempt.answered()).requiring_http1()
        }
        StreamError::Answered => Error::stream(host.name(), error).at(attempt.answered()),
        StreamError::ConnectionLost if connection.allows_none() && !attempt.reached_wire() => {
            Error::refused(host.name(), error).at(attempt)
        }
        StreamError::ConnectionLost => {
            bookkeeping::connection_ended(host, &attempt);
            bookkeeping::stream_lost(lease, &attempt);
            if attempt.reached_wire() {
                Error::stream(host.name(), error).at(attempt)
            } else {
                Error::stream_unsent(host.name(), error).at(attempt)
            }
        }
    }
}

/// The head has not come in time; `heard` if anything was read on the connection meanwhile. A request that has only tried
/// the connection is sent again.
pub(super) fn timed_out(
    stream: &OpenStream,
    overrun: HeadOverrun,
    attempt: Attempt,
    heard: bool,
    pending: &mut PendingRequest,
    mut saved: SavedRequest,
) -> Error {
    let lease = stream.lease();
    let host = lease.lane().host();
    if let HeadOverrun::Total(limit) = overrun {
        return Error::total_timeout(host.name(), limit).at(attempt);
    }
    let tried = host.is_tried(lease.connection.id()) && !heard;
    bookkeeping::stream_timed_out(lease, &attempt, heard);
    // h2 has the request, and sends what it can of it, whatever becomes of its caller.
    let attempt = attempt.perhaps_written();
    let again = if tried { saved.take(None) } else { None };
    if again.is_none() {
        return overrun.into_error(host.name()).at(attempt);
    }
    pending.fail(again, host);
    Error::silent(host.name()).at(attempt)
}

/// What went wrong with a stream.
enum StreamError {
    Refused {
        goaway: bool,
    },
    /// RFC 9113 7.
    Http1Required,
    Answered,
    /// Without a word about the request.
    ConnectionLost,
}

impl StreamError {
    fn of(error: &h2::Error) -> Self {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let required = error.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED);
        match () {
            () if error.is_remote() && error.is_go_away() => Self::Refused { goaway: true },
            () if error.is_remote() && refused => Self::Refused { goaway: false },
            () if error.is_remote() && required => Self::Http1Required,
            () if error.is_reset() => Self::Answered,
            () => Self::ConnectionLost,
        }
    }
}
