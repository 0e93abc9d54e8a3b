//! The one task of an HTTP/2 connection, and what it reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::connection::Connection;
use super::driver::{DriverCell, Polled, UNSAID};

/// How long a connection that is over may take to write its last frames, as long as nginx waits for a client that it
/// has told to go. A server that has closed its side and reads no more would otherwise keep the connection, and its
/// place within a limit, for as long as it likes.
const LAST_FRAMES: Duration = Duration::from_secs(5);

/// Is told what changes about the streams of a connection.
pub(crate) trait StreamWatch: Send + Sync {
    /// The connection takes no further stream.
    fn leaving(&self, connection: &Arc<Connection>);

    /// The server allows more streams than before.
    fn more_streams(self: Arc<Self>);
}

/// Ends when nothing is left of the connection, or when a thread has closed it.
pub(super) struct Task {
    // Not through the connection: a tunnel goes on when no lease keeps the connection any more.
    cell: Arc<DriverCell>,
    connection: Weak<Connection>,
    watch: Weak<dyn StreamWatch>,
    last_frames: Option<Pin<Box<Sleep>>>,
}

impl Task {
    pub(super) fn start(
        cell: Arc<DriverCell>,
        connection: &Arc<Connection>,
        watch: Weak<dyn StreamWatch>,
    ) {
        let connection = Arc::downgrade(connection);
        let task = Self { cell: Arc::clone(&cell), connection, watch, last_frames: None };
        cell.set_task(tokio::spawn(task).abort_handle());
    }

    /// Reports what a poll has changed.
    fn report(&self, streams: usize) {
        let before = self.cell.set_streams(streams);
        let Some((connection, watch)) = self.watched() else { return };
        if connection.is_leaving() {
            watch.leaving(&connection);
        }
        if before == UNSAID || streams > before {
            watch.more_streams();
        }
    }

    fn watched(&self) -> Option<(Arc<Connection>, Arc<dyn StreamWatch>)> {
        Some((self.connection.upgrade()?, self.watch.upgrade()?))
    }

    /// Ready when the time for the last frames is over, which then begins anew.
    fn poll_last_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.last_frames.get_or_insert_with(|| Box::pin(sleep(LAST_FRAMES)));
        let over = sleep.as_mut().poll(cx);
        if over.is_ready() {
            sleep.as_mut().reset(Instant::now() + LAST_FRAMES);
        }
        over
    }

    fn has_streams(&self) -> bool {
        self.connection.upgrade().is_some_and(|connection| connection.open_streams() > 0)
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Polled { streams, is_over }) = self.cell.poll(cx) else { return Poll::Ready(()) };
        self.report(streams);
        while is_over && self.poll_last_frames(cx).is_ready() {
            if !self.has_streams() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.cell.task_ended();
        if let Some((connection, watch)) = self.watched() {
            watch.leaving(&connection);
        }
    }
}
