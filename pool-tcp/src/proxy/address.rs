//! A proxy, and a target behind it.
//!
//! What must hold: credentials are part of what makes two proxies the same, and stand in no text.

use std::fmt;
use std::hash::Hash;
use std::net::Ipv6Addr;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};

/// A proxy: how to reach it, what it speaks, and who asks.
///
/// Two proxies are equal if all of that is, the credentials included: what one client may reach through a proxy says
/// nothing of another, and a proxy may keep its clients apart by their names. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy<A>(Arc<Inner<A>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Inner<A> {
    address: A,
    kind: Kind,
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Tunnel,
    Forward,
    Socks5,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl<A> Proxy<A> {
    /// A proxy that opens tunnels by HTTP CONNECT, RFC 9110 9.3.6: to any target, and for TLS to it.
    pub fn tunnel(address: A) -> Self {
        Self::new(address, Kind::Tunnel)
    }

    /// A proxy that reads the requests in the clear, and passes them on, RFC 9112 3.2.2. Each names its whole target.
    ///
    /// Not for TLS to the target: that needs a tunnel.
    pub fn forward(address: A) -> Self {
        Self::new(address, Kind::Forward)
    }

    /// A proxy that opens tunnels by SOCKS5, RFC 1928.
    ///
    /// It gets the name of the target and resolves that itself; a target that is an address goes to it as one.
    pub fn socks5(address: A) -> Self {
        Self::new(address, Kind::Socks5)
    }

    fn new(address: A, kind: Kind) -> Self {
        Self(Arc::new(Inner { address, kind, credentials: None }))
    }

    /// Says who asks: by the Basic scheme to a proxy that speaks HTTP (RFC 7617), by name and password to one of SOCKS5
    /// (RFC 1929). Defaults to nobody.
    ///
    /// A name with a colon cannot be sent by the Basic scheme, nor more than 234 bytes by SOCKS5, fewer where the name of the target is longer than 15:
    /// then each dial is an error that says so.
    #[must_use]
    pub fn with_credentials(self, user: impl Into<String>, password: impl Into<String>) -> Self
    where
        A: Clone,
    {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.credentials = Some(Credentials { user: user.into(), password: password.into() });
        Self(Arc::new(inner))
    }

    /// How to reach the proxy.
    pub fn address(&self) -> &A {
        &self.0.address
    }

    pub(super) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.0.credentials.as_ref()
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Tunnel => "HTTP CONNECT",
            Self::Forward => "HTTP",
            Self::Socks5 => "SOCKS5",
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Proxy<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} proxy {:?}", self.0.kind.name(), self.0.address)
    }
}

/// A target behind a proxy: the address of a [`ProxyConnector`](super::ProxyConnector).
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
///
/// use pool_tcp::{Proxy, ProxyAddress};
///
/// let proxy: SocketAddr = "192.0.2.1:3128".parse()?;
/// let proxy = Proxy::tunnel(proxy).with_credentials("user", "word");
/// let address = ProxyAddress::new(proxy, "example.org", 443)?;
/// assert_eq!(format!("{address:?}"), "example.org:443 through the HTTP CONNECT proxy 192.0.2.1:3128");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyAddress<A> {
    proxy: Proxy<A>,
    target: Authority,
}

impl<A> ProxyAddress<A> {
    /// The target that `proxy` knows as `host`, a name or an address, and `port`.
    ///
    /// # Errors
    ///
    /// When `host` is no host of a URI.
    pub fn new(proxy: Proxy<A>, host: &str, port: u16) -> Result<Self, InvalidUri> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // An address of IPv6 has one spelling.
        let target = match bare.parse::<Ipv6Addr>() {
            Ok(number) => format!("[{number}]:{port}"),
            Err(_) => format!("{}:{port}", host.to_ascii_lowercase()),
        };
        let target: Authority = target.parse()?;
        if target.as_str().contains('@') || target.host().is_empty() {
            // Not an authority of its own kind, but of one that no host has.
            "".parse::<Authority>()?;
        }
        Ok(Self { proxy, target })
    }

    /// The proxy.
    pub fn proxy(&self) -> &Proxy<A> {
        &self.proxy
    }

    /// The host and the port of the target.
    pub fn target(&self) -> &Authority {
        &self.target
    }

    pub(super) fn target_uri(&self) -> Uri {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.target.clone());
        let uri = uri.path_and_query(PathAndQuery::from_static("/")).build();
        uri.expect("a scheme, an authority and a path are a URI")
    }
}

impl<A: fmt::Debug> fmt::Debug for ProxyAddress<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} through the {:?}", self.target, self.proxy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_kind_make_two_proxies_different() {
        let proxy = || Proxy::tunnel(1_u8);
        assert_eq!(proxy().with_credentials("a", "b"), proxy().with_credentials("a", "b"));
        assert_ne!(proxy().with_credentials("a", "b"), proxy().with_credentials("a", "c"));
        assert_ne!(proxy(), proxy().with_credentials("a", "b"));
        assert_ne!(proxy(), Proxy::socks5(1));
        assert_ne!(proxy(), Proxy::tunnel(2));
    }

    #[test]
    fn no_text_shows_credentials() {
        let proxy = Proxy::socks5(1_u8).with_credentials("somebody", "secret");
        let address = ProxyAddress::new(proxy.clone(), "site.test", 80).unwrap();
        let text = format!("{proxy:?} {proxy:#?} {address:?} {address:#?}");
        assert!(!text.contains("secret") && !text.contains("somebody"), "{text}");
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        let target = |host| {
            ProxyAddress::new(Proxy::tunnel(()), host, 81).map(|address| address.target.to_string())
        };
        for (host, named) in [
            ("Site.test", "site.test:81"),
            ("192.0.2.1", "192.0.2.1:81"),
            ("2001:db8::1", "[2001:db8::1]:81"),
            ("[2001:db8::1]", "[2001:db8::1]:81"),
        ] {
            assert_eq!(target(host).unwrap(), named);
        }
        for host in ["", "a b", "a/b", "user@site.test", "site.test:80", "a\r\nb"] {
            assert!(target(host).is_err(), "{host:?}");
        }
    }
}
