//! The one task of an HTTP/2 connection, and what it reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::connection::Connection;
use super::driver::{DriverCell, Polled, UNSAID};
use super::signs::{Signs, Verdict};
use super::wire::Wire;
use crate::report::Reason;

/// How long a connection that is over may take to write its last frames, as long as nginx waits for a client that it
/// has told to go. A server that has closed its side and reads no more would otherwise keep the connection, and its
/// place within a limit, for as long as it likes.
const LAST_FRAMES: Duration = Duration::from_secs(5);

/// Is told what changes about the streams of a connection.
pub(crate) trait StreamWatch: Send + Sync {
    /// The connection takes no further stream.
    fn leaving(&self, connection: &Arc<Connection>);

    /// More streams can be had than before.
    fn more_streams(self: Arc<Self>);
}

/// Ends when nothing is left of the connection, or when a thread has closed it.
pub(super) struct Task {
    cell: Arc<DriverCell>,
    wire: Arc<Wire>,
    signs: Signs,
    connection: Weak<Connection>,
    watch: Weak<dyn StreamWatch>,
    last_frames: Option<Pin<Box<Sleep>>>,
}

impl Task {
    pub(super) fn start(
        cell: Arc<DriverCell>,
        wire: Arc<Wire>,
        signs: Signs,
        connection: &Arc<Connection>,
        watch: Weak<dyn StreamWatch>,
    ) {
        let connection = Arc::downgrade(connection);
        let task =
            Self { cell: Arc::clone(&cell), wire, signs, connection, watch, last_frames: None };
        cell.set_task(tokio::spawn(task).abort_handle());
    }

    /// Reports what a poll has changed. False if the connection is to close.
    fn report(&mut self, streams: usize, cx: &mut Context<'_>) -> bool {
        let before = self.cell.set_streams(streams);
        let Some(connection) = self.connection.upgrade() else {
            return !self.is_over(None, cx);
        };
        let is_doubted = connection.is_doubted();
        let in_use = connection.open_streams() > 0;
        let verdict = self.signs.poll(cx, &self.wire, is_doubted, in_use);
        if verdict == Verdict::Dead {
            self.cell.closing(Reason::TimedOut);
            return false;
        }
        if connection.keeps_only_unopened() {
            connection.allow_none();
            self.cell.closing(Reason::Unsuitable);
            return false;
        }
        if connection.is_leaving() {
            self.cell.notify_changed();
            if let Some(watch) = self.watch.upgrade() {
                watch.leaving(&connection);
            }
            return !self.is_over(Some(&connection), cx);
        }
        let trusted = is_doubted && verdict == Verdict::Alive;
        if trusted {
            connection.trust();
        }
        if (trusted || before == UNSAID || streams > before)
            && let Some(watch) = self.watch.upgrade()
        {
            watch.more_streams();
        }
        true
    }

    /// Whether only last frames are left, and have had their time.
    fn is_over(&mut self, connection: Option<&Arc<Connection>>, cx: &mut Context<'_>) -> bool {
        if connection.is_some_and(|connection| connection.open_streams() > 0) {
            self.last_frames = None;
            return false;
        }
        let sleep = self.last_frames.get_or_insert_with(|| Box::pin(sleep(LAST_FRAMES)));
        sleep.as_mut().poll(cx).is_ready()
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Polled { streams }) = self.cell.poll(cx) else { return Poll::Ready(()) };
        if self.report(streams, cx) { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.wire.is_flooded() {
            self.cell.closing(Reason::Flooded);
        }
        // First: those whose streams end with it look for another connection.
        if let (Some(connection), Some(watch)) = (self.connection.upgrade(), self.watch.upgrade()) {
            connection.leave(Reason::ClosedByPeer);
            watch.leaving(&connection);
        }
        self.cell.task_ended();
    }
}
