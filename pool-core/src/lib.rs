//! The generic pool behind `pooled-fetch`: HTTP connections by address, over any stream.
//!
//! Depend on this crate if you write a library or bring a [`Connector`] of your own; an application over
//! TCP wants `pooled-fetch`. The pool knows no socket and no name: whoever calls it has resolved the
//! address and holds a request.
//!
//! # The way through
//!
//! ```text
//!  Pool::http(address, request)
//!       │
//!       ▼
//!     Hosts ──► Lane ── newest idle, proven alive ─────────┐     hosts, lane, idle
//!       ▲        │ none                                    │
//!       │        ▼                                         ▼
//!       │     queue ◄── Permit ──► Connector::connect ──► Lease  queue, waiting, dial
//!       │                                                  │ send (hyper)
//!       └────── not sent: the request comes back ──────────┤     pool
//!                                                          ▼
//!  Response<Body>  ◄──────────────────── Body { incoming, lease } body
//!                                             │
//!                    end of message: checkin ─┴─ early drop: unfinished, or discard(Reason)
//!                           │
//!                           ▼
//!                       Lane.idle             the only edge that points back; no map look-up
//! ```
//!
//! An open connection has no task. Whoever holds it drives it: the request, then the body. A runtime has
//! one task, its watcher, which looks after everything that nobody holds.
//!
//! # Words
//!
//! | | |
//! | --- | --- |
//! | check out, check in | take a connection from the idle store, return it |
//! | `Lease` | the one guard of a checked-out connection |
//! | [`Connector`], stream, `Connection` | opens; raw bytes; HTTP over them |
//! | idle, parked | at rest with its HTTP state; at rest as a bare stream |
//! | address, `Host`, `Lane` | the key; what the pool knows of one address; its part in one runtime |
//! | `Permit` | the right to open one connection |
//! | discard, [`Reason`] | a connection that must not come back, and why |
//! | stale | a reused connection that the peer had already given up |
//!
//! # Examples
//!
//! A pool over a connector of one's own, here a server in the same process:
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::service::service_fn;
//! use pool_core::{Connected, Connector, Pool, Target, async_trait};
//! use tokio::io::DuplexStream;
//!
//! struct InProcess;
//!
//! #[async_trait]
//! impl Connector for InProcess {
//!     type Address = &'static str;
//!     type Stream = DuplexStream;
//!
//!     async fn connect(&self, _: &&'static str) -> std::io::Result<Connected<DuplexStream>> {
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

mod builder;
mod conn;
mod connector;
mod exchange;
mod io;
mod lanes;
mod lifecycle;
mod policy;
mod pool;
mod report;
mod request;
mod settings;
mod sync;

pub use async_trait::async_trait;
pub use builder::Builder;
pub use connector::{Connected, Connector, KernelCheck, Protocol, Target};
pub use exchange::Body;
pub use pool::{Checkout, Pool};
pub use report::{
    ConnectionInfo, Error, ErrorKind, Event, Evidence, LeaseWatch, Observer, OldLease, Reason,
    Stats, Written,
};
pub use request::{ReplayableBody, RequestBody, Reuse, on_informational, reuse};
pub use settings::{Backoff, BuildError, Http2};
