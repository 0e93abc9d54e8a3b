//! The generic pool behind `pooled-fetch`: HTTP connections by address, over any stream.
//!
//! Depend on this crate if you write a library or bring a [`Connector`] of your own; an application over TCP wants
//! `pooled-fetch`. The pool knows no socket and no name: the caller has resolved the address and holds a request.
//!
//! # The way through
//!
//! ```text
//!  Pool::http(address, request)
//!       │
//!       ▼
//!     Hosts ──► Lane ── newest idle, proven alive ─────────┐     lanes
//!       ▲        │ none                                    │
//!       │        ▼                                         ▼
//!       │     queue ◄── Permit ──► Connector::connect ──► Lease  lanes, policy
//!       │                                                  │ send (hyper)
//!       └────── not sent, or safe to repeat: it comes back ┤     exchange, conn
//!                                                          ▼
//!  Response<Body>  ◄──────────────────── Body { incoming, lease } exchange
//!                                             │
//!                    end of message: checkin ─┴─ early drop: drain, or discard(Reason)
//!                           │
//!                           ▼
//!             a waiter, or Lane.idle         the only edge that points back; no map look-up
//! ```
//!
//! An open HTTP/1 connection has no task: the request drives it, then the response body. An HTTP/2 connection has one
//! task, because many requests share it. A pool has one task in each runtime, its watcher, which looks after idle
//! connections and finishes requests whose callers do not wait.
//!
//! # Words
//!
//! | | |
//! | --- | --- |
//! | check out, check in | take a connection from the idle store, return it |
//! | `Lease` | the one guard of a checked-out connection |
//! | [`Connector`], stream, `Connection` | opens; raw bytes; HTTP over them |
//! | idle, parked | in the idle store, with its HTTP state; there as a bare stream |
//! | address, `Host`, `Lane` | the key; what the pool knows of one address; its part in one runtime |
//! | `Permit` | the right to open one connection, then the count of it |
//! | discard, [`Reason`] | a connection that must not come back, and why |
//! | stale | a reused connection that the peer had already given up |
//!
//! # Examples
//!
//! A pool over a connector of your own, here to a server in the same process:
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::service::service_fn;
//! use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};
//! use tokio::io::DuplexStream;
//!
//! struct InProcess;
//!
//! #[async_trait]
//! impl Connector for InProcess {
//!     type Address = &'static str;
//!     type Stream = DuplexStream;
//!
//!     async fn connect(&self, _: &&'static str, _: &ConnectOptions) -> std::io::Result<Connected<DuplexStream>> {
//!         let (ours, theirs) = tokio::io::duplex(16 * 1024);
//!         let greet = service_fn(|_| async {
//!             Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from("hello")))
//!         });
//!         let theirs = hyper_util::rt::TokioIo::new(theirs);
//!         tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(theirs, greet));
//!         Ok(Connected::new(ours))
//!     }
//!
//!     fn target(&self, name: &&'static str) -> Target {
//!         Target::http(http::uri::Authority::from_static(name))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let pool = Pool::new(InProcess);
//! for _ in 0..3 {
//!     let request = Request::get("/").body(Empty::new())?;
//!     let response = pool.http(&"greeter", request).await?;
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! }
//! let stats = pool.stats();
//! assert_eq!((stats.opened, stats.reused, stats.idle), (1, 2, 1));
//! # Ok(()) }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))] // docs.rs says which feature or system an item needs

mod builder;
mod conn;
mod connector;
mod exchange;
mod io;
mod lanes;
mod lifecycle;
mod observers;
mod policy;
mod pool;
mod report;
mod request;
mod services;
mod settings;
mod sync;

pub use async_trait::async_trait;
pub use builder::{AddressSettings, Builder};
pub use connector::{
    ConnectOptions, Connected, Connector, Fault, KernelCheck, Partitioned, Protocol, Resolved,
    Resolving, Tagged, Target,
};
pub use exchange::{Body, upgrade};
pub use lifecycle::Closing;
#[cfg(feature = "metrics")]
pub use observers::MetricsObserver;
#[cfg(feature = "tracing")]
pub use observers::TracingObserver;
pub use observers::{LeaseWatch, OldLease};
pub use pool::{Checkout, Held, Pool};
pub use report::{
    Carried, ConnectionInfo, Error, ErrorKind, Event, Evidence, Follower, Observer, Reason,
    RequestEvent, ServerInfo, Stats, Written,
};
pub use request::{
    Http10, LeastRate, ReplayableBody, RequestBody, Reuse, body_timeout, deadline,
    extended_connect, http1_only, least_rate, on_informational, response_timeout, reuse,
    total_timeout,
};
#[cfg(feature = "tower")]
pub use services::{PoolService, To};
pub use services::{ResponseFuture, ToAddress};
pub use settings::{Backoff, BuildError, Http2};
