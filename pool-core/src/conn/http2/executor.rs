//! The executor of an HTTP/2 connection: what hyper spawns for its requests runs in the task of the connection.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

/// A future that the task of a connection runs beside it.
pub(super) type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Hands everything to the task of the connection.
#[derive(Clone)]
pub(super) struct InlineExecutor(mpsc::UnboundedSender<Spawned>);

impl InlineExecutor {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Spawned>) {
        let (sender, spawned) = mpsc::unbounded_channel();
        (Self(sender), spawned)
    }

    pub(super) fn spawn(&self, future: Spawned) {
        // Where the task has ended, so has the connection.
        self.0.send(future).ok();
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for InlineExecutor {
    fn execute(&self, future: F) {
        self.spawn(Box::pin(future));
    }
}
