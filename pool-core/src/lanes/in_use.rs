//! The HTTP/2 connections of a lane that are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::conn::http2::Connection;
use crate::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(super) struct InUse {
    list: Mutex<Vec<Arc<Connection>>>,
    /// The length of the list; read without the lock for every request.
    length: AtomicUsize,
}

/// The list, locked. Its length is published when the lock ends.
pub(super) struct List<'l> {
    list: MutexGuard<'l, Vec<Arc<Connection>>>,
    length: &'l AtomicUsize,
}

impl InUse {
    pub(super) fn lock(&self) -> List<'_> {
        List { list: self.list.lock(), length: &self.length }
    }

    #[inline]
    pub(super) fn is_any(&self) -> bool {
        self.length.load(Ordering::SeqCst) > 0
    }

    /// How many more streams may be opened.
    pub(super) fn room(&self) -> usize {
        if !self.is_any() {
            return 0;
        }
        let room = |connection: &Arc<Connection>| match connection.has_room() {
            true => connection.stream_limit().saturating_sub(connection.open_streams()),
            false => 0,
        };
        self.list.lock().iter().map(room).fold(0, usize::saturating_add)
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::SeqCst)
    }

    /// How many streams are open.
    pub(super) fn open_streams(&self) -> usize {
        self.list.lock().iter().map(|connection| connection.open_streams()).sum()
    }
}

impl List<'_> {
    pub(super) fn push(&mut self, connection: Arc<Connection>) {
        self.list.push(connection);
    }

    pub(super) fn remove(&mut self, connection: &Arc<Connection>) {
        self.list.retain(|other| !Arc::ptr_eq(other, connection));
    }

    /// Takes out those without a stream that may become idle.
    pub(super) fn take_unused(&mut self) -> Vec<Arc<Connection>> {
        let unused = |connection: &mut Arc<Connection>| {
            connection.open_streams() == 0
                && !connection.is_leaving()
                && connection.may_become_idle()
        };
        self.list.extract_if(.., unused).collect()
    }

    /// Takes out one without a stream for so long, which its server has left without room.
    pub(super) fn take_expired(
        &mut self,
        limit: Duration,
        now: Instant,
    ) -> Option<Arc<Connection>> {
        let expired =
            self.list.iter().position(|connection| connection.is_unused_for(limit, now))?;
        Some(self.list.remove(expired))
    }

    /// Takes all out.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Connection>> {
        std::mem::take(&mut *self.list)
    }

    /// The connection with the most streams that has room for one more and `suits`.
    pub(super) fn busiest(&self, suits: impl Fn(&Connection) -> bool) -> Option<&Arc<Connection>> {
        self.list
            .iter()
            .filter(|connection| connection.has_room() && suits(connection))
            .max_by_key(|connection| connection.open_streams())
    }
}

impl Drop for List<'_> {
    fn drop(&mut self) {
        self.length.store(self.list.len(), Ordering::SeqCst);
    }
}
