//! How many connections there may be, and how requests wait for one.

mod connections;
mod fairness;
mod idle;
mod patience;
mod queue;

use pooled_fetch_tests::{Caller, Connection, Server, answer, get};

/// A connection that has served once, and rests.
pub(crate) async fn idle(caller: &Caller, server: &mut Server) -> Connection {
    server.open(caller.fetch(get("/")), answer("once")).await.0
}
