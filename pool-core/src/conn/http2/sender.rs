//! What hyper takes requests with, and what it gives back when there is no response.

#![expect(clippy::disallowed_types, reason = "hyper's sender of HTTP/2 lives here")]

use http::Request;
use hyper::client::conn::{TrySendError, http2};

use crate::request::RequestBody;

/// Takes requests for a connection that its task drives.
pub(super) type Sender = http2::SendRequest<RequestBody>;

/// Why there is no response; with the request, if hyper had not begun to write it.
pub(crate) type Unanswered = TrySendError<Request<RequestBody>>;
