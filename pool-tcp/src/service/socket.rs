//! The socket below the stream of a service, lent so that the kernel itself can be asked about it.

use std::fmt;

use hyper_util::rt::TokioIo;
use socket2::SockRef;

/// The socket below a stream; from a closure of [`ServiceConnector::lending`](crate::ServiceConnector::lending).
pub struct LentSocket<'a> {
    pub(super) socket: SockRef<'a>,
    pub(super) is_coded: bool,
}

impl<'a> LentSocket<'a> {
    /// The socket whose bytes are those of the stream.
    ///
    /// It may be read from in place of the stream, whose runtime knows less than the kernel.
    pub fn plain<S>(socket: &'a S) -> Self
    where
        SockRef<'a>: From<&'a S>,
    {
        Self { socket: SockRef::from(socket), is_coded: false }
    }

    /// The same socket, whose bytes are not those of the stream, as below TLS.
    ///
    /// It is only looked at. Where something lies in the kernel of which the runtime does not know yet, a connection that
    /// has carried a request over HTTP/1 is not used again; before its first request, and over HTTP/2, nothing is written
    /// until the stream itself has read it.
    #[must_use]
    pub fn coded(mut self) -> Self {
        self.is_coded = true;
        self
    }
}

impl fmt::Debug for LentSocket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LentSocket").field("is_coded", &self.is_coded).finish_non_exhaustive()
    }
}

/// A stream that lends the socket of tokio below it.
///
/// Implemented for what hyper-util's `HttpConnector` and hyperlocal's socket are made of, `TokioIo` over a socket, and with
/// the feature `hyper-rustls` for TLS over such a stream.
pub trait LendSocket {
    /// The socket, if there is one.
    fn lend(&self) -> Option<LentSocket<'_>>;
}

impl LendSocket for TokioIo<tokio::net::TcpStream> {
    fn lend(&self) -> Option<LentSocket<'_>> {
        Some(LentSocket::plain(self.inner()))
    }
}

#[cfg(unix)]
impl LendSocket for TokioIo<tokio::net::UnixStream> {
    fn lend(&self) -> Option<LentSocket<'_>> {
        Some(LentSocket::plain(self.inner()))
    }
}

#[cfg(feature = "hyper-rustls")]
impl<S: LendSocket> LendSocket for hyper_rustls::MaybeHttpsStream<S> {
    fn lend(&self) -> Option<LentSocket<'_>> {
        match self {
            Self::Http(stream) => stream.lend(),
            Self::Https(stream) => stream.inner().get_ref().0.inner().lend().map(LentSocket::coded),
        }
    }
}
