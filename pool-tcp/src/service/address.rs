//! What a service is called with, and what that means in HTTP.

use std::error::Error;
use std::fmt;
use std::hash::Hash;
use std::net::Ipv6Addr;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use pool_core::Target;

use crate::names::has_unreadable_port;

/// An address of a [`ServiceConnector`](crate::ServiceConnector): the URI that its service is called with.
///
/// [`UriAddress`] is the one for services that take a URI as it is meant. Implement it where the URI is a code for something
/// else, as for a socket's path.
///
/// # Examples
///
/// ```
/// use http::Uri;
/// use http::uri::Authority;
/// use pool_core::Target;
/// use pool_tcp::ServiceAddress;
///
/// /// A container, which a service of the user's own finds by its name.
/// #[derive(Clone, Debug, PartialEq, Eq, Hash)]
/// struct Container(&'static str);
///
/// impl ServiceAddress for Container {
///     fn uri(&self) -> Uri {
///         Uri::builder().scheme("container").authority(self.0).path_and_query("/").build().expect("a name")
///     }
///
///     fn target(&self) -> Target {
///         Target::http(Authority::from_static("localhost"))
///     }
/// }
/// ```
pub trait ServiceAddress: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// What the service is called with.
    fn uri(&self) -> Uri;

    /// What the address means in HTTP; as [`Connector::target`](pool_core::Connector::target).
    fn target(&self) -> Target;
}

/// A scheme and an authority: what of a [`Uri`] makes two peers the same.
///
/// `https` stands for a connection that its service encrypts, for a server that it has verified. The port is always there,
/// so that `http://a` and `http://a:80` are one address; what a URI says of a user is left out.
///
/// # Examples
///
/// ```
/// use pool_tcp::UriAddress;
///
/// let address: UriAddress = "https://user:word@Example.org/path".parse()?;
/// assert_eq!(format!("{address:?}"), "https://example.org:443");
/// # Ok::<(), pool_tcp::NotAnAddress>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UriAddress {
    scheme: Scheme,
    authority: Authority,
}

impl TryFrom<&Uri> for UriAddress {
    type Error = NotAnAddress;

    /// The peer that a URI names.
    ///
    /// # Errors
    ///
    /// When the URI is neither `http` nor `https`, or names no host.
    fn try_from(uri: &Uri) -> Result<Self, NotAnAddress> {
        let scheme = uri.scheme().ok_or(NotAnAddress(()))?;
        let own = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(NotAnAddress(())),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NotAnAddress(()))?;
        if has_unreadable_port(uri) {
            return Err(NotAnAddress(()));
        }
        let port = uri.port_u16().unwrap_or(own);
        // An address of IPv6 has one spelling.
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let authority = match bare.and_then(|bare| bare.parse::<Ipv6Addr>().ok()) {
            Some(number) => format!("[{number}]:{port}"),
            None => format!("{}:{port}", host.to_ascii_lowercase()),
        };
        let authority = authority.parse().map_err(|_| NotAnAddress(()))?;
        Ok(Self { scheme: scheme.clone(), authority })
    }
}

impl TryFrom<Uri> for UriAddress {
    type Error = NotAnAddress;

    fn try_from(uri: Uri) -> Result<Self, NotAnAddress> {
        Self::try_from(&uri)
    }
}

impl FromStr for UriAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        Self::try_from(&text.parse::<Uri>().map_err(|_| NotAnAddress(()))?)
    }
}

impl fmt::Debug for UriAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl fmt::Display for UriAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl ServiceAddress for UriAddress {
    fn uri(&self) -> Uri {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        let uri = uri.path_and_query(PathAndQuery::from_static("/")).build();
        uri.expect("its parts come from a URI")
    }

    fn target(&self) -> Target {
        if self.scheme == Scheme::HTTPS {
            Target::https(self.authority.clone())
        } else {
            Target::http(self.authority.clone())
        }
    }
}

/// Why a URI is no [`UriAddress`]: it is neither `http` nor `https`, or it names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress(());

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an http or https URI that names a host")
    }
}

impl Error for NotAnAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> UriAddress {
        uri.parse().unwrap()
    }

    #[test]
    fn what_names_the_same_peer_is_the_same_address() {
        assert_eq!(address("http://a.test"), address("http://A.test:80/path?query"));
        assert_eq!(address("https://u:p@a.test"), address("https://a.test:443"));
        assert_ne!(address("http://a.test:443"), address("https://a.test"));
        assert_eq!(address("http://[::1]").uri(), "http://[::1]:80/");
    }

    #[test]
    fn https_means_encrypted_and_may_come_to_speak_http2() {
        let (clear, encrypted) =
            (address("http://a.test").target(), address("https://a.test").target());
        assert_eq!((clear.scheme.as_str(), clear.negotiates_http2), ("http", false));
        assert_eq!((encrypted.scheme.as_str(), encrypted.negotiates_http2), ("https", true));
        assert_eq!(encrypted.host(), "a.test");
    }

    #[test]
    fn what_names_no_peer_is_no_address() {
        for text in ["/path", "a.test:80", "ftp://a.test", "http://", "no uri"] {
            assert_eq!(text.parse::<UriAddress>(), Err(NotAnAddress(())), "{text}");
        }
    }
}
