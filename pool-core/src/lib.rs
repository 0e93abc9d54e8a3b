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

mod backoff;
mod body;
mod body_handle;
mod budget;
mod builder;
mod checkin;
mod checkout;
mod connection;
mod connector;
mod dial;
mod driver;
mod due;
mod error;
mod events;
mod evidence;
mod exchange;
mod faults;
mod head;
mod horizon;
mod host;
mod hosts;
mod http2;
mod idle;
mod info;
mod informational;
mod keep_alive;
mod kept;
mod lane;
mod lease;
mod lease_watch;
mod lent;
mod line;
mod linger;
mod message;
mod multiplex;
mod outgoing;
mod parked;
mod pool;
mod promise;
mod quarantine;
mod queue;
mod quiet;
mod ranking;
mod replay;
mod replayable;
mod request;
mod request_body;
mod resets;
mod resting;
mod retire;
mod retry;
mod reuse;
mod runner;
mod seat;
mod sending;
mod settings;
mod shared;
mod shared_body;
mod standing;
mod stats;
mod stream;
mod streams;
mod sync;
mod timers;
mod told;
mod unfinished;
mod upkeep;
mod waiting;
mod waker;
mod watcher;

pub use async_trait::async_trait;
pub use backoff::Backoff;
pub use body::Body;
pub use builder::Builder;
pub use checkout::Checkout;
pub use connector::{Connected, Connector, KernelCheck, Protocol, Target};
pub use error::{BuildError, Error, ErrorKind};
pub use events::{Event, Observer};
pub use evidence::{Evidence, Written};
pub use http2::Http2;
pub use info::ConnectionInfo;
pub use informational::on_informational;
pub use lease_watch::{LeaseWatch, OldLease};
pub use pool::Pool;
pub use replayable::ReplayableBody;
pub use request_body::RequestBody;
pub use reuse::{Reuse, reuse};
pub use stats::{Reason, Stats};
