//! An asynchronous HTTP client connection pool on tokio and hyper, keyed by address.
//!
//! You have resolved the address and hold an [`http::Request`](::http::Request). [`http()`] gives you the response over the best
//! connection there is: reused when it is truly alive, new when not. When the response body ends or is dropped, the connection
//! returns to the pool by itself.
//!
//! ```console
//! $ cargo add pooled-fetch http tokio --features tokio/macros,tokio/rt-multi-thread
//! ```
//!
//! ```no_run
//! use pooled_fetch::{BodyExt, FullBytes, http};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let request = http::Request::get("/").body(FullBytes::default())?;
//!     let response = http("127.0.0.1:8080".parse()?, request).await?;
//!     println!("{}", response.status());
//!     let page = response.into_body().collect().await?.to_bytes();
//!     println!("{} bytes", page.len()); // the connection is idle again, ready for the next request
//!     Ok(())
//! }
//! ```
//!
//! # Where to go from here
//!
//! **[The guide](guide)** has a chapter for each question: [bodies](guide::bodies), [timeouts](guide::timeouts),
//! [limits](guide::limits), [retries](guide::retries), [testing](guide::testing) and others. It begins with
//! [the first request](guide::first_request), and says how to [move](guide::moving) from another client, how this one
//! [compares](guide::comparison), what it [promises](guide::promises), and what it [costs](guide::costs).
//!
//! * [`http()`] is the whole interface for most; [`pool()`] is what lies behind it.
//! * A pool with settings of your own: [`Pool::builder`] over a [`TcpConnector`].
//! * Servers of every kind, by name, over TLS, behind Unix sockets and proxies: [addresses](guide::addresses).
//! * Another transport: implement [`Connector`]. Libraries should depend on [`pool_core`] alone.
//!
//! # Features
//!
//! None is on by default, and each only adds.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `tls`, `tls-aws-lc-rs` | `https`, `EndpointConnector`, and `pool_tls`, with the cryptography of ring or of aws-lc-rs |
//! | `platform-verifier` | certificates can be left to the operating system, beside one of these two |
//! | `hickory`, `idna` | names resolved in Rust; names beyond ASCII |
//! | `proxy` | `pool_tcp::ProxyConnector`: CONNECT, SOCKS5, absolute form; the PROXY protocol |
//! | `hyper-util`, `hyper-rustls` | `pool_tcp::ServiceConnector`: connectors of the hyper-util family |
//! | `tower`, `tonic` | a pool as services of tower; `GrpcChannel`, a transport of tonic |
//! | `tracing`, `metrics` | observers that tell spans and events, or durations, counts and gauges |

#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs says which feature or system an item needs

#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod endpoint;
#[cfg(feature = "tonic")]
mod grpc;
// Its programs are compiled with the features that they use.
#[cfg(all(doc, any(not(doctest), all(feature = "tls", feature = "tonic", feature = "tracing"))))]
pub mod guide;
mod http;
#[cfg(any(feature = "tls", feature = "tls-aws-lc-rs"))]
mod https;

/// For bodies: what reads one to its end, and what reads no more of it than it may. Here, so that a program that reads responses
/// needs no other crate, and none of another version.
#[doc(no_inline)]
pub use http_body_util::{BodyExt, Limited};

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

/// The program of the README of this crate.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
