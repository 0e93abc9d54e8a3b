//! What can go wrong with a handshake, and with which server.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;

/// A TLS handshake that failed.
///
/// The pool reports it with its address: `connecting to example.org (192.0.2.1:443): TLS handshake with example.org:
/// invalid peer certificate: Expired`. As a value it is the cause of the [`io::Error`] that is the
/// [`source`](Error::source) of the pool's error; what rustls itself had to say is its own source, a [`rustls::Error`].
#[derive(Debug)]
pub struct HandshakeError {
    name: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Io(io::Error),
    TimedOut(Duration),
    Refused(BoxError),
}

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

impl HandshakeError {
    /// Whether it took longer than the [handshake timeout](crate::Builder::handshake_timeout).
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause, Cause::TimedOut(_))
    }

    /// Whether the server has proved its name, and was refused by the [check](crate::Builder::check_server) of the caller. The
    /// error of that is the [`source`](Error::source).
    pub fn is_refused(&self) -> bool {
        matches!(self.cause, Cause::Refused(_))
    }

    /// An error of the inner stream, or of rustls over it.
    pub(crate) fn failed(name: &ServerName<'static>, error: io::Error) -> io::Error {
        let kind = error.kind();
        io::Error::new(kind, Self { name: name.to_str().into_owned(), cause: Cause::Io(error) })
    }

    pub(crate) fn refused(name: &ServerName<'static>, why: BoxError) -> io::Error {
        let cause = Cause::Refused(why);
        let name = name.to_str().into_owned();
        io::Error::new(io::ErrorKind::PermissionDenied, Self { name, cause })
    }

    pub(crate) fn timed_out(name: &ServerName<'static>, limit: Duration) -> io::Error {
        let cause = Cause::TimedOut(limit);
        io::Error::new(io::ErrorKind::TimedOut, Self { name: name.to_str().into_owned(), cause })
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS handshake with {}: ", self.name)?;
        match &self.cause {
            // In words, without the number.
            Cause::Io(error) if error.raw_os_error().is_some() => write!(f, "{}", error.kind()),
            Cause::Io(error) => write!(f, "{error}"),
            Cause::TimedOut(limit) => write!(f, "not done within {limit:?}"),
            Cause::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::TimedOut(_) => None,
            Cause::Refused(why) => Some(&**why),
            Cause::Io(error) => match error.get_ref() {
                Some(cause) => Some(cause),
                None => Some(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use pool_core::Fault;

    use super::*;

    fn name() -> ServerName<'static> {
        ServerName::try_from("example.org").unwrap()
    }

    #[test]
    fn an_error_of_the_system_keeps_its_kind_and_is_told_in_words() {
        let error = HandshakeError::failed(&name(), io::Error::from_raw_os_error(104));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(error.to_string(), "TLS handshake with example.org: connection reset");
    }

    #[test]
    fn an_error_of_this_machine_is_seen_through_the_handshake() {
        for (code, fault) in [(24, Fault::Descriptors), (12, Fault::Machine), (104, Fault::Peer)] {
            let bare = || io::Error::from_raw_os_error(code);
            for error in [bare(), io::Error::other(bare())] {
                assert_eq!(Fault::of(&HandshakeError::failed(&name(), error)), fault);
            }
        }
    }

    #[test]
    fn the_error_of_rustls_is_the_source() {
        let cause = rustls::Error::HandshakeNotComplete;
        let error = HandshakeError::failed(
            &name(),
            io::Error::new(io::ErrorKind::InvalidData, cause.clone()),
        );
        let source = error.source().and_then(|source| source.downcast_ref::<rustls::Error>());
        assert_eq!(source, Some(&cause));
    }

    #[test]
    fn a_handshake_that_takes_too_long_says_so() {
        let error = HandshakeError::timed_out(&name(), Duration::from_secs(5));
        assert_eq!(error.to_string(), "TLS handshake with example.org: not done within 5s");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let own = error.get_ref().and_then(|error| error.downcast_ref::<HandshakeError>());
        assert!(own.is_some_and(HandshakeError::is_timeout));
    }
}
