//! What the tests are made of: servers that misbehave on purpose, and callers that are watched.
//!
//! A test drives both ends itself, so that what happens, and in which order, stands in the test and not in
//! a scheduler: `server.accept().await`, `connection.read_request().await`, `connection.write(...).await`.
//! Nothing here waits for time to pass. What must hold: each wait ends, with a message, should the other
//! side never come ([`bounded()`]); ports are chosen by the system; nothing leaves the loopback.

mod backend;
mod bodies;
mod bounded;
mod caller;
mod certs;
#[cfg(feature = "paused-time")]
mod cut_http2;
mod failing;
mod http2;
mod interrupted;
mod leak;
#[cfg(feature = "bench")]
pub mod measured;
mod nginx;
mod probe;
mod protocol;
mod server;
mod service;
mod several;
mod site;
mod steps;
mod tls;
mod wire;

pub use backend::{
    Acceptor, Backend, Duplex, Endpoint, Memory, MemoryConnector, SERVER_NAME, Tcp, Tls,
};
pub use bodies::{Feed, Gauge, Pattern, Pieces, Upload, feed};
pub use bounded::{bounded, eventually};
pub use caller::{Address, Caller, Whole, get, post, start, start_elsewhere, start_with};
pub use certs::{Authority, Issued, Valid};
#[cfg(feature = "paused-time")]
pub use cut_http2::{CutHttp2, CutStream};
pub use failing::{Failing, FailingStream};
pub use http2::{Http2Server, Stream};
pub use interrupted::{Interrupted, InterruptedStream, NextRead};
pub use leak::ends_at_rest;
pub use nginx::{Nginx, Served, Setup};
pub use probe::{Probe, ProbeStream, Watch};
pub use protocol::{
    H2c, MemoryHttp1, MemoryHttp2, Negotiated, OneAtATime, PriorKnowledge, Protocol, TcpHttp1,
    TlsHttp1, TlsHttp2, TlsOfBoth, start_site,
};
pub use server::{Connection, Received, Server, answer};
pub use service::Service;
pub use several::{Several, SeveralConnector, start_several};
pub use site::Site;
pub use steps::{Lent, let_pass, poll_once, settle};
pub use tls::{Handshakes, counting_tls_endpoint, tls_endpoint};
pub use wire::{Cut, How, Wire, Wires};
