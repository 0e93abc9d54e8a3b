//! Threads that serve, each with a runtime of its own.
//!
//! A request stays on the thread of its client, and so do the connections to upstreams that it uses: the pool lends each only
//! in the runtime that opened it. No task is woken from another thread, and what has come at once is read at once before
//! anything is written, as in nginx and HAProxy, which divide their clients in the same way.

use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
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
            let (handle, worker) = Worker::start()?;
            handles.push(handle);
            others.push(worker);
        }
        Ok(Self { handles, next: AtomicUsize::new(0), others })
    }

    /// Runs a task on the thread whose turn it is.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        self.handles[turn].spawn(task);
    }
}

impl Worker {
    fn start() -> io::Result<(Handle, Self)> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let run = move || {
            let built = runtime();
            tell.send(built.as_ref().map(|built| built.handle().clone()).map_err(copy)).ok();
            if let Ok(runtime) = built {
                runtime.block_on(stopped).ok();
                // A name that is being resolved cannot be stopped, and nobody waits for it any more.
                runtime.shutdown_background();
            }
        };
        let thread = thread::Builder::new().name("gateway".into()).spawn(run)?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok((handle, Self { stop: Some(stop), thread: Some(thread) }))
    }
}

/// The same error, for another thread.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
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
