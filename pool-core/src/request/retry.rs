//! The rule by which a request is sent again: pure, small, and each row a test.
//!
//! | the request failed | is it sent again? |
//! | --- | --- |
//! | and cannot be sent again: its body streams and was begun | no |
//! | because an HTTP/2 server refused it unprocessed, on any connection | yes, whatever its method, five times at most |
//! | because an HTTP/2 server requires HTTP/1.1, and idempotent | yes, over HTTP/1.1, where the address negotiates |
//! | on a fresh connection | no: a server that fails would fail again |
//! | on a reused connection that accepted no byte of it | yes, whatever its method |
//! | on a reused HTTP/1 connection, with nothing read, and idempotent or with an `Idempotency-Key` | yes, over a fresh one, and that attempt is final |
//! | likewise over HTTP/2 | yes, within the budget, over one opened after the failure |
//! | in any other way | no: what the server did is unknown |
//!
//! The policy is Go's, with its loop bounded: RFC 9110 9.2.2 for what may be repeated, RFC 9113 8.7 for what an HTTP/2
//! server has not processed. RFC 9113 does not say that a request which is wanted over HTTP/1.1 was not processed, so one
//! that may not be executed twice is not repeated. Over HTTP/1 a repetition uses up a connection that an earlier response had left idle, so
//! repetitions are bounded by responses and need no budget: Go and nginx have none. One HTTP/2 connection may end with a
//! hundred streams, perhaps because of one of them, so there a budget keeps the others from being replayed for ever.

use std::time::Duration;

use http::Method;
use http::header::HeaderName;

/// At most so many attempts go over whatever connection is best. The next insists on a fresh one, and is the last.
pub(crate) const STALE_TRIES: u32 = 2;

/// How often a request is sent at most if servers refuse it unprocessed each time, as Go has it.
pub(crate) const REFUSED_TRIES: u32 = 6;

/// A server that refuses a request twice has no place for it. How long it is left alone before the next attempt: long
/// enough that a place may have come free, and doubled each time.
const AFTER_REFUSAL: Duration = Duration::from_millis(50);

/// How long a request waits that servers have refused in `attempts` attempts.
pub(crate) fn pause_after_refusals(attempts: u32) -> Option<Duration> {
    let doublings = attempts.checked_sub(STALE_TRIES)?;
    Some(AFTER_REFUSAL * 2_u32.pow(doublings.min(REFUSED_TRIES)))
}

/// Headers by which a caller says that a request may be executed twice, the second as Go has it.
pub(super) static IDEMPOTENCY_KEYS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];

/// All that the rule looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    /// Head and body can be replayed whole.
    pub(crate) repeatable: bool,
    /// An HTTP/2 server has said that it did not process the request.
    pub(crate) refused: bool,
    /// The connection came straight from its dial.
    pub(crate) fresh: bool,
    /// The connection has accepted some of the request.
    pub(crate) reached_wire: bool,
    /// Nothing was read in answer.
    pub(crate) unanswered: bool,
    /// The request may be executed twice.
    pub(crate) idempotent: bool,
    /// The connection carried other requests too.
    pub(crate) shared: bool,
    /// The server wants it over HTTP/1.1.
    pub(crate) http1_required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    No,
    Yes,
    /// Over a fresh connection.
    Fresh,
    /// Over HTTP/1.1.
    Http1,
    /// Over a connection that is opened later, within the budget: it adds to the load of a server that may be in
    /// trouble.
    Newer,
}

pub(crate) fn may_repeat(failure: Failure) -> Verdict {
    let Failure {
        repeatable, refused, fresh, reached_wire, unanswered, idempotent, shared, ..
    } = failure;
    match () {
        () if !repeatable => Verdict::No,
        () if refused => Verdict::Yes,
        () if failure.http1_required && idempotent => Verdict::Http1,
        () if fresh => Verdict::No,
        () if !reached_wire => Verdict::Yes,
        () if unanswered && idempotent && shared => Verdict::Newer,
        () if unanswered && idempotent => Verdict::Fresh,
        () => Verdict::No,
    }
}

/// The methods that may be executed twice, RFC 9110 9.2.2.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE_GET: Failure = Failure {
        repeatable: true,
        refused: false,
        fresh: false,
        reached_wire: true,
        unanswered: true,
        idempotent: true,
        shared: false,
        http1_required: false,
    };

    #[test]
    fn a_request_that_cannot_be_had_again_is_not_repeated() {
        assert_eq!(may_repeat(Failure { repeatable: false, ..STALE_GET }), Verdict::No);
        let refused = Failure { refused: true, ..STALE_GET };
        assert_eq!(may_repeat(Failure { repeatable: false, ..refused }), Verdict::No);
        let unsent = Failure { reached_wire: false, ..STALE_GET };
        assert_eq!(may_repeat(Failure { repeatable: false, ..unsent }), Verdict::No);
    }

    #[test]
    fn a_request_that_was_refused_unprocessed_is_repeated_whatever_it_is() {
        for (fresh, idempotent) in [(true, true), (true, false), (false, true), (false, false)] {
            let refused = Failure { refused: true, fresh, idempotent, ..STALE_GET };
            assert_eq!(may_repeat(refused), Verdict::Yes);
        }
    }

    #[test]
    fn only_the_first_repetition_after_a_refusal_goes_out_at_once() {
        let millis = |attempts| pause_after_refusals(attempts).map(|pause| pause.as_millis());
        let pauses: Vec<_> = (1..REFUSED_TRIES).map(millis).collect();
        assert_eq!(pauses, [None, Some(50), Some(100), Some(200), Some(400)]);
    }

    #[test]
    fn a_request_that_is_wanted_over_http1_is_repeated_there_if_it_is_idempotent() {
        for fresh in [true, false] {
            let answered = Failure { http1_required: true, fresh, unanswered: false, ..STALE_GET };
            assert_eq!(may_repeat(answered), Verdict::Http1);
            assert_eq!(may_repeat(Failure { idempotent: false, ..answered }), Verdict::No);
        }
    }

    #[test]
    fn a_failure_on_a_fresh_connection_is_final() {
        for (reached_wire, unanswered) in [(false, true), (true, true), (true, false)] {
            let failure = Failure { fresh: true, reached_wire, unanswered, ..STALE_GET };
            assert_eq!(may_repeat(failure), Verdict::No);
        }
    }

    #[test]
    fn a_request_of_which_no_byte_was_accepted_is_repeated_whatever_it_is() {
        for idempotent in [true, false] {
            let unsent = Failure { reached_wire: false, idempotent, ..STALE_GET };
            assert_eq!(may_repeat(unsent), Verdict::Yes);
        }
    }

    #[test]
    fn a_request_that_reached_the_wire_is_repeated_over_a_fresh_connection_if_it_is_idempotent() {
        assert_eq!(may_repeat(STALE_GET), Verdict::Fresh);
        assert_eq!(may_repeat(Failure { idempotent: false, ..STALE_GET }), Verdict::No);
    }

    #[test]
    fn a_request_that_was_lost_with_a_shared_connection_is_repeated_over_a_newer_one() {
        let lost = Failure { shared: true, ..STALE_GET };
        assert_eq!(may_repeat(lost), Verdict::Newer);
        assert_eq!(may_repeat(Failure { idempotent: false, ..lost }), Verdict::No);
    }

    #[test]
    fn a_request_that_was_answered_in_part_is_not_repeated() {
        assert_eq!(may_repeat(Failure { unanswered: false, ..STALE_GET }), Verdict::No);
    }

    #[test]
    fn the_idempotent_methods_are_those_of_rfc_9110() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_idempotent(&Method::from_bytes(method.as_bytes()).unwrap()), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PROPFIND", "LOCK", "get"] {
            assert!(!is_idempotent(&Method::from_bytes(method.as_bytes()).unwrap()), "{method}");
        }
    }
}
