//! What a connector gives the pool: an open stream, and what is known of it.

use std::net::SocketAddr;

use http::{Extensions, HeaderValue};

use super::absolute_form::AbsoluteForm;
use super::kernel_check::KernelCheck;

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
