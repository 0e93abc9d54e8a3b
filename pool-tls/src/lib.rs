//! TLS for the pool: [`TlsConnector`] wraps any other [`Connector`](pool_core::Connector) in rustls.
//!
//! It is a crate of its own so that a pool in the clear compiles no cryptography, and it wraps a
//! connector instead of opening sockets so that TLS over Unix sockets, tunnels or memory costs nothing
//! extra. What must hold: a request leaves only over a stream whose certificate was verified for the
//! server name of its address.
//!
//! ```
//! use std::error::Error;
//! use std::net::SocketAddr;
//!
//! use http::Request;
//! use pool_core::Pool;
//! use pool_tcp::TcpConnector;
//! use pool_tls::{ServerName, TlsAddress, TlsConnector};
//!
//! async fn fetch(address: SocketAddr) -> Result<(), Box<dyn Error + Send + Sync>> {
//!     let pool = Pool::new(TlsConnector::new(TcpConnector::new()));
//!     let address = TlsAddress::new(address, ServerName::try_from("example.org")?);
//!     let response = pool.http(&address, Request::get("/").body(String::new())?).await?;
//!     println!("{}", response.status());
//!     Ok(())
//! }
//! # drop(fetch);
//! ```
//!
//! # Which roots are trusted?
//!
//! With [`TlsConnector::new`], Mozilla's, compiled in from the `webpki-roots` package: the same on every
//! machine, and as old as the build. [`TlsConnector::with_roots`] trusts exactly the roots it is given,
//! [`TlsConnector::with_config`] whatever the verifier of the caller's configuration trusts. The operating system is asked
//! only by `Builder::platform_verifier`, with the feature `platform-verifier`.
//!
//! # Which protocol is offered?
//!
//! `h2` and `http/1.1` in ALPN, and the pool speaks what the server chooses; a server that knows no ALPN is spoken to
//! in HTTP/1.1. [`Builder::http2`], or a pool that is set not to speak HTTP/2, leaves `h2` out. A configuration of the
//! caller's is used as it is; should the server then choose anything else, the connection is refused before a
//! request is written.
//!
//! # Are sessions resumed?
//!
//! Yes, and the tickets of each address are kept apart, so that each of many backends behind one name is offered its
//! own. They go when the pool forgets the address. A configuration of the caller's, and that of an [`Identity`], keeps
//! its own store, which may be none, unless [`TlsConnector::with_tickets_by_address`] or
//! [`Identity::with_tickets_by_address`] says otherwise.
//!
//! # What is known of a connection?
//!
//! [`TlsFacts`]: the certificates of the server, the version, the cipher suite, ALPN, and whether the session was resumed;
//! with each response, and before the first request to [`Builder::check_server`], which may refuse the server.
//!
//! # Why does the address carry a name as well?
//!
//! The inner address says where the bytes go, the [`ServerName`] which server they are for. The name is sent as SNI,
//! the certificate is verified against it, and it stands in the `Host` of a request that brings none. The two are
//! independent, so a gateway can speak to one backend of `example.org` by its address and still verify that it is
//! `example.org`. [`TlsAddress`] lists what makes two peers the same.
//!
//! # Which cryptography is used?
//!
//! ring by default, because it builds with a C compiler alone; aws-lc-rs with the feature of that name and without the
//! default features. It is named explicitly: the provider that a process may have installed as its default is neither
//! read nor set. [`TlsConnector::builder_with_provider`] takes any other.
//!
//! # Is a truncated answer noticed?
//!
//! Yes. A body that ends with the connection must end with TLS's own `close_notify`; where the connection just ends,
//! the body ends in an error. In the other direction, a connection that the pool closes sends `close_notify` too, if
//! its socket takes it at once: connections close where no task could wait for it. What a cancelled request had not
//! sent by then is not sent, and no `close_notify` follows it.

#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs says which feature or system an item needs

mod address;
mod builder;
mod config;
mod connector;
mod error;
mod facts;
mod known;
mod options;
mod sessions;
mod stream;
mod wire;

pub use rustls;
pub use rustls::pki_types::ServerName;

pub use address::{Identity, TlsAddress};
pub use builder::Builder;
pub use connector::TlsConnector;
pub use error::HandshakeError;
pub use facts::TlsFacts;
pub use stream::TlsStream;
