//! A server as those know it that watch and count.

use std::sync::Arc;

use http::uri::Scheme;

use super::stats::Counters;
use crate::connector::Target;

/// The server behind an address, as an [`Observer`](crate::Observer) is told of it.
#[derive(Debug)]
pub struct ServerInfo {
    address: Arc<str>,
    /// None where a request names no address.
    target: Option<Target>,
    /// Under one roof with it, for a response may outlive all else of its address.
    counters: Counters,
}

impl ServerInfo {
    pub(crate) fn new(address: Arc<str>, target: Target) -> Arc<Self> {
        Arc::new(Self { address, target: Some(target), counters: Counters::default() })
    }

    /// Stands for the address that a request should have named.
    pub(crate) fn nowhere() -> Arc<Self> {
        let address = Arc::from("no address");
        Arc::new(Self { address, target: None, counters: Counters::default() })
    }

    /// The address, as its `Debug` text.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `https` if connections to it are encrypted.
    pub fn scheme(&self) -> &Scheme {
        self.target.as_ref().map_or(&Scheme::HTTP, |target| &target.scheme)
    }

    /// Its name, or its IP address without brackets, as the connector [tells](crate::Connector::target) it.
    pub fn host(&self) -> &str {
        let Some(target) = &self.target else { return &self.address };
        let host = target.authority.host();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// Its port, which is that of the scheme where the connector tells none.
    pub fn port(&self) -> u16 {
        let told = self.target.as_ref().and_then(|target| target.authority.port_u16());
        let own = if *self.scheme() == Scheme::HTTPS { 443 } else { 80 };
        told.unwrap_or(own)
    }

    /// Host and port, as in a URI.
    #[cfg(feature = "tracing")]
    pub(crate) fn authority(&self) -> &str {
        self.target.as_ref().map_or(&self.address, |target| target.authority.as_str())
    }

    #[inline]
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.address
    }

    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use http::uri::Authority;

    use super::*;

    #[test]
    fn a_server_is_the_one_that_its_connector_names() {
        for (authority, https, host, port) in [
            ("127.0.0.1:8080", false, "127.0.0.1", 8080),
            ("[::1]:443", true, "::1", 443),
            ("example.org", true, "example.org", 443),
            ("localhost", false, "localhost", 80),
        ] {
            let authority = Authority::from_static(authority);
            let target = if https { Target::https(authority) } else { Target::http(authority) };
            let server = ServerInfo::new("here".into(), target);
            assert_eq!((server.host(), server.port(), server.address()), (host, port, "here"));
            assert_eq!(*server.scheme() == Scheme::HTTPS, https);
        }
    }
}
