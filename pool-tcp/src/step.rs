//! An error that says what was attempted, and keeps what the system said as its source.

use std::error::Error;
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    cause: io::Error,
}

impl Step {
    /// An error of the same kind that says `what` before its cause.
    pub(crate) fn failed(what: impl Into<String>, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self { what: what.into(), cause })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Step {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
