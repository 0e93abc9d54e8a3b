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
//! [`TlsConnector::with_config`] whatever the verifier of the caller's configuration trusts. The roots of
//! the operating system are never read.
//!
//! # Which protocol is offered?
//!
//! The configurations made here offer `http/1.1` in ALPN and nothing else, so that no server starts to
//! speak HTTP/2 to a pool that would not understand it. A configuration of the caller's is used as it is;
//! should the server then choose another protocol than `http/1.1`, the connection is refused before a
//! request is written. A server that knows no ALPN is spoken to in HTTP/1.1.
//!
//! # Why does the address carry a name as well?
//!
//! The inner address says where the bytes go, the [`ServerName`] whom they are for: it is sent as SNI,
//! it is what the certificate is verified against, and it stands in the `Host` of a request that brings
//! none. The two are independent, so a gateway can speak to one backend of `example.org` by its address
//! and still verify that it is `example.org`. [`TlsAddress`] lists what makes two peers the same.
//!
//! # Which cryptography is used?
//!
//! ring, named explicitly. The provider that a process may have installed as its default is neither read
//! nor set; a caller who wants another one brings it in a configuration.
//!
//! # Is a truncated answer noticed?
//!
//! Yes. A body that ends with the connection must end with TLS's own farewell (`close_notify`); where the
//! connection just ends, the body ends in an error. In the other direction, a connection that the pool closes
//! says farewell too, if its socket takes it at once: connections close where nobody could wait for it. What
//! a cancelled request had not sent by then is not sent, and then no farewell follows it.

mod address;
mod config;
mod connector;
mod stream;

pub use rustls;
pub use rustls::pki_types::ServerName;

pub use address::TlsAddress;
pub use connector::TlsConnector;
pub use stream::TlsStream;
