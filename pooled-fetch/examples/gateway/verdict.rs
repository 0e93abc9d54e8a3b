//! What the client of a failed request is told: what is known of it, and no address.
//!
//! | the request | the client |
//! | --- | --- |
//! | contradicts itself, or its body broke off | `400` |
//! | found no place: too many wait, or no upstream is dialled just now | `503`, to come again in a second |
//! | was given back unprocessed by its upstream | over HTTP/2 `REFUSED_STREAM`, else `503` |
//! | was lost with a connection that the upstream had just given up | no answer: a closed connection says that it may be sent again by whoever knows whether it can be |
//! | took too long | `504` |
//! | failed in any other way | `502` |

use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode, Version};
use http_body_util::Full;
use pooled_fetch::{Error, ErrorKind};

use super::BoxError;

/// What becomes of a request that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Answer(StatusCode),
    /// No server has acted upon it.
    Unprocessed,
    /// It was lost with a connection that had been idle.
    Lost,
}

impl Verdict {
    fn of(error: &Error) -> Self {
        let evidence = error.evidence();
        match error.kind() {
            ErrorKind::InvalidRequest | ErrorKind::RequestBody => {
                Self::Answer(StatusCode::BAD_REQUEST)
            }
            ErrorKind::QueueFull
            | ErrorKind::BackingOff
            | ErrorKind::Closed
            | ErrorKind::Retired => Self::Answer(StatusCode::SERVICE_UNAVAILABLE),
            ErrorKind::CheckoutTimeout
            | ErrorKind::ConnectTimeout
            | ErrorKind::ResponseTimeout
            | ErrorKind::TotalTimeout => Self::Answer(StatusCode::GATEWAY_TIMEOUT),
            _ if evidence.connection().is_none() => Self::Answer(StatusCode::BAD_GATEWAY),
            _ if evidence.is_unprocessed() => Self::Unprocessed,
            _ if !evidence.is_fresh() && !evidence.is_answered() => Self::Lost,
            _ => Self::Answer(StatusCode::BAD_GATEWAY),
        }
    }
}

/// Makes hyper end the stream, or the connection, without an answer.
#[derive(Debug)]
pub(crate) struct NoAnswer(BoxError);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no answer can be given")
    }
}

impl StdError for NoAnswer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// The answer to a client whose request has failed, or that there is none.
pub(crate) fn told(error: Error, version: Version) -> Result<Response<Full<Bytes>>, NoAnswer> {
    let reset = |reason: h2::Reason| Err(NoAnswer(h2::Error::from(reason).into()));
    match (Verdict::of(&error), version) {
        (Verdict::Answer(status), _) => Ok(answer(status)),
        // hyper resets the stream with the reason that it finds in the error.
        (Verdict::Unprocessed, Version::HTTP_2) => reset(h2::Reason::REFUSED_STREAM),
        (Verdict::Unprocessed, _) => Ok(answer(StatusCode::SERVICE_UNAVAILABLE)),
        (Verdict::Lost, Version::HTTP_2) => reset(h2::Reason::INTERNAL_ERROR),
        (Verdict::Lost, _) => Err(NoAnswer(error.into())),
    }
}

/// An answer of the gateway's own.
pub(crate) fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut response = Response::new(Full::from(format!("{} {reason}\n", status.as_u16())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
