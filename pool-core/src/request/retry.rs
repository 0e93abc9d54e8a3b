//! The rule by which a request is sent again: pure, small, and each row a test.
//!
//! | the request failed | is it sent again? |
//! | --- | --- |
//! | and cannot be sent again: its body streams and was begun | no |
//! | because an HTTP/2 server refused it unprocessed, on any connection | yes, whatever its method |
//! | on a fresh connection | no: a server that fails would fail again |
//! | on a reused connection that accepted no byte of it | yes, whatever its method |
//! | on a reused HTTP/1 connection, with nothing read, and idempotent or with an `Idempotency-Key` | yes, over a fresh one, and that attempt is final |
//! | likewise over HTTP/2 | yes, within the budget, over one opened after the failure |
//! | in any other way | no: what the server did is unknown |
//!
//! The policy is Go's, with its loop bounded: RFC 9110 9.2.2 for what may be repeated, RFC 9113 8.7 for what an HTTP/2
//! server has not processed. Over HTTP/1 a repetition uses up a connection that an earlier response had left idle, so
//! repetitions are bounded by responses and need no budget: Go and nginx have none. One HTTP/2 connection may end with a
//! hundred streams, perhaps because of one of them, so there a budget keeps the others from being replayed for ever.

use http::Method;
use http::header::HeaderName;

/// At most so many attempts go over whatever connection is best. The next insists on a fresh one, and is the last.
pub(crate) const STALE_TRIES: u32 = 2;

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    No,
    Yes,
    /// Over a fresh connection.
    Fresh,
    /// Over a connection that is opened later, within the budget: it adds to the load of a server that may be in
    /// trouble.
    Newer,
}

pub(crate) fn may_repeat(failure: Failure) -> Verdict {
    let Failure { repeatable, refused, fresh, reached_wire, unanswered, idempotent, shared } =
        failure;
    match () {
        () if !repeatable => Verdict::No,
        () if refused => Verdict::Yes,
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
