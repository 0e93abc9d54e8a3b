//! An address that can be made from a URI.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use http::Uri;
#[cfg(unix)]
use pool_tcp::UnixAddress;
use pool_tcp::{Name, NameError};
use pool_tls::{ServerName, TlsAddress};

/// A server in the clear, over TLS, or behind a Unix socket: the address of an
/// [`EndpointConnector`](crate::EndpointConnector).
///
/// # Examples
///
/// ```
/// use pooled_fetch::Endpoint;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let secure = Endpoint::of_uri(&"https://example.com/path".parse()?)?;
/// assert_eq!(format!("{secure:?}"), "https://example.com:443");
/// let clear = Endpoint::http("127.0.0.1:8080".parse()?);
/// assert_eq!(format!("{clear:?}"), "http://127.0.0.1:8080");
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(pub(super) Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Http(Name),
    Https(TlsAddress<Name>),
    #[cfg(unix)]
    Unix(UnixAddress),
}

impl Endpoint {
    /// A server in the clear.
    pub fn http(name: Name) -> Self {
        Self(Kind::Http(name))
    }

    /// A server over TLS, which must prove to be the host of `name`, or its number.
    ///
    /// # Errors
    ///
    /// When the host can be no name of a certificate, such as one that begins with a hyphen.
    pub fn https(name: Name) -> Result<Self, EndpointError> {
        let host = name.host();
        let server = ServerName::try_from(host.trim_end_matches('.').to_owned());
        let server = server.map_err(|_| EndpointError(Why::ServerName(host)))?;
        Ok(Self(Kind::Https(TlsAddress::new(name, server))))
    }

    /// A server over TLS whose address says all by itself: another name to prove, a client certificate.
    pub fn tls(address: TlsAddress<Name>) -> Self {
        Self(Kind::Https(address))
    }

    /// A server behind a Unix socket, in the clear.
    #[cfg(unix)]
    pub fn unix(address: impl Into<UnixAddress>) -> Self {
        Self(Kind::Unix(address.into()))
    }

    /// The server of a URI, `http` or `https`; without a port it is that of the scheme.
    ///
    /// # Errors
    ///
    /// When the scheme is another or none, or there is no host that can be one.
    pub fn of_uri(uri: &Uri) -> Result<Self, EndpointError> {
        let name = || Name::of_uri(uri).map_err(|error| EndpointError(Why::Name(error)));
        match uri.scheme_str() {
            Some("http") => Ok(Self::http(name()?)),
            Some("https") => Self::https(name()?),
            // Without what may be secret in it.
            scheme => Err(EndpointError(Why::Scheme(scheme.unwrap_or_default().to_owned()))),
        }
    }

    /// Whether streams to it are encrypted, for a server that was verified.
    pub fn is_secure(&self) -> bool {
        matches!(self.0, Kind::Https(_))
    }
}

impl From<SocketAddr> for Endpoint {
    /// In the clear.
    fn from(address: SocketAddr) -> Self {
        Self::http(address.into())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Http(name) => write!(f, "http://{name}"),
            Kind::Https(address) if is_plain(address) => write!(f, "https://{}", address.inner()),
            Kind::Https(address) => write!(f, "https://{address:?}"),
            #[cfg(unix)]
            Kind::Unix(address) => address.fmt(f),
        }
    }
}

/// Whether the server has to prove no other name than its own.
fn is_plain(address: &TlsAddress<Name>) -> bool {
    address.identity().is_none()
        && *address.server_name().to_str() == *address.inner().host().trim_end_matches('.')
}

/// What was given is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError(Why);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Name(NameError),
    Scheme(String),
    ServerName(String),
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Name(error) => error.fmt(f),
            Why::Scheme(scheme) => {
                write!(f, "the URI has the scheme {scheme:?}, which is neither http nor https")
            }
            Why::ServerName(host) => write!(f, "{host:?} can be no name of a certificate"),
        }
    }
}

impl Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::of_uri(&uri.parse().expect("a URI"))
    }

    #[test]
    fn an_address_tells_its_scheme_its_host_and_its_port() {
        for (uri, told) in [
            ("http://Example.com/a?b", "http://example.com:80"),
            ("https://example.com", "https://example.com:443"),
            ("https://example.com.:8443/", "https://example.com.:8443"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
            ("http://127.0.0.1", "http://127.0.0.1:80"),
        ] {
            let endpoint = of(uri).expect(uri);
            assert_eq!(format!("{endpoint:?}"), told);
            assert_eq!(endpoint.is_secure(), told.starts_with("https"));
        }
        let other = ServerName::try_from("other.test").expect("a name");
        let name: Name = "example.com:443".parse().expect("a name");
        let told = format!("{:?}", Endpoint::tls(TlsAddress::new(name, other)));
        assert_eq!(told, "https://other.test (example.com:443)");
    }

    #[test]
    fn what_is_no_server_is_an_error_that_says_so() {
        for (uri, why) in [
            ("/path", "neither http nor https"),
            ("ftp://example.com/", "neither http nor https"),
            ("example.com:80", "neither http nor https"),
            ("https://-a.test/", "certificate"),
            ("http://a..b/", "no bytes"),
        ] {
            let error = of(uri).expect_err(uri).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
