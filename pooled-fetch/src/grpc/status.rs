//! What an error of the pool is in gRPC.

use std::error::Error as StdError;
use std::iter::successors;
use std::sync::Arc;

use h2::Reason;
use pool_core::{Error, ErrorKind};
use tonic::{Code, Status};

/// The status of a call that has failed with this error, with the feature `tonic`.
///
/// | the error | its code |
/// | --- | --- |
/// | no connection in time, or none at all; a full queue; an address that was retired; a lost or refused stream | `Unavailable` |
/// | the deadline of the call, or another timeout of the pool, is over | `DeadlineExceeded` |
/// | the server has reset the stream | as gRPC over HTTP/2 has it: `CANCEL` is `Cancelled`, `ENHANCE_YOUR_CALM` `ResourceExhausted`, and so on |
/// | the pool was closed here | `Cancelled` |
/// | the request or the response contradicts itself; settings or a runtime that cannot be | `Internal` |
/// | the messages of the caller have failed with a status of their own | that status |
///
/// The error is the [source](StdError::source) of the status, so its [evidence](Error::evidence) is at hand: `Unavailable` alone does not
/// say whether the server has acted upon the call, and [`is_unprocessed`](pool_core::Evidence::is_unprocessed) does.
///
/// # Examples
///
/// ```
/// use std::error::Error as _;
///
/// fn may_be_sent_again(status: &tonic::Status) -> bool {
///     let error = status.source().and_then(|error| error.downcast_ref::<pooled_fetch::Error>());
///     error.is_some_and(|error| error.evidence().is_unprocessed())
/// }
/// # let status = tonic::Status::unavailable("a status of the server");
/// # assert!(!may_be_sent_again(&status));
/// ```
pub fn grpc_status(error: Error) -> Status {
    if let Some(own) = cause::<Status>(&error) {
        return own.clone();
    }
    let reset = cause(&error).and_then(reset_by_server);
    let code = reset.map_or_else(|| code_of(error.kind()), code_of_reset);
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

fn cause<E: StdError + 'static>(error: &Error) -> Option<&E> {
    successors(error.source(), |cause| (*cause).source()).find_map(|cause| cause.downcast_ref())
}

fn reset_by_server(error: &h2::Error) -> Option<Reason> {
    if error.is_reset() && error.is_remote() { error.reason() } else { None }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::TotalTimeout
        | ErrorKind::ResponseTimeout
        | ErrorKind::BodyTimeout
        | ErrorKind::SlowBody => Code::DeadlineExceeded,
        ErrorKind::Closed => Code::Cancelled,
        ErrorKind::InvalidRequest
        | ErrorKind::Settings
        | ErrorKind::NoRuntime
        | ErrorKind::RequestBody
        | ErrorKind::EndlessInformational => Code::Internal,
        // What else may be added is a failure on the way.
        _ => Code::Unavailable,
    }
}

fn code_of_reset(reason: Reason) -> Code {
    match reason {
        Reason::REFUSED_STREAM => Code::Unavailable,
        Reason::CANCEL => Code::Cancelled,
        Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
        Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
        Reason::HTTP_1_1_REQUIRED | Reason::STREAM_CLOSED => Code::Unknown,
        _ => Code::Internal,
    }
}
