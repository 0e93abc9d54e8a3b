//! What a lane does with HTTP/2 connections: lends their streams, the busiest first, and stores those without streams.
//!
//! What must hold: a connection that is in use stands in the list, an idle one in the idle store, and one that is
//! leaving in neither. Announce-then-check: a thread frees a stream, or learns of more, and then checks for waiters; a
//! request joins the queue, and then checks for a stream.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use tokio::time::Instant;

use super::idle_connection::IdleConnection;
use super::lane::Lane;
use super::lease::{Lease, StreamLease};
use super::wants::Offered;
use crate::conn::http2::Connection;
use crate::report::Reason;

impl Lane {
    /// A stream of the busiest connection that has room, so that connections which are no longer needed become idle.
    pub(super) fn take_stream(
        self: &Arc<Self>,
        suits: impl Fn(&Connection) -> bool,
    ) -> Option<StreamLease> {
        if !self.in_use.is_any() {
            return None;
        }
        let now = Instant::now();
        // A connection that is always in use never becomes idle, and so would never make way.
        let mut makes_way = self.count_and_must_make_way().then_some(Reason::Evicted);
        let mut list = self.in_use.lock();
        let mut leaving = Vec::new();
        let stream = loop {
            let Some(busiest) = list.busiest(&suits).cloned() else { break None };
            match busiest.used_up(now).or_else(|| makes_way.take()) {
                None => break Some(StreamLease::new(&busiest, self, Duration::ZERO)),
                Some(reason) => {
                    busiest.leave(reason);
                    list.remove(&busiest);
                    leaving.push(busiest);
                }
            }
        };
        // Before those that leave, which may close as they drop.
        drop(list);
        drop(leaving);
        stream
    }

    /// Uses a connection that was idle, if its server still allows streams.
    #[inline(never)]
    pub(super) fn use_idle(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        idle_for: Duration,
    ) -> Option<StreamLease> {
        let settings = self.settings();
        if settings.probe && idle_for >= settings.connection.http2.rested {
            connection.ask_kernel();
        }
        if connection.is_leaving() {
            connection.close(Reason::ClosedByPeer);
        } else if connection.has_room() {
            return Some(self.start_using(connection, idle_for));
        } else {
            self.in_use.lock().push(Arc::clone(connection));
            // It may have found room before it could be found here.
            self.room_found();
        }
        None
    }

    /// Uses a connection that was just opened, or has been idle for `idle_for`.
    pub(super) fn start_using(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        idle_for: Duration,
    ) -> StreamLease {
        let mut list = self.in_use.lock();
        let stream = StreamLease::new(connection, self, idle_for);
        if !connection.is_leaving() {
            list.push(Arc::clone(connection));
        }
        stream
    }

    /// Lends a stream to the request that has waited longest; gives it back if none accepts it.
    pub(super) fn lend(self: &Arc<Self>, stream: StreamLease) {
        if let Some(back) = self.offer(Lease::Stream(Box::new(stream))) {
            back.give_back();
        }
    }

    /// Lends streams to the waiters.
    pub(super) fn serve_streams(self: &Arc<Self>) {
        fence(Ordering::SeqCst);
        // Checked before a stream is taken, because to give one back leads here again.
        while self.queue.waiting() > 0
            && let Some(stream) = self.take_stream_for_waiter()
        {
            self.lend(stream);
        }
    }

    /// Whether a request tries this connection, which carries no other meanwhile.
    pub(super) fn tries(&self, connection: &Connection) -> bool {
        self.host().tries_idle() && self.host().is_tried(connection.id())
    }

    /// A stream that a waiter would take.
    fn take_stream_for_waiter(self: &Arc<Self>) -> Option<StreamLease> {
        self.take_stream(|connection| {
            let (id, fresh) = (connection.id(), connection.is_fresh());
            !self.tries(connection) && self.queue.would_take(Offered::Connection { id, fresh })
        })
    }

    /// A connection may have come to have room again: waiters have it, or it becomes idle.
    pub(super) fn room_found(self: &Arc<Self>) {
        self.serve_streams();
        self.tell_line();
        let unused = self.in_use.lock().take_unused();
        for connection in unused {
            self.store_http2(&connection, Instant::now());
        }
    }

    /// A stream has ended, or was not used.
    pub(super) fn stream_ended(self: &Arc<Self>, connection: &Arc<Connection>) {
        self.store_if(connection, Connection::close_stream);
        self.tell_line();
    }

    /// Without a limit no service has to wait.
    fn tell_line(&self) {
        if self.settings().limits_connections() {
            self.host().changes().tell();
        }
    }

    /// The dial of a connection has ended: from here on it may become idle.
    pub(super) fn opening_ended(self: &Arc<Self>, connection: &Arc<Connection>) {
        // Requests that have waited for this come first.
        self.serve_streams();
        self.store_if(connection, Connection::end_opening);
        self.tell_line();
    }

    /// Stores a connection if it is no longer in use, which is checked under the lock of the list.
    fn store_if(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        is_unused: impl FnOnce(&Connection) -> bool,
    ) {
        let mut list = self.in_use.lock();
        let is_unused = is_unused(connection);
        if is_unused {
            list.remove(connection);
        }
        drop(list);
        if is_unused && !connection.is_leaving() {
            self.store_http2(connection, Instant::now());
        }
        self.serve_streams();
    }

    fn store_http2(self: &Arc<Self>, connection: &Arc<Connection>, now: Instant) {
        let unfit = connection.used_up(now).or_else(|| self.closed_for());
        if let Some(reason) = unfit {
            return connection.close(reason);
        }
        if self.settings().keeps_nothing() {
            return connection.close(Reason::Evicted);
        }
        let sequence = self.pool().next_sequence();
        connection.become_idle(sequence);
        self.store(sequence, IdleConnection::http2(Arc::clone(connection), now));
        // Its task may have found out before the connection could be found here.
        if connection.is_leaving() {
            self.stop_using(connection, Reason::ClosedByPeer);
        }
        self.keep_max_idle();
        self.serve_from_idle(now);
    }

    /// The connection takes no further stream; streams that are open go on.
    pub(super) fn stop_using(&self, connection: &Arc<Connection>, reason: Reason) {
        connection.leave(reason);
        self.in_use.lock().remove(connection);
        let idle = self.taken_out(self.idle.take(connection.sequence()));
        if let Some(idle) = idle {
            self.note_idle_end(&idle, reason);
            idle.discard(reason);
        }
    }

    /// Has every connection that is in use end with its last stream.
    pub(super) fn leave_all(&self, reason: Reason) {
        let all = self.in_use.lock().take_all();
        for connection in all {
            connection.leave(reason);
        }
    }
}
