//! A host and a port as an address of the pool.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;

/// A host, by its name or its number, and a port: the address of a [`NamesConnector`](super::NamesConnector).
///
/// There is one spelling: names are lower case, and with the feature `idna` those with letters beyond ASCII are in the form of
/// IDNA (UTS 46), so that `Bücher.example` and `xn--bcher-kva.example` are one address. Without it such names are an error.
///
/// # Examples
///
/// ```
/// use pool_tcp::Name;
///
/// # fn main() -> Result<(), pool_tcp::NameError> {
/// let name = Name::new("Example.com", 80)?;
/// assert_eq!(name.to_string(), "example.com:80");
/// assert_eq!(name, "example.com:80".parse()?);
/// assert_eq!(Name::of_uri(&"http://[::1]/".parse().expect("a URI"))?.to_string(), "[::1]:80");
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    host: Host,
    port: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Host {
    /// As a socket address, because one of IPv6 may have a zone.
    Number(SocketAddr),
    Name(Arc<str>),
}

impl Name {
    /// The name of a host, or its number, with brackets or without them where it is one of IPv6; and its port.
    ///
    /// # Errors
    ///
    /// When the host is empty, has a character that no host name has, or a label of more than 63 bytes; or when it is longer than 253
    /// bytes in all.
    pub fn new(host: &str, port: u16) -> Result<Self, NameError> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(number) = bare.parse::<IpAddr>() {
            return Ok(SocketAddr::new(number, port).into());
        }
        let wrong = |why| NameError { host: host.into(), why };
        if host.is_empty() {
            return Err(wrong("is empty"));
        }
        let ascii = to_ascii(host).map_err(wrong)?;
        let relative = ascii.strip_suffix('.').unwrap_or(&ascii);
        let fits = |label: &str| (1..=LONGEST_LABEL).contains(&label.len());
        if relative.len() > LONGEST || !relative.split('.').all(fits) {
            return Err(wrong("has a label of no bytes or more than 63, or more than 253 in all"));
        }
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !ascii.bytes().all(is_of_host) {
            return Err(wrong("has a character that no host name has"));
        }
        Ok(Self { host: Host::Name(ascii.into()), port })
    }

    /// The host and port of a URI; without a port it is that of the scheme, 80 or 443.
    ///
    /// # Errors
    ///
    /// When the URI has no host, or as [`new`](Self::new).
    pub fn of_uri(uri: &Uri) -> Result<Self, NameError> {
        // Without what may be secret in it.
        let told = || {
            format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default())
        };
        let wrong = |why| NameError { host: told().into(), why };
        let host = uri.host().ok_or_else(|| wrong("has no host"))?;
        if has_unreadable_port(uri) {
            return Err(wrong("has a port that is none below 65,536"));
        }
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http") | None) => 80,
            (None, Some("https")) => 443,
            (None, Some(_)) => return Err(wrong("has no port, and none belongs to its scheme")),
        };
        Self::new(host, port)
    }

    /// The host in its one spelling, without brackets.
    pub fn host(&self) -> String {
        match &self.host {
            Host::Number(address) => address.ip().to_string(),
            Host::Name(name) => name.to_string(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket address, where the host is a number.
    pub fn number(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Number(address) => Some(address),
            Host::Name(_) => None,
        }
    }

    /// The name, where the host is none of this machine's own.
    pub(super) fn to_resolve(&self) -> Option<&str> {
        match &self.host {
            Host::Number(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// Whether it names this machine, whatever a resolver says: RFC 6761 6.3.
    pub(super) fn is_localhost(&self) -> bool {
        let name = self.to_resolve().map(|name| name.strip_suffix('.').unwrap_or(name));
        name.is_some_and(|name| name == "localhost" || name.ends_with(".localhost"))
    }
}

/// Whether a URI has a port that is no number of one. The types of `http` take it for none.
pub(crate) fn has_unreadable_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    let port = after_host.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && uri.port_u16().is_none()
}

/// In lower case, and as DNS has it.
#[cfg(feature = "idna")]
fn to_ascii(host: &str) -> Result<String, &'static str> {
    idna::domain_to_ascii(host).map_err(|_| "is no host name")
}

/// In lower case.
#[cfg(not(feature = "idna"))]
fn to_ascii(host: &str) -> Result<String, &'static str> {
    let why = "has letters beyond ASCII, which the feature `idna` is for";
    if host.is_ascii() { Ok(host.to_ascii_lowercase()) } else { Err(why) }
}

/// RFC 1035 2.3.4.
const LONGEST_LABEL: usize = 63;
const LONGEST: usize = 253;

impl FromStr for Name {
    type Err = NameError;

    /// `host:port`; a number of IPv6 stands in brackets.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = |why| NameError { host: text.into(), why };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong("has a number of IPv6 without brackets"));
        }
        Self::new(host, port.parse().map_err(|_| wrong("has no port below 65,536"))?)
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        Self { host: Host::Number(address), port: address.port() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Number(address) => address.fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What was given is no host, or has no port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    host: Box<str>,
    why: &'static str,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.host, self.why)
    }
}

impl Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        for (given, spelt) in [
            ("Example.TEST:80", "example.test:80"),
            ("example.test.:80", "example.test.:80"),
            ("_service.test:80", "_service.test:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[0:0::1]:80", "[::1]:80"),
        ] {
            assert_eq!(given.parse::<Name>().expect(given).to_string(), spelt);
        }
        assert_eq!(Name::new("::1", 80), Name::new("[::1]", 80));
        let zoned: SocketAddr = "[fe80::1%2]:80".parse().expect("an address");
        assert_eq!(Name::from(zoned).number(), Some(zoned));
    }

    #[test]
    fn a_name_beyond_ascii_is_that_which_dns_has_or_an_error() {
        for given in ["bücher.example:1", "BÜCHER.example:1"] {
            let name = given.parse::<Name>().map(|name| name.to_string());
            if cfg!(feature = "idna") {
                assert_eq!(name.expect(given), "xn--bcher-kva.example:1");
            } else {
                assert!(name.expect_err(given).to_string().contains("`idna`"));
            }
        }
    }

    #[test]
    fn what_is_no_host_or_has_no_port_is_an_error_that_says_so() {
        let long = format!("{}.test:80", "a".repeat(64));
        let deep = format!("{}:80", "a.".repeat(130));
        for (given, why) in [
            ("", "has no port"),
            (":80", "is empty"),
            ("example.test", "has no port"),
            ("example.test:65536", "has no port below 65,536"),
            ("example.test:", "has no port below 65,536"),
            ("a b:80", "host name"),
            ("a/b:80", "host name"),
            ("user@host:80", "host name"),
            ("a..b:80", "no bytes"),
            ("::1:80", "without brackets"),
            (&long, "63"),
            (&deep, "253"),
        ] {
            let error = given.parse::<Name>().expect_err(given).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_port_of_a_uri_is_its_own_or_that_of_its_scheme() {
        let name = |uri: &str| Name::of_uri(&uri.parse().expect("a URI"));
        assert_eq!(name("http://a.test/x").unwrap().to_string(), "a.test:80");
        assert_eq!(name("https://a.test").unwrap().to_string(), "a.test:443");
        assert_eq!(name("https://[::1]:8443/").unwrap().to_string(), "[::1]:8443");
        assert!(name("/path").unwrap_err().to_string().contains("no host"));
        assert!(name("ftp://a.test/").unwrap_err().to_string().contains("scheme"));
        for uri in ["https://a.test:84433/", "http://a.test:8o80/", "http://[::1]:99999/"] {
            assert!(name(uri).unwrap_err().to_string().contains("port"), "{uri}");
        }
        assert_eq!(name("http://a.test:/").unwrap().to_string(), "a.test:80");
        let secret = name("wss://user:secret@a.test/?token=secret").unwrap_err();
        assert!(!format!("{secret} {secret:?}").contains("secret"), "{secret}");
    }

    #[test]
    fn localhost_and_what_lies_below_it_is_this_machine() {
        for (given, is_here) in [
            ("localhost:1", true),
            ("LOCALHOST.:1", true),
            ("app.localhost:1", true),
            ("notlocalhost:1", false),
            ("localhost.test:1", false),
            ("127.0.0.1:1", false),
        ] {
            assert_eq!(given.parse::<Name>().expect(given).is_localhost(), is_here, "{given}");
        }
    }
}
