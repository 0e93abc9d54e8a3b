//! Threads that serve, each with a runtime of its own.
//!
//! A request stays on the thread of its client, and so do the connections to upstreams that it uses: the pool lends each only
//! in the runtime that opened it. No task is woken from another thread, and what has come at once is read at once before
//! anything is written, as in nginx and HAProxy, which divide their clients in the same way.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// A runtime for one thread.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The thread that this was made on, and others beside.
pub(crate) struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    others: Vec<Worker>,
}

/// Ends when it is dropped.
struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// As many threads in all as are wanted, or as there are processors. To be made in the runtime of this one.
    pub(crate) fn start(wanted: Option<NonZero<usize>>) -> io::Result<Self> {
        let count = wanted.or(thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let (mut handles, mut others) = (vec![Handle::current()], Vec::new());
        for _ in 1..count {
            let runtime = runtime()?;
            handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel::<()>();
            let run = move || drop(runtime.block_on(stopped));
            let thread = thread::Builder::new().name("gateway".into()).spawn(run)?;
            others.push(Worker { stop: Some(stop), thread: Some(thread) });
        }
        Ok(Self { handles, next: AtomicUsize::new(0), others })
    }

    /// Runs a task on the thread whose turn it is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        self.handles[turn].spawn(task);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // All are told before any is waited for.
        for worker in &mut self.others {
            worker.stop = None;
        }
        for worker in &mut self.others {
            if let Some(thread) = worker.thread.take() {
                thread.join().ok();
            }
        }
    }
}
