//! What the benches measure: one client in a process of its own, against a server in another.
//!
//! `cargo bench --package pooled-fetch-bench --bench budget`, or `closing`, or `probe`; `cargo xtask bench` for the
//! side-by-side run.
//!
//! A process is one [`Task`]; it prints its [`Figures`] as one line of JSON and ends. Nothing of what it is
//! compared with runs in it, so the time, the heap and the instructions of the process are those of the client.
//! `measured --client ours --at-once 64` starts a server by itself; a bench that watches a process with a tool
//! starts the [`Server`] beforehand and passes its address.

mod bare_hyper;
mod client;
mod figures;
mod heap;
mod kind;
mod load;
#[cfg(feature = "peers")]
mod other_clients;
mod ours;
mod place;
mod server;
mod service;
mod service_http1;
mod service_http2;
mod task;
#[cfg(feature = "peers")]
mod tls;
mod tools;

use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use pool_tcp::TcpConnector;

pub use figures::Figures;
pub use kind::Kind;
pub use server::Server;
pub use task::{Payload, Protocol, Task, Way};
pub use tools::{Missing, Programs, require};

use bare_hyper::{BareHttp1, BareHttp2, Tcp, Transport};
use client::{BareSocket, Error, Loop, Outgoing};
use load::run;
use ours::{Opens, Ours};

/// The `main` of a measured program. With `counted`, a dhat profiler must be running.
#[must_use]
pub fn main(counted: bool) -> ExitCode {
    match command(counted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command(counted: bool) -> Result<(), Error> {
    if service::serve_if_asked()? {
        return Ok(());
    }
    let task = Task::from_arguments(lexopt::Parser::from_env())?;
    let figures = match task.payload {
        Payload::Up(_) => sending::<Full<Bytes>>(&task, counted),
        Payload::Small | Payload::Down(_) => sending::<Empty<Bytes>>(&task, counted),
    }?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// With request bodies of one type, so that no client pays for another.
fn sending<B: Outgoing>(task: &Task, counted: bool) -> Result<Figures, Error> {
    match task.protocol {
        Protocol::Http1 | Protocol::Http2 => over::<Tcp, TcpConnector, B>(task, counted),
        #[cfg(feature = "peers")]
        Protocol::Http1OverTls | Protocol::Http2OverTls => {
            over::<tls::Tls, pool_tls::TlsConnector<TcpConnector>, B>(task, counted)
        }
    }
}

fn over<T: Transport, C: Opens, B: Outgoing>(task: &Task, counted: bool) -> Result<Figures, Error> {
    match task.client {
        Kind::Loop => run::<Loop>(task, counted),
        Kind::BareSocket => run::<BareSocket>(task, counted),
        Kind::BareHyper if task.protocol.is_http2() => run::<BareHttp2<T, B>>(task, counted),
        Kind::BareHyper => run::<BareHttp1<T, B>>(task, counted),
        Kind::Ours | Kind::OursUnprobed => run::<Ours<C, B>>(task, counted),
        #[cfg(feature = "peers")]
        Kind::HyperUtil => run::<other_clients::HyperUtil<B>>(task, counted),
        #[cfg(feature = "peers")]
        Kind::OldCrate => run::<other_clients::OldCrate>(task, counted),
        #[cfg(feature = "peers")]
        Kind::Pingora => run::<other_clients::Pingora>(task, counted),
        #[cfg(feature = "peers")]
        Kind::Reqwest => run::<other_clients::Reqwest>(task, counted),
    }
}
