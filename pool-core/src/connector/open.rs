//! What a backend is: one method that opens a stream to an address.
//!
//! The pool knows no socket. A [`Connector`] opens a stream, says what the address means in HTTP, and,
//! where the stream ends in a kernel socket, hands over a [`KernelCheck`] so that the pool can ask the
//! kernel itself, not the runtime's memory of it, whether an idle connection is still quiet, and can tell the
//! socket what an upload needs.

use std::fmt::Debug;
use std::hash::Hash;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::uri::{Authority, Scheme};
use http::{Extensions, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite};

use super::absolute_form::AbsoluteForm;
use super::fault::Fault;
use super::options::ConnectOptions;
use super::resolve::Resolving;

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

/// What an address means in HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// `https` if streams to the address are encrypted, for a server that was verified, else `http`.
    pub scheme: Scheme,
    /// Host and port, the port also where it is the scheme's own.
    pub authority: Authority,
    /// Whether a stream may come back with [`Protocol::Http2`]. If so, the pool waits for the first connection to the
    /// address before it opens more, because that one may serve all waiters.
    pub negotiates_http2: bool,
}

impl Target {
    /// A target spoken to in the clear, where nothing can be agreed upon.
    pub fn http(authority: Authority) -> Self {
        Self { scheme: Scheme::HTTP, authority, negotiates_http2: false }
    }

    /// A target behind TLS, whose handshake may agree upon HTTP/2.
    pub fn https(authority: Authority) -> Self {
        Self { scheme: Scheme::HTTPS, authority, negotiates_http2: true }
    }

    /// Says whether HTTP/2 may be agreed upon.
    #[must_use]
    pub fn with_http2(mut self, negotiates: bool) -> Self {
        self.negotiates_http2 = negotiates;
        self
    }

    /// The `Host` of a request that brings none: the authority, without the port if that is the scheme's
    /// own, RFC 9110 4.2.3.
    pub fn host(&self) -> String {
        let own = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        match self.authority.port_u16() {
            Some(port) if port == own => self.authority.host().to_owned(),
            _ => self.authority.as_str().to_owned(),
        }
    }
}

/// A stream that was just opened, and what is known of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connected<S> {
    /// The stream.
    pub stream: S,
    /// Our end, where the stream has one.
    pub local_address: Option<SocketAddr>,
    /// The other end, where the stream has one.
    pub peer_address: Option<SocketAddr>,
    /// How to ask the kernel about the stream; none where no kernel socket lies below it.
    pub kernel_check: Option<KernelCheck>,
    /// What was agreed with the server to be spoken over the stream.
    pub protocol: Protocol,
    /// Which of the addresses behind a name it leads to, whatever the connector says of its end.
    pub(crate) resolved: Option<SocketAddr>,
    /// What else the connector tells of the stream.
    pub extensions: Extensions,
    pub(crate) absolute_form: Option<AbsoluteForm>,
}

/// A version of HTTP, as far as it makes a difference to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// One request at a time. What is spoken where nothing was agreed.
    #[default]
    Http1,
    /// Many requests at once.
    Http2,
}

impl<S> Connected<S> {
    /// A stream of which nothing else is known.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            local_address: None,
            peer_address: None,
            kernel_check: None,
            protocol: Protocol::Http1,
            extensions: Extensions::new(),
            absolute_form: None,
            resolved: None,
        }
    }

    /// Says which sockets the stream connects.
    #[must_use]
    pub fn with_addresses(mut self, local: Option<SocketAddr>, peer: Option<SocketAddr>) -> Self {
        self.local_address = local;
        self.peer_address = peer;
        self
    }

    /// Lets the pool ask the kernel before it reuses the stream.
    #[must_use]
    pub fn with_kernel_check(mut self, check: KernelCheck) -> Self {
        self.kernel_check = Some(check);
        self
    }

    /// Says what was agreed with the server to be spoken.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Tells a fact of the stream, one of each type, which
    /// [`ConnectionInfo::extension`](crate::ConnectionInfo::extension) reads. It is kept as long as the connection.
    #[must_use]
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, fact: T) -> Self {
        self.extensions.insert(fact);
        self
    }

    /// Says that the stream ends at a proxy that forwards requests, so that each names its whole target, RFC 9112 3.2.2.
    ///
    /// The URI is that of the target's scheme and of the request's `Host`, which stays the same. `authorization` is the
    /// `Proxy-Authorization` of each request over this stream, in place of one that the request may bring; it goes over
    /// no other stream, and no text of this crate shows it. Only HTTP/1 has this form: where HTTP/2 is spoken over the
    /// stream the dial is an error. A proxy that opens a tunnel is none that forwards.
    #[must_use]
    pub fn with_absolute_form(mut self, authorization: Option<HeaderValue>) -> Self {
        self.absolute_form = Some(AbsoluteForm::new(authorization));
        self
    }

    /// Whether the stream ends at a proxy that forwards requests.
    ///
    /// Whatever else is to go over such a stream, as a handshake with the target, does not reach the target.
    pub fn is_forwarded(&self) -> bool {
        self.absolute_form.is_some()
    }

    /// The stream, and what else is known of it: for connectors over other connectors that do something over the stream
    /// before they hand it on by [`map_stream`](Self::map_stream).
    pub fn take_stream(self) -> (S, Connected<()>) {
        let mut taken = None;
        let rest = self.map_stream(|stream| taken = Some(stream));
        let Some(stream) = taken else { unreachable!("it is wrapped at once") };
        (stream, rest)
    }

    /// Wraps the stream and keeps what is known of it: for connectors over other connectors.
    pub fn map_stream<T>(self, wrap: impl FnOnce(S) -> T) -> Connected<T> {
        Connected {
            stream: wrap(self.stream),
            local_address: self.local_address,
            peer_address: self.peer_address,
            kernel_check: self.kernel_check,
            protocol: self.protocol,
            extensions: self.extensions,
            absolute_form: self.absolute_form,
            resolved: self.resolved,
        }
    }
}

/// What the pool tells the stream at the bottom of a connection: to read from the kernel itself next time, and whether an
/// upload is under way.
///
/// A runtime answers from what epoll last told it, so a FIN, or bytes that belong to no request, can lie in the kernel
/// while a connection looks idle. The pool [asks](Self::ask) before it reuses a connection. As long as
/// [`is_open`](Self::is_open) is true, the stream must ask the socket itself at each read, without blocking and
/// whatever the runtime believes. It reads what is there, and [settles](Self::settle) the question when the kernel says
/// that nothing is.
///
/// The [upload](Self::is_uploading) is a fact that the stream may act upon at its next read or write. A kernel that closes
/// connections on which nothing was acknowledged for a while counts a peer that is alive and does not read as silent, and
/// in the middle of an upload a server may well not read for as long as it likes.
///
/// Both travel up unchanged through connectors over other connectors, so they reach below TLS.
#[derive(Clone, Debug, Default)]
pub struct KernelCheck(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    question: AtomicBool,
    upload: AtomicBool,
}

impl KernelCheck {
    /// A check for one stream; keep one clone in the stream and put another into [`Connected`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the question.
    pub fn ask(&self) {
        self.0.question.store(true, Ordering::Relaxed);
    }

    /// Whether the next read must go to the kernel.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.0.question.load(Ordering::Relaxed)
    }

    /// The kernel has said that nothing is there.
    pub fn settle(&self) {
        self.0.question.store(false, Ordering::Relaxed);
    }

    /// Says whether a request is under way over HTTP/1 whose server may leave it unread for long: one with a large body or
    /// one of unknown length, or one that becomes a tunnel.
    pub fn set_uploading(&self, uploading: bool) {
        self.0.upload.store(uploading, Ordering::Relaxed);
    }

    /// Whether such a request is under way, from before its first byte until the connection carries one of another kind,
    /// or is parked.
    #[inline]
    pub fn is_uploading(&self) -> bool {
        self.0.upload.load(Ordering::Relaxed)
    }
}
