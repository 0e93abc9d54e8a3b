//! The key of the pool behind TLS: where the bytes go, and which server they are for.
//!
//! Two requests for equal addresses may share a connection, so the name must be part of the key: a
//! connection that was verified for one name must never carry a request meant for another.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// An inner address, the name that the server there must prove, and the identity of the client.
///
/// | two addresses that differ in | share connections | because |
/// | --- | --- | --- |
/// | the inner address | no | they may be different machines |
/// | the server name | no | the certificate was verified for one name only, and SNI chose the site |
/// | the identity | no | the server may have let one in for its client certificate, and not the other |
/// | upper and lower case of the name | yes | DNS names are the same in any case |
/// | a dot at the end of the name | no | certificates are compared without it, but the `Host` is not |
/// | a name and the IP address it stands for | no | they are verified against different entries |
///
/// Everything else of the configuration belongs to the connector, so it is the same for all addresses of one pool
/// that have no [identity](Self::with_identity) of their own.
///
/// The `Debug` text, which names the peer in every error, is short: `example.org (127.0.0.1:443)`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsAddress<A> {
    inner: A,
    server_name: ServerName<'static>,
    identity: Option<Identity>,
}

/// A configuration for some addresses alone: a client certificate, other roots, other protocols.
///
/// Two identities are the same if they are clones of one.
///
/// # Examples
///
/// ```
/// use pool_tls::{Identity, rustls::ClientConfig};
///
/// fn identity(config: ClientConfig) -> Identity {
///     Identity::new(config).with_tickets_by_address()
/// }
/// # drop(identity);
/// ```
// Behind a trait, because neither equality nor hash look inside: with the type in sight, lints would warn wherever an
// address is a key.
#[derive(Clone)]
pub struct Identity(Arc<dyn Configured>);

trait Configured: Send + Sync {
    fn config(&self) -> &Arc<ClientConfig>;
    fn tickets_by_address(&self) -> bool;
}

struct Configuration {
    config: Arc<ClientConfig>,
    tickets_by_address: bool,
}

impl Configured for Configuration {
    fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    fn tickets_by_address(&self) -> bool {
        self.tickets_by_address
    }
}

impl Identity {
    /// An identity by its configuration, which is used as it is, its session store included.
    pub fn new(config: ClientConfig) -> Self {
        Self(Arc::new(Configuration { config: Arc::new(config), tickets_by_address: false }))
    }

    /// Another identity with the same configuration, but a session store of its own for each address, as
    /// [`Builder::tickets_by_address`](crate::Builder::tickets_by_address) has it: the store of the configuration is not
    /// used, and sessions are resumed also where it would not have it.
    #[must_use]
    pub fn with_tickets_by_address(self) -> Self {
        let config = Arc::clone(self.config());
        Self(Arc::new(Configuration { config, tickets_by_address: true }))
    }

    pub(crate) fn tickets_by_address(&self) -> bool {
        self.0.tickets_by_address()
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        self.0.config()
    }

    fn id(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds keys.
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl<A> TlsAddress<A> {
    /// The server at `inner`, which must prove to be `server_name`.
    pub fn new(inner: A, server_name: ServerName<'static>) -> Self {
        Self { inner, server_name, identity: None }
    }

    /// The same server, with a client identity other than the connector's own.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Where the bytes go.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    /// The name that the server there must prove.
    pub fn server_name(&self) -> &ServerName<'static> {
        &self.server_name
    }

    /// The identity of the client, if it is not the connector's own.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

impl<A: fmt::Debug> fmt::Debug for TlsAddress<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.server_name.to_str(), self.inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::SocketAddr;

    use super::*;

    fn address(inner: &str, name: &'static str) -> TlsAddress<SocketAddr> {
        TlsAddress::new(inner.parse().unwrap(), ServerName::try_from(name).unwrap())
    }

    #[test]
    fn peers_are_the_same_when_address_and_name_are() {
        let known = address("127.0.0.1:443", "example.org");
        assert_eq!(known, address("127.0.0.1:443", "example.org"));
        assert_ne!(known, address("127.0.0.1:444", "example.org"));
        assert_ne!(known, address("127.0.0.1:443", "example.com"));
        assert_ne!(known, address("127.0.0.1:443", "127.0.0.1"));
    }

    #[test]
    fn the_case_of_a_name_makes_no_second_peer() {
        let peers = HashSet::from([
            address("127.0.0.1:443", "example.org"),
            address("127.0.0.1:443", "Example.ORG"),
        ]);
        assert_eq!(peers.len(), 1);
    }

    #[test]
    fn the_debug_text_names_the_server_and_where_it_is() {
        let named = address("127.0.0.1:443", "example.org");
        assert_eq!(format!("{named:?}"), "example.org (127.0.0.1:443)");
        let bare = address("[::1]:443", "::1");
        assert_eq!(format!("{bare:?}"), "::1 ([::1]:443)");
    }
}
