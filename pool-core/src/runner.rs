//! The executor of an HTTP/2 connection: what hyper spawns for its requests runs in the task of the connection.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

/// Something that the task of a connection runs beside it.
pub(crate) type Errand = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The executor that hyper is given: it hands everything to the task of the connection.
#[derive(Clone)]
pub(crate) struct Runner(mpsc::UnboundedSender<Errand>);

impl Runner {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Errand>) {
        let (sender, errands) = mpsc::unbounded_channel();
        (Self(sender), errands)
    }

    pub(crate) fn start(&self, errand: Errand) {
        // Where the task has ended, so has the connection.
        self.0.send(errand).ok();
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Runner {
    fn execute(&self, future: F) {
        self.start(Box::pin(future));
    }
}
