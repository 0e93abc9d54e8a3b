//! What is noted about an exchange, for both versions: that it begins, and that its connection was stale; over HTTP/1
//! also what it tells of the other idle connections to its address.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::lanes::{ConnectionLease, StreamLease};
use crate::policy::Host;
use crate::report::{Attempt, ConnectionInfo, Event, Reason};

/// A request goes over a connection. `info` is made only for an observer.
#[inline]
pub(super) fn checked_out(host: &Host, info: impl FnOnce() -> ConnectionInfo) {
    host.tell(|| {
        let info = info();
        Event::CheckedOut {
            id: info.id(),
            use_number: info.use_number(),
            idle_for: info.idle_for(),
        }
    });
}

/// An attempt has failed because its connection ended. The connection was stale if it had served, or been idle, and
/// nothing was read in answer.
pub(super) fn connection_ended(host: &Host, attempt: &Attempt) {
    if !attempt.is_fresh() && attempt.is_unanswered() {
        host.note_stale(attempt.connection().idle_for(), Instant::now());
    }
}

/// An attempt has ended in this error. If it is one of the path, and nothing was read, the connections that had been idle
/// as long are lost too.
pub(super) fn path_may_have_failed(lease: &ConnectionLease, error: &(dyn StdError + 'static)) {
    let (connection, attempt) = (&lease.connection, lease.connection.attempt());
    if let Some(since) = connection.idle_since()
        && attempt.is_unanswered()
        && is_of_path(error)
    {
        lease.lane().host().path_failed(since);
    }
}

/// The head of a response has not come in time.
pub(super) fn timed_out(lease: &ConnectionLease) {
    let (connection, attempt) = (&lease.connection, lease.connection.attempt());
    let Some(since) = connection.idle_since() else { return };
    let (host, id) = (lease.lane().host(), connection.id());
    if attempt.is_unanswered() {
        host.gave_no_answer(id, since, attempt.connection().idle_for());
    } else {
        // Slow as it is, its path is alive.
        host.answered(id, since);
    }
}

/// Whether a whole request has waited for so long over a reused connection without an answer.
pub(super) fn has_waited(lease: &ConnectionLease, time: Duration) -> bool {
    let (connection, attempt) = (&lease.connection, lease.connection.attempt());
    let lent = connection.idle_since().map(|since| since + attempt.connection().idle_for());
    attempt.is_unanswered()
        && attempt.is_written_whole()
        && lent.is_some_and(|lent| lent.elapsed() >= time)
}

/// A response has come to an address some of whose connections are doubted.
#[cold]
pub(super) fn answered(lease: &ConnectionLease) {
    if let Some(since) = lease.connection.idle_since() {
        lease.lane().host().answered(lease.connection.id(), since);
    }
}

/// As [`answered`], over a stream.
pub(super) fn stream_answered(lease: &StreamLease) {
    let host = lease.lane().host();
    if (host.doubts_idle() || host.tries_idle())
        && let Some(since) = lease.idle_since()
    {
        host.answered(lease.connection.id(), since);
    }
}

/// A request was given up, and nothing was read on its connection since it was sent: that carries no other before it has
/// shown a sign of life.
pub(super) fn stream_unanswered(lease: &StreamLease) {
    lease.connection.doubt();
    let host = lease.lane().host();
    if host.tries_idle() && host.is_tried(lease.connection.id()) {
        // Others are tried only once this one has answered or closed.
        lease.stop_using(Reason::TimedOut);
    }
}

/// As [`timed_out`], over a stream; `heard` if anything was read on its connection.
pub(super) fn stream_timed_out(lease: &StreamLease, attempt: &Attempt, heard: bool) {
    let Some(since) = lease.idle_since() else { return };
    let (host, id) = (lease.lane().host(), lease.connection.id());
    if heard {
        host.answered(id, since);
    } else {
        host.gave_no_answer(id, since, attempt.connection().idle_for());
    }
}

/// As [`path_may_have_failed`], over a stream.
pub(super) fn stream_lost(lease: &StreamLease, attempt: &Attempt) {
    // h2 tells an end as a broken pipe too.
    let failure = lease.connection.wire().failure();
    if let Some(since) = lease.idle_since()
        && attempt.is_unanswered()
        && failure.is_some_and(|kind| OF_PATH.contains(&kind))
    {
        lease.lane().host().path_failed(since);
    }
}

/// By these the system itself has given the connection up, which its server then has not closed in order.
const OF_PATH: [io::ErrorKind; 7] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::TimedOut,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::NetworkDown,
];

/// Whether one of them lies behind an error.
fn is_of_path(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if OF_PATH.contains(&error.kind()) {
                return true;
            }
            // Of an error within it, `source` gives only the source.
            next = error.get_ref().map(|within| -> &(dyn StdError + 'static) { within });
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_path_is_known_however_deep_it_lies_and_an_end_is_none() {
        for (kind, of_path) in [
            (io::ErrorKind::ConnectionReset, true),
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::HostUnreachable, true),
            (io::ErrorKind::UnexpectedEof, false),
            (io::ErrorKind::InvalidData, false),
        ] {
            let error = io::Error::from(kind);
            assert_eq!(is_of_path(&error), of_path, "{kind:?}");
            assert_eq!(is_of_path(&io::Error::other(error)), of_path, "{kind:?} in another");
        }
    }
}
