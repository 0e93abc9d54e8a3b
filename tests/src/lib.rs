//! What the tests are made of: servers that misbehave on purpose, and callers that are watched.
//!
//! A test drives both ends itself, so that what happens, and in which order, stands in the test and not in
//! a scheduler: `server.accept().await`, `connection.read_request().await`, `connection.write(...).await`.
//! Nothing here waits for time to pass. What must hold: each wait ends, with a message, should the other
//! side never come ([`bounded()`]); ports are chosen by the system; nothing leaves the loopback.

mod backend;
mod backends_over;
mod bodies;
mod bounded;
mod caller;
mod certs;
mod connectors;
mod cut_http1;
mod cut_http2;
mod directory;
mod echo_server;
mod hyper_server;
mod leak;
mod many_addresses;
mod nginx;
mod protocol;
pub mod raw_http2;
mod scripted_http1;
mod scripted_http2;
mod steps;
mod tls;

pub use backend::{
    Acceptor, Backend, Duplex, Endpoint, MemoryConnector, SERVER_NAME, memory_endpoint,
    tcp_endpoint, trusting,
};
pub use backends_over::Loopback;
pub use bodies::{Feed, Gauge, Pattern, Pieces, Upload, feed};
pub use bounded::{bounded, eventually};
pub use caller::{Boxed, Caller, Settings, Whole, get, post, start, start_elsewhere, start_with};
pub use certs::{Authority, Issued, Valid};
pub use connectors::{
    Address, AnyConnector, AnyStream, Endless, Failing, Fate, Interrupted, NextRead, OverPath,
    Path, Probe, Watch,
};
pub use cut_http1::{Cut, CutHttp1, How};
pub use cut_http2::CutHttp2;
pub use directory::Directory;
pub use echo_server::EchoServer;
pub use hyper_server::HyperServer;
pub use leak::ends_idle;
pub use many_addresses::start_many_addresses;
pub use nginx::{Nginx, Served, Setup};
pub use protocol::{Protocol, start_hyper_server, start_protocol};
pub use scripted_http1::{Connection, Received, Server, answer};
pub use scripted_http2::{Http2Server, Stream};
pub use steps::{Lent, let_pass, longest_turn, poll_once, settle};
pub use tls::{Handshakes, counting_tls_endpoint, tls_endpoint};

/// The first program of the README of the repository.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
