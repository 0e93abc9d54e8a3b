//! One constructor for each thing that can go wrong: the kind of the error, and its words.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::error::{Cause, Error};
use super::error_kind::ErrorKind;
use crate::request::BoxError;

impl Error {
    pub(crate) fn invalid_request(address: &Arc<str>, why: &'static str) -> Self {
        Self::new(ErrorKind::InvalidRequest, address, Cause::Text(why))
    }

    pub(crate) fn settings(address: &Arc<str>, why: String) -> Self {
        let why = io::Error::new(io::ErrorKind::InvalidInput, why);
        Self::new(ErrorKind::Settings, address, Cause::Io(Arc::new(why)))
    }

    pub(crate) fn connection_gone(address: &Arc<str>) -> Self {
        let why = "the connection that is held has closed, or takes no further request";
        Self::new(ErrorKind::Unsent, address, Cause::Text(why))
    }

    pub(crate) fn shared(address: &Arc<str>) -> Self {
        let why = "a connection over HTTP/2 is shared, and cannot be detached";
        Self::new(ErrorKind::Unsent, address, Cause::Text(why))
    }

    pub(crate) fn no_runtime(address: &Arc<str>) -> Self {
        Self::new(ErrorKind::NoRuntime, address, Cause::Text("there is no tokio runtime here"))
    }

    pub(crate) fn runtime_gone(address: &Arc<str>) -> Self {
        Self::new(ErrorKind::NoRuntime, address, Cause::Text("the tokio runtime has shut down"))
    }

    pub(crate) fn no_timers(address: &Arc<str>) -> Self {
        let why = "the tokio runtime has no timers; build it with enable_time or enable_all";
        Self::new(ErrorKind::NoRuntime, address, Cause::Text(why))
    }

    /// It lacks what the connector needs.
    pub(crate) fn runtime_unfit(address: &Arc<str>, error: io::Error) -> Self {
        Self::new(ErrorKind::NoRuntime, address, Cause::Io(Arc::new(error)))
    }

    pub(crate) fn closed(address: &Arc<str>) -> Self {
        Self::new(ErrorKind::Closed, address, Cause::Text("the pool is closed"))
    }

    pub(crate) fn retired(address: &Arc<str>) -> Self {
        Self::new(ErrorKind::Retired, address, Cause::Text("the address is retired"))
    }

    pub(crate) fn queue_full(address: &Arc<str>) -> Self {
        let why = "too many requests wait for a connection already";
        Self::new(ErrorKind::QueueFull, address, Cause::Text(why))
    }

    pub(crate) fn checkout_timeout(address: &Arc<str>, after: Duration) -> Self {
        Self::new(ErrorKind::CheckoutTimeout, address, Cause::After("no connection", after))
    }

    pub(crate) fn connect(address: &Arc<str>, error: io::Error) -> Self {
        Self::new(ErrorKind::Connect, address, Cause::Io(Arc::new(error)))
    }

    pub(crate) fn connect_timeout(address: &Arc<str>, after: Duration) -> Self {
        Self::new(ErrorKind::ConnectTimeout, address, Cause::After("not connected", after))
    }

    pub(crate) fn backing_off(address: &Arc<str>, pause: Duration) -> Self {
        Self::new(ErrorKind::BackingOff, address, Cause::Paused(pause))
    }

    pub(crate) fn handshake(address: &Arc<str>, error: hyper::Error) -> Self {
        Self::new(ErrorKind::Connect, address, Cause::Http(Arc::new(error)))
    }

    pub(crate) fn exchange(address: &Arc<str>, error: hyper::Error) -> Self {
        let kind = if error.is_user() { ErrorKind::RequestBody } else { ErrorKind::Response };
        Self::new(kind, address, Cause::Http(Arc::new(error)))
    }

    pub(crate) fn out_of_step(address: &Arc<str>) -> Self {
        let why = "a response had come before the request was sent";
        Self::new(ErrorKind::Response, address, Cause::Text(why))
    }

    pub(crate) fn misframed(address: &Arc<str>, why: &'static str) -> Self {
        Self::new(ErrorKind::Response, address, Cause::Text(why))
    }

    pub(crate) fn silent(address: &Arc<str>) -> Self {
        let why = "no sign of life from a connection that was tried after another had gone silent";
        Self::new(ErrorKind::Response, address, Cause::Text(why))
    }

    pub(crate) fn request_body(address: &Arc<str>, error: BoxError) -> Self {
        Self::new(ErrorKind::RequestBody, address, Cause::Body(error.into()))
    }

    pub(crate) fn refused(address: &Arc<str>, error: h2::Error) -> Self {
        Self::new(ErrorKind::Refused, address, Cause::Http2(Arc::new(error)))
    }

    pub(crate) fn stream(address: &Arc<str>, error: h2::Error) -> Self {
        Self::new(ErrorKind::Response, address, Cause::Http2(Arc::new(error)))
    }

    pub(crate) fn stream_body(address: &Arc<str>, error: h2::Error) -> Self {
        Self::new(ErrorKind::ResponseBody, address, Cause::Http2(Arc::new(error)))
    }

    pub(crate) fn large_head(address: &Arc<str>, most: usize) -> Self {
        Self::new(ErrorKind::Response, address, Cause::LargeHead(most))
    }

    pub(crate) fn many_fields(address: &Arc<str>, most: usize) -> Self {
        Self::new(ErrorKind::Response, address, Cause::ManyFields(most))
    }

    /// The connection ended, or takes no stream, before any of the request was written.
    pub(crate) fn stream_unsent(address: &Arc<str>, error: h2::Error) -> Self {
        Self::new(ErrorKind::Unsent, address, Cause::Http2(Arc::new(error)))
    }

    pub(crate) fn http2_handshake(address: &Arc<str>, error: h2::Error) -> Self {
        Self::new(ErrorKind::Connect, address, Cause::Http2(Arc::new(error)))
    }

    pub(crate) fn response_timeout(address: &Arc<str>, after: Duration) -> Self {
        Self::new(ErrorKind::ResponseTimeout, address, Cause::After("no response", after))
    }

    pub(crate) fn endless_informational(address: &Arc<str>, most: usize) -> Self {
        Self::new(ErrorKind::EndlessInformational, address, Cause::EndlessInformational(most))
    }

    pub(crate) fn total_timeout(address: &Arc<str>, after: Duration) -> Self {
        let what = "not done (total_timeout)";
        Self::new(ErrorKind::TotalTimeout, address, Cause::After(what, after))
    }

    pub(crate) fn slow_body(address: &Arc<str>, bytes: u64, period: Duration) -> Self {
        Self::new(ErrorKind::SlowBody, address, Cause::Slow(bytes, period))
    }

    pub(crate) fn unfitting_trailers(address: &Arc<str>, why: &'static str) -> Self {
        Self::new(ErrorKind::ResponseBody, address, Cause::Text(why))
    }

    pub(crate) fn mostly_framing(address: &Arc<str>) -> Self {
        let why = "its chunks are framed by far more than they carry";
        Self::new(ErrorKind::ResponseBody, address, Cause::Text(why))
    }

    pub(crate) fn body_timeout(address: &Arc<str>, after: Duration) -> Self {
        Self::new(ErrorKind::BodyTimeout, address, Cause::After("no frame", after))
    }

    pub(crate) fn unsent(address: &Arc<str>, error: hyper::Error) -> Self {
        Self::new(ErrorKind::Unsent, address, Cause::Http(Arc::new(error)))
    }

    pub(crate) fn response_body(address: &Arc<str>, error: hyper::Error) -> Self {
        let kind = if error.is_user() { ErrorKind::RequestBody } else { ErrorKind::ResponseBody };
        Self::new(kind, address, Cause::Http(Arc::new(error)))
    }
}
