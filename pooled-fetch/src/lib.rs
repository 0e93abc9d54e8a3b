//! An asynchronous HTTP client connection pool keyed by address: one function over a default pool, and all that is needed for
//! one of your own.
//!
//! You have resolved the address yourself and hold an `http::Request`. [`http()`] gives you the response over the best
//! connection there is: reused when it is truly alive, new when not. When the response body ends or is dropped, the connection
//! returns to the pool by itself.
//!
//! ```
//! use pooled_fetch::{FullBytes, http};
//!
//! async fn status() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let request = http::Request::get("/").body(FullBytes::default())?;
//!     let response = http("127.0.0.1:8080".parse()?, request).await?;
//!     println!("{}", response.status());
//!     Ok(()) // the connection is idle again, ready for the next request to this address
//! }
//! # drop(status);
//! ```
//!
//! # Where to go from here
//!
//! * [`http()`] is the whole interface for most; [`pool()`] is what lies behind it.
//! * A pool with settings of your own: [`Pool::builder`] over a [`TcpConnector`].
//! * Unix sockets: a pool over `UnixConnector`, on systems that have them.
//! * HTTPS: `https`, with the feature `tls`, or with `tls-aws-lc-rs` for other cryptography. With `platform-verifier` beside it
//!   a pool of your own can leave certificates to the operating system.
//! * Names, TLS and Unix sockets in one pool: `EndpointConnector`, with the feature `tls`.
//! * A connector of the hyper-util family (its own, hyper-rustls', hyperlocal's): `pool_tcp::ServiceConnector`, with the
//!   feature `hyper-util`, and `hyper-rustls` for the latter.
//! * A proxy (HTTP CONNECT, requests in absolute form, SOCKS5, the PROXY protocol): `pool_tcp::ProxyConnector`, with the
//!   feature `proxy`.
//! * Services of tower: [`Pool::to`] and `Pool::service`, with the feature `tower`; transports of tonic: `GrpcChannel`, with
//!   `tonic`.
//! * Another transport: implement [`Connector`]. Libraries should depend on [`pool_core`] alone.

#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs says which feature or system an item needs

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod endpoint;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod https;

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub use self::endpoint::{Endpoint, EndpointConnector, EndpointError, EndpointStream};
#[cfg(feature = "tonic")]
pub use self::grpc::{GrpcBody, GrpcChannel, GrpcFuture, grpc_status};
pub use self::http::{http, pool};
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
pub use self::https::{https, tls_pool};
#[doc(no_inline)]
pub use pool_core;
#[doc(inline)]
pub use pool_core::{
    Body, BuildError, Builder, ConnectOptions, Connected, Connector, Error, ErrorKind, Evidence,
    Http2, Pool, Reason, ResponseFuture, Stats, Target, ToAddress,
};
#[cfg(feature = "tower")]
#[doc(inline)]
pub use pool_core::{PoolService, To};
#[doc(no_inline)]
pub use pool_tcp;
#[doc(inline)]
pub use pool_tcp::{Name, NamesConnector, TcpConnector};
#[cfg(unix)]
#[doc(inline)]
pub use pool_tcp::{UnixAddress, UnixConnector};
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
#[doc(no_inline)]
pub use pool_tls;

/// A request body whose content is all at hand.
pub type FullBytes = http_body_util::Full<bytes::Bytes>;

/// Not the documentation of the crate, whose pages have neither its images nor the documents that it links to; but what it
/// shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
