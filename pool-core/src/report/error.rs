//! What can go wrong with a request, where, and why.
//!
//! An error names the step and the address before the cause: `connecting to 127.0.0.1:1: connection
//! refused`. The type is opaque, so that it can tell more later without breaking callers.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;

use super::chain::write_chain;
use super::error_kind::ErrorKind;
use super::evidence::{Attempt, Evidence};
use crate::request::RequestBody;
use crate::sync::Mutex;

/// A request that got no response, or a response whose body did not arrive whole.
///
/// Its text is the whole story in one line, with every cause behind the cause; [`source`](StdError::source) gives the
/// cause as a value, such as the [`io::Error`] of a connect or hyper's error, and with its own sources the rest;
/// [`evidence`](Self::evidence) tells how far the request had come.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    address: Arc<str>,
    cause: Cause,
    evidence: Evidence,
    // A body need not be `Sync`, an error must. No thread ever waits for this lock.
    request: Mutex<Option<Request<RequestBody>>>,
}

pub(super) enum Cause {
    Text(&'static str),
    After(&'static str, Duration),
    Paused(Duration),
    /// Less than so many bytes in so long a time.
    Slow(u64, Duration),
    Io(Arc<io::Error>),
    Http(Arc<hyper::Error>),
    Http2(Arc<h2::Error>),
    Body(Arc<dyn StdError + Send + Sync>),
    /// Than so many bytes.
    LargeHead(usize),
    /// Than so many.
    ManyFields(usize),
    /// 1xx answers of more than so many bytes.
    EndlessInformational(usize),
}

impl Error {
    pub(super) fn new(kind: ErrorKind, address: &Arc<str>, cause: Cause) -> Self {
        let (evidence, request) = (Evidence::default(), Mutex::default());
        Self(Box::new(Inner { kind, address: Arc::clone(address), cause, evidence, request }))
    }

    /// The failure happened on a connection.
    pub(crate) fn at(mut self, attempt: Attempt) -> Self {
        self.0.evidence = attempt.into_evidence();
        self.0.evidence.refused = self.0.kind == ErrorKind::Refused;
        self
    }

    /// The server wants the request over HTTP/1.1.
    pub(crate) fn requiring_http1(mut self) -> Self {
        self.0.evidence.http1_required = true;
        self
    }

    /// Adds what is known of the request as a whole; with the request, if it is whole and proven unsent.
    pub(crate) fn explain(
        mut self,
        attempts: u32,
        reached_wire: bool,
        maybe_processed: bool,
        request: Option<Request<RequestBody>>,
    ) -> Self {
        self.0.evidence.attempts = attempts;
        self.0.evidence.reached_wire |= reached_wire;
        self.0.evidence.refused &= !maybe_processed;
        self.0.request = Mutex::new(request);
        self
    }

    /// The same failure for another request that waited for the same dial.
    pub(crate) fn for_another(&self) -> Self {
        let cause = match &self.0.cause {
            Cause::Text(text) => Cause::Text(text),
            Cause::After(what, after) => Cause::After(what, *after),
            Cause::Paused(pause) => Cause::Paused(*pause),
            Cause::Slow(bytes, period) => Cause::Slow(*bytes, *period),
            Cause::LargeHead(most) => Cause::LargeHead(*most),
            Cause::ManyFields(most) => Cause::ManyFields(*most),
            Cause::EndlessInformational(most) => Cause::EndlessInformational(*most),
            Cause::Io(error) => Cause::Io(Arc::clone(error)),
            Cause::Http(error) => Cause::Http(Arc::clone(error)),
            Cause::Http2(error) => Cause::Http2(Arc::clone(error)),
            Cause::Body(error) => Cause::Body(Arc::clone(error)),
        };
        Self::new(self.0.kind, &self.0.address, cause)
    }

    /// The step that failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The address, as its `Debug` text.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// How far the request had come, over which connection, and in how many attempts.
    pub fn evidence(&self) -> &Evidence {
        &self.0.evidence
    }

    /// Gives the request back, as its caller gave it, so that it can be sent elsewhere.
    ///
    /// Only a request of which no connection has accepted a byte comes back, and only if its body is whole.
    ///
    /// # Errors
    ///
    /// The error itself, if the request cannot be given back.
    pub fn into_request(mut self) -> Result<Request<RequestBody>, Self> {
        let request = self.0.request.get_mut().take();
        request.ok_or(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.0.kind.step(), self.0.address)?;
        match &self.0.cause {
            Cause::Text(text) => f.write_str(text),
            Cause::After(what, timeout) => write!(f, "{what} within {timeout:?}"),
            Cause::Paused(pause) => {
                write!(f, "it could not be reached several times in a row, next try in {pause:?}")
            }
            Cause::Slow(bytes, period) => {
                write!(f, "less than the {bytes} bytes in {period:?} of least_rate")
            }
            Cause::Io(error) => write_chain(f, &**error),
            Cause::Http(error) => write_chain(f, &**error),
            Cause::Http2(error) => write_chain(f, &**error),
            Cause::Body(error) => write_chain(f, &**error),
            Cause::LargeHead(most) => {
                write!(f, "the head is larger than the {most} bytes of max_response_head")
            }
            Cause::ManyFields(most) => {
                write!(f, "the head has more fields than the {most} of max_response_fields")
            }
            Cause::EndlessInformational(most) => {
                write!(f, "1xx answers without end, beyond the {most} bytes of max_response_head")
            }
        }?;
        match self.0.evidence.connection() {
            Some(_) => write!(f, " ({})", self.0.evidence),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("address", &self.0.address)
            .field("text", &self.to_string())
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.cause {
            Cause::Io(error) => Some(&**error),
            Cause::Http(error) => Some(&**error),
            Cause::Http2(error) => Some(&**error),
            Cause::Body(error) => Some(&**error),
            Cause::LargeHead(_)
            | Cause::ManyFields(_)
            | Cause::EndlessInformational(_)
            | Cause::Text(_)
            | Cause::After(..)
            | Cause::Paused(_)
            | Cause::Slow(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::BoxError;

    fn address() -> Arc<str> {
        Arc::from("192.0.2.1:80")
    }

    #[test]
    fn a_refused_connection_is_told_in_one_line_with_step_and_address() {
        let refused = io::Error::from_raw_os_error(111);
        let error = Error::connect(&address(), refused);
        assert_eq!(error.to_string(), "connecting to 192.0.2.1:80: connection refused");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
    }

    #[test]
    fn a_connectors_own_words_are_kept() {
        let error = Error::connect(&address(), io::Error::other("TLS handshake: no shared cipher"));
        assert_eq!(
            error.to_string(),
            "connecting to 192.0.2.1:80: TLS handshake: no shared cipher"
        );
    }

    #[test]
    fn an_error_converts_into_the_boxed_error_of_an_application() {
        let _: BoxError = Error::no_runtime(&address()).into();
    }
}
