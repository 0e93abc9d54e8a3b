//! What hyper and h2 let through, and a gateway must not pass on: a 101 that no request asked for, and trailers that speak as
//! a head.
//!
//! | what a server sends | what becomes of it |
//! | --- | --- |
//! | 101 without an `Upgrade` in the request, or over HTTP/2 | an error: what follows would be no HTTP, RFC 9110 15.2.2, RFC 9113 8.6 |
//! | trailers that frame or route the message, or are of its connection | an error: merged into the head they would contradict it, RFC 9110 6.5.1 |
//! | pseudo-fields in trailers, RFC 9113 8.1 | h2 drops them |
//! | pseudo-fields of requests in a response, RFC 9113 8.3 | h2 drops them |
//! | `:status` twice, after other fields, or not at all; fields of a connection over HTTP/2, RFC 9113 8.2.2 | an error of h2 |
//! | a status from 600 to 999 | it reaches the caller, as in Go and curl: some servers use them |

use http::header::{CONTENT_LENGTH, HOST, HeaderName, TE, TRAILER};
use http::{HeaderMap, StatusCode};

use crate::request::{HeadFacts, is_hop_by_hop};

/// Looks at the status of a final answer over HTTP/1.
#[inline]
pub(super) fn check_status(status: StatusCode, facts: HeadFacts) -> Result<(), &'static str> {
    // A tunnel is no upgrade, though it becomes one here.
    if status == StatusCode::SWITCHING_PROTOCOLS && (!facts.upgrade || facts.connect) {
        return Err("101 in answer to a request that asks for no upgrade");
    }
    Ok(())
}

/// Why trailers are none, if any have come that are not.
#[inline]
pub(super) fn unfitting(trailers: Option<&HeaderMap>) -> Option<&'static str> {
    let of_head = trailers?.keys().any(|name| is_hop_by_hop(name) || OF_HEADS.contains(name));
    of_head.then_some("its trailers hold a field that frames or routes a message")
}

static OF_HEADS: [HeaderName; 4] = [CONTENT_LENGTH, HOST, TE, TRAILER];
