//! An error that says what was attempted, and keeps what the system said as its source.

use std::error::Error;
use std::fmt;
use std::io;

#[derive(Debug)]
pub(crate) struct Step {
    what: String,
    cause: io::Error,
    of_this_machine: bool,
}

impl Step {
    /// An error of the same kind that says `what` before its cause.
    #[cfg(unix)]
    pub(crate) fn failed(what: String, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self { what, cause, of_this_machine: false })
    }

    /// The same, of which no peer is to blame.
    pub(crate) fn of_this_machine(what: String, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self { what, cause, of_this_machine: true })
    }

    /// Whether no peer is to blame for an error, according to this.
    pub(crate) fn is_of_this_machine(error: &io::Error) -> bool {
        let step = error.get_ref().and_then(|cause| cause.downcast_ref::<Self>());
        step.is_some_and(|step| step.of_this_machine)
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
