//! What a backend is: one method that opens a stream to an address.
//!
//! The pool knows no socket. A [`Connector`] opens a stream, says what the address means in HTTP, and,
//! where the stream ends in a kernel socket, hands over a [`KernelCheck`](crate::KernelCheck) so that the pool can ask the
//! kernel itself, not the runtime's memory of it, whether an idle connection is still quiet, and can tell the
//! socket what an upload needs.

use std::fmt::Debug;
use std::hash::Hash;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connected::Connected;
use super::fault::Fault;
use super::options::ConnectOptions;
use super::resolve::Resolving;
use super::target::Target;

/// Opens streams to addresses.
///
/// The address is the key of the pool: it must contain everything that makes two peers the same, because
/// two requests for equal addresses may share a connection.
///
/// Two methods are enough. What a connector leaves out costs this:
///
/// | left out | what is lost |
/// | --- | --- |
/// | [`Connected::kernel_check`] | what the kernel knows and the runtime does not yet: a request may find its connection closed, or bytes that came before it was sent. It is sent again if that is safe, and an answer that was there before is refused as far as it can be seen. `pool_tcp::Checked` brings the check for any stream over a socket |
/// | [`Connected::peer_address`] and the local one | [`ConnectionInfo`](crate::ConnectionInfo) does not tell them, and connections to a name do not close when their address is gone from it |
/// | [`Connected::extensions`] | facts of its own that [`ConnectionInfo::extension`](crate::ConnectionInfo::extension) would tell |
/// | [`Connected::protocol`] | HTTP/2, unless it is [assumed](crate::Http2::Assumed) |
/// | [`Target::negotiates_http2`] where it may be agreed upon | one connection for each request that comes before the first has agreed, in place of one for all |
/// | [`resolve`](Self::resolve) | the race of the addresses behind a name, and that a new answer is followed |
/// | [`ConnectOptions::reached_peer`] | nothing but for a name, whose next address is tried beside a long handshake |
/// | [`fault`](Self::fault) | errors of this machine that carry no code of the system count as failures of the address |
/// | [`forget`](Self::forget) | what the connector keeps for an address that the pool has forgotten |
///
/// A connector over another one that forwards nothing but the two methods is right, and loses the same.
///
/// # Examples
///
/// The least that makes a connector, here for Unix sockets:
///
/// ```
/// use std::path::PathBuf;
///
/// use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
/// use tokio::net::UnixStream;
///
/// struct Unix;
///
/// #[async_trait]
/// impl Connector for Unix {
///     type Address = PathBuf;
///     type Stream = UnixStream;
///
///     async fn connect(
///         &self,
///         path: &PathBuf,
///         _: &ConnectOptions,
///     ) -> std::io::Result<Connected<Self::Stream>> {
///         Ok(Connected::new(UnixStream::connect(path).await?))
///     }
///
///     fn target(&self, _: &PathBuf) -> Target {
///         Target::http("localhost".parse().expect("a valid authority"))
///     }
/// }
/// # drop(pool_core::Pool::new(Unix));
/// ```
#[diagnostic::on_unimplemented(
    note = "implement `Connector` with its two methods, `connect` and `target`; \
            its documentation shows one for Unix sockets"
)]
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Everything that makes two peers the same. Its `Debug` text names the peer in every error.
    type Address: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// The raw bytes, both ways, as a tokio stream: its read buffer, unlike hyper's cursor, can be counted
    /// from outside without unsafe code.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a new stream to `address`, as `options` want it.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, as an [`io::Error`]. The pool adds the address and the step; a connector that
    /// has steps of its own (a TLS handshake) names them in the error's text.
    ///
    /// # Cancel safety
    ///
    /// The pool may drop the future at any await: when the connect timeout has passed, no request waits for it any more,
    /// the pool closes, or the runtime shuts down. Nothing may be left open then. Of the futures that no request waits
    /// for, the oldest of an address goes on, because its connection serves the next request.
    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>>;

    /// What `address` means in HTTP: the scheme, and the authority for a request that names none.
    ///
    /// The scheme says whether streams to `address` are encrypted, for a server that was verified. Of a connector over
    /// another one that does nothing of the kind it is the scheme of the inner one. Where it is `http`, requests whose URIs
    /// are `https` are refused; see [`Builder::https_over_cleartext`](crate::Builder::https_over_cleartext).
    fn target(&self, address: &Self::Address) -> Target;

    /// The socket addresses behind `address`, where it is a name; none where it is no name, which is the default.
    ///
    /// With them the pool tries one after the other, the next beside the one before after 250 ms (RFC 8305 5), each under
    /// the limits, and tells [`connect`](Self::connect) by [`ConnectOptions::peer`] which. It resolves again when the answer
    /// is no longer good, and closes connections to addresses that are gone.
    ///
    /// A connector over another one passes on what the inner one says. One that does not has a connect without a
    /// peer, and so the inner one finds an address itself, without any of that.
    ///
    /// # Errors
    ///
    /// Whatever went wrong. While an earlier answer is known it stays in use.
    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        let _ = address;
        None
    }

    /// On whose side [`connect`](Self::connect) has failed with `error`: what this machine lacks is not held against the
    /// address.
    ///
    /// Defaults to [`Fault::of`], which looks for the code of the system in the chain of causes.
    fn fault(&self, error: &io::Error) -> Fault {
        Fault::of(error)
    }

    /// The pool has forgotten `address`, or goes itself: nothing is idle there, and what is kept for it may go. A new dial
    /// to it may have begun meanwhile. Defaults to nothing.
    fn forget(&self, address: &Self::Address) {
        let _ = address;
    }
}

#[async_trait]
impl<C: Connector + ?Sized> Connector for Arc<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        (**self).connect(address, options).await
    }

    fn target(&self, address: &Self::Address) -> Target {
        (**self).target(address)
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        (**self).resolve(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        (**self).fault(error)
    }

    fn forget(&self, address: &Self::Address) {
        (**self).forget(address);
    }
}

#[async_trait]
impl<C: Connector + ?Sized> Connector for Box<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        (**self).connect(address, options).await
    }

    fn target(&self, address: &Self::Address) -> Target {
        (**self).target(address)
    }

    fn resolve<'a>(&'a self, address: &'a Self::Address) -> Option<Resolving<'a>> {
        (**self).resolve(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        (**self).fault(error)
    }

    fn forget(&self, address: &Self::Address) {
        (**self).forget(address);
    }
}
