//! What an address means in HTTP.

use http::uri::{Authority, Scheme};

/// What an address means in HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// `https` if streams to the address are encrypted, for a server that was verified, else `http`.
    pub scheme: Scheme,
    /// Host and port, the port also where it is the scheme's own.
    pub authority: Authority,
    /// Whether a stream may come back with [`Protocol::Http2`](crate::Protocol::Http2). If so, the pool waits for the first connection to the
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
