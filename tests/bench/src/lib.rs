//! What the benches measure: one client in a process of its own, against a server in another.
//!
//! `cargo bench --package pooled-fetch-bench --bench budget`, or `closing`, or `probe`; `cargo xtask bench` for the
//! side-by-side run.
//!
//! A process is one [`Task`]; it prints its [`Figures`] as one line of JSON and ends. Nothing of what it is
//! compared with runs in it, so the time, the heap and the instructions of the process are those of the client.
//! `measured --client ours --at-once 64` starts a server by itself; a bench that watches a process with a tool
//! starts the [`Server`] beforehand and passes its address.

mod client;
mod figures;
mod heap;
mod load;
#[cfg(feature = "peers")]
mod other_clients;
mod server;
mod task;
#[cfg(feature = "peers")]
mod tls;
mod tools;

use std::process::ExitCode;

pub use figures::Figures;
pub use server::Server;
pub use task::{Kind, Task, Way};
pub use tools::{Missing, Programs, require};

use client::{BareHyper, BareSocket, Error, Loop, Ours};

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
    if server::serve_if_asked()? {
        return Ok(());
    }
    let task = Task::from_arguments(lexopt::Parser::from_env())?;
    #[cfg(feature = "peers")]
    if task.way == Way::OpeningOverTls {
        let figures = match task.client {
            Kind::BareHyper => load::run::<tls::BareHyperTls>(&task, counted),
            Kind::Ours => load::run::<tls::OursTls>(&task, counted),
            Kind::HyperUtil => load::run::<other_clients::HyperUtil>(&task, counted),
            Kind::Reqwest => load::run::<other_clients::Reqwest>(&task, counted),
            other => Err(format!("{other} is not measured over TLS").into()),
        }?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    let figures = match task.client {
        Kind::Loop => load::run::<Loop>(&task, counted),
        Kind::BareSocket => load::run::<BareSocket>(&task, counted),
        Kind::BareHyper => load::run::<BareHyper>(&task, counted),
        Kind::Ours | Kind::OursUnprobed => load::run::<Ours>(&task, counted),
        #[cfg(feature = "peers")]
        Kind::HyperUtil => load::run::<other_clients::HyperUtil>(&task, counted),
        #[cfg(feature = "peers")]
        Kind::OldCrate => load::run::<other_clients::OldCrate>(&task, counted),
        #[cfg(feature = "peers")]
        Kind::Pingora => load::run::<other_clients::Pingora>(&task, counted),
        #[cfg(feature = "peers")]
        Kind::Reqwest => load::run::<other_clients::Reqwest>(&task, counted),
    }?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
