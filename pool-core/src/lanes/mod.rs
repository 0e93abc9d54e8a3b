//! The connections of one address in one runtime: idle, waited for, looked after; and the map of addresses.
//!
//! This layer may import `conn`, `policy`, `report`, `settings`, `request` (only `DefaultTarget` and `StreamHold`),
//! `io`, `connector` and `sync`. It must not know how a lease is used, nor responses.
//!
//! | file | what it is |
//! | --- | --- |
//! | `hosts` | the map of addresses; the only `DashMap` |
//! | `acquire` | how a request gets a lease |
//! | `any` | how a request gets a lease at any of several addresses |
//! | `lane` | the connections of one host that one runtime drives |
//! | `lease` | the guards of what a request is lent: a connection, or a stream of a shared one |
//! | `held` | a connection that its caller holds for several requests |
//! | `checkout`, `checkin` | an idle connection becomes a lease; a connection goes to a waiter, or becomes idle |
//! | `idle` | the idle store; the only `SkipMap` |
//! | `idle_connection` | what the store holds: a connection with HTTP state, or parked |
//! | `wait_queue`, `wants` | requests that wait, first in, first out; what they want |
//! | `line`, `position` | services that ask whether they may be called; when it is their turn |
//! | `wait` | places in that queue, and what their dials have opened |
//! | `dials`, `under_way`, `cover` | when a lane dials for its waiters; the dials that it has begun; which waiters they are for |
//! | `dial`, `opening` | the task that opens a connection; HTTP over the stream that it has opened |
//! | `race` | opening a stream to one of the socket addresses behind a name |
//! | `streams`, `in_use` | HTTP/2: lends streams, the busiest connection first; the list of these |
//! | `maintenance` | what the watcher and the limits do to idle connections |
//! | `watcher` | the one background task of a pool in a runtime |
//!
//! `exchange` takes leases and sends over them; `pool` and `lifecycle` take `Hosts`.

mod acquire;
mod any;
mod checkin;
mod checkout;
mod cover;
mod dial;
mod dials;
mod held;
mod hosts;
mod idle;
mod idle_connection;
mod in_use;
mod lane;
mod lease;
mod line;
mod maintenance;
mod opening;
mod position;
mod race;
mod streams;
mod under_way;
mod wait;
mod wait_queue;
mod wants;
mod watcher;

pub(crate) use acquire::take_idle;
pub(crate) use any::Candidates;
pub(crate) use checkout::Trust;
pub(crate) use held::Held;
pub(crate) use hosts::Hosts;
pub(crate) use lease::{ConnectionLease, Lease, StreamLease, Unused};
pub(crate) use position::Position;
pub(crate) use wants::{Needs, Wants};
