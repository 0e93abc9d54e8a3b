//! The right to open one connection; afterwards the count of it.
//!
//! What must hold: a connection exists only with a [`Permit`], and what a permit counts is given back when it drops,
//! whatever path led there; then the members that were refused for it are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;
use super::runtime::Runtime;
use crate::report::{Event, Reason};

#[derive(Debug)]
pub(crate) struct Permit {
    host: Arc<Host>,
    runtime: Arc<Runtime>,
    /// The connection, and why it closes; none while it is being opened.
    connection: Option<(u64, Reason)>,
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The watcher of the runtime has gone.
    WatcherGone,
    AddressFull,
    PoolFull,
}

impl Permit {
    /// A permit for a connection to `host` that is about to be opened in `runtime`.
    pub(crate) fn new(host: &Arc<Host>, runtime: &Arc<Runtime>) -> Result<Self, Refusal> {
        if !runtime.stay() {
            return Err(Refusal::WatcherGone);
        }
        if !host.add_open() {
            runtime.leave();
            return Err(Refusal::AddressFull);
        }
        if !host.pool().add_open() {
            host.remove_open();
            runtime.leave();
            return Err(Refusal::PoolFull);
        }
        host.counters().opening();
        Ok(Self { host: Arc::clone(host), runtime: Arc::clone(runtime), connection: None })
    }

    /// The connection is open; gives its id. Unless a reason is given before it closes, its request was cancelled.
    pub(crate) fn opened(&mut self, took: Duration) -> u64 {
        let id = self.host.pool().next_connection_id();
        self.host.counters().opening_ended();
        self.host.counters().opened();
        self.connection = Some((id, Reason::Cancelled));
        self.host.tell(|| Event::Opened { id, took });
        id
    }

    /// The connection is about to close, for `why`.
    pub(crate) fn set_reason(&mut self, why: Reason) {
        if let Some((_, reason)) = &mut self.connection {
            *reason = why;
        }
        if why == Reason::Unsolicited {
            self.host.note_unsolicited(Instant::now());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.connection {
            Some((id, reason)) => {
                self.host.counters().closed(reason);
                self.host.tell(|| Event::Closed { id, reason });
            }
            None => self.host.counters().opening_ended(),
        }
        self.host.pool().remove_open();
        self.host.remove_open();
        self.host.notify_if_vacated();
        self.runtime.leave();
        self.host.offer_room();
    }
}
