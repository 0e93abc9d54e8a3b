//! Which step towards a target has failed, and what the proxy said.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use super::stream::Said;

/// Why a proxy has opened no way to its target: the step that failed, and what the proxy said.
///
/// It lies in the [`io::Error`] of a dial. The pool adds the target and the proxy, which are the address; no text has
/// credentials.
#[derive(Debug)]
pub struct ProxyError {
    step: Step,
    why: Why,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Reach,
    Tunnel,
    Socks5,
    Header,
}

#[derive(Debug)]
enum Why {
    /// The cause says it.
    Cause,
    Answered(StatusCode),
    Text(&'static str),
}

impl ProxyError {
    /// The status with which a proxy that speaks HTTP has refused a tunnel, such as 407 where it wants other credentials.
    pub fn status(&self) -> Option<StatusCode> {
        match self.why {
            Why::Answered(status) => Some(status),
            Why::Cause | Why::Text(_) => None,
        }
    }

    /// What the connector below has said, if it failed at this step.
    pub(super) fn below(error: &io::Error, step: Step) -> Option<&io::Error> {
        let error: &Self = error.get_ref()?.downcast_ref()?;
        error.cause.as_ref().filter(|_| error.step == step)?.downcast_ref()
    }

    pub(super) fn caused(step: Step, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self { step, why: Why::Cause, cause: Some(cause.into()) })
    }

    pub(super) fn refused(step: Step, kind: io::ErrorKind, why: &'static str) -> io::Error {
        io::Error::new(kind, Self { step, why: Why::Text(why), cause: None })
    }

    /// A handshake that has failed, for `cause` in the words of hyper-util.
    pub(super) fn of_handshake(
        step: Step,
        said: Said,
        cause: Box<dyn Error + Send + Sync>,
    ) -> io::Error {
        let status = said.status();
        if let Some(error) = said.error {
            return Self::caused(step, error);
        }
        let (kind, why) = match status {
            Some(status) if !said.ended && step == Step::Tunnel && status != StatusCode::OK => {
                let kind = match status {
                    StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::FORBIDDEN => {
                        io::ErrorKind::PermissionDenied
                    }
                    _ => io::ErrorKind::ConnectionRefused,
                };
                (kind, Why::Answered(status))
            }
            _ if said.ended && said.anything => (
                io::ErrorKind::UnexpectedEof,
                Why::Text("it closed the connection in the middle of its answer"),
            ),
            _ if said.ended => (
                io::ErrorKind::UnexpectedEof,
                Why::Text("it closed the connection without an answer"),
            ),
            None if step == Step::Tunnel => {
                (io::ErrorKind::InvalidData, Why::Text("its answer is not HTTP"))
            }
            _ => (io::ErrorKind::ConnectionRefused, Why::Cause),
        };
        io::Error::new(kind, Self { step, why, cause: Some(cause) })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.step {
            Step::Reach => "reaching the proxy",
            Step::Tunnel => "asking the proxy for a tunnel",
            Step::Socks5 => "shaking hands with the proxy",
            Step::Header => "writing the PROXY header",
        })?;
        match &self.why {
            Why::Cause => Ok(()),
            Why::Answered(StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                f.write_str(": it wants other credentials (407)")
            }
            Why::Answered(status) => write!(f, ": it answered {status}"),
            Why::Text(why) => write!(f, ": {why}"),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.why {
            // Of what says less than this error.
            Why::Answered(_) | Why::Text(_) => None,
            Why::Cause => self.cause.as_deref().map(|cause| -> &(dyn Error + 'static) { cause }),
        }
    }
}
