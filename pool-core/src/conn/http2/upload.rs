//! The body of a request on its way over a stream: as fast as the server takes it in, and no faster.
//!
//! ```text
//!   first poll, by the task of the request ─► all sent
//!                                       └───► the task of the connection goes on, until it is sent, fails, or is given up
//! ```
//!
//! What must hold: h2 is never given more of a body than the windows of the server allow, so what h2 was given is on its
//! way. A body that fails, panics, or is given up resets its stream.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, sleep};

use crate::request::{BoxError, RequestBody};
use crate::sync::Mutex;

/// No window is larger, and h2 counts capacity in four bytes.
const MOST_RESERVED: usize = (1 << 31) - 1;

/// How far the body of a request has come, for the request that waits for the response.
#[derive(Debug)]
pub(crate) struct Upload {
    given_up: AtomicBool,
    /// The task that sends the body.
    task: AtomicWaker,
    whole: AtomicBool,
    /// Nothing of it is sent any more.
    over: AtomicBool,
    /// When h2 was last given some of it.
    moved: Mutex<Instant>,
    failed: Mutex<Option<BoxError>>,
}

impl Upload {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            given_up: AtomicBool::new(false),
            task: AtomicWaker::new(),
            whole: AtomicBool::new(false),
            over: AtomicBool::new(false),
            moved: Mutex::new(Instant::now()),
            failed: Mutex::default(),
        })
    }

    /// No request waits for the response any more: the stream is to be reset.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    /// Whether h2 was given all of it.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::SeqCst)
    }

    /// Gives it up once the server takes nothing of it for so long.
    pub(crate) async fn give_up_after(&self, pause: Duration) {
        while !self.over.load(Ordering::SeqCst) {
            let moved = self.moved();
            sleep(pause).await;
            if self.moved() == moved {
                return self.give_up();
            }
        }
    }

    /// When h2 was last given some of it.
    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock()
    }

    /// How the body itself has failed, if it has.
    pub(crate) fn take_failure(&self) -> Option<BoxError> {
        self.failed.lock().take()
    }

    fn note_move(&self) {
        *self.moved.lock() = Instant::now();
    }

    fn is_given_up(&self, cx: &Context<'_>) -> bool {
        self.task.register(cx.waker());
        self.given_up.load(Ordering::SeqCst)
    }
}

/// Sends a body; ready when nothing of it is left to be sent.
pub(crate) struct Sending {
    body: RequestBody,
    stream: SendStream<Bytes>,
    upload: Arc<Upload>,
    next: Next,
}

/// What the stream gets next.
enum Next {
    /// What the body gives next.
    Frame,
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Sending {
    pub(super) fn new(body: RequestBody, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, upload: Upload::new(), next: Next::Frame }
    }

    pub(crate) fn upload(&self) -> &Arc<Upload> {
        &self.upload
    }

    /// The next frame of the body. The task of a shared connection asks for it, and a panic must not take all streams of
    /// that connection along.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = &mut self.body;
        catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)))
            .unwrap_or_else(|_| Poll::Ready(Some(Err("the body panicked".into()))))
    }

    /// What follows a frame of the body.
    fn after(frame: Option<Frame<Bytes>>) -> Next {
        match frame.map(Frame::into_data) {
            None => Next::End,
            Some(Ok(data)) => Next::Data(data),
            Some(Err(frame)) => frame.into_trailers().map_or(Next::Frame, Next::Trailers),
        }
    }

    /// Sends as much of the data as the windows allow; gives back what is left.
    fn poll_data(&mut self, mut data: Bytes, cx: &mut Context<'_>) -> Result<Next, Stop> {
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len().min(MOST_RESERVED));
            let mut capacity = self.stream.capacity();
            if capacity == 0 {
                match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(more))) => capacity = more,
                    Poll::Ready(Some(Err(_)) | None) => return Err(Stop::Closed),
                    Poll::Pending => {
                        self.next = Next::Data(data);
                        return Err(Stop::Waits);
                    }
                }
            }
            let piece = data.split_to(capacity.min(data.len()));
            let ends = data.is_empty() && self.body.is_end_stream();
            self.stream.send_data(piece, ends).map_err(|_| Stop::Closed)?;
            self.upload.note_move();
            if ends {
                return Err(Stop::Sent);
            }
        }
        Ok(Next::Frame)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.next = match std::mem::replace(&mut self.next, Next::Frame) {
            Next::Frame => match self.poll_body(cx) {
                // A reset wakes the task too.
                Poll::Pending => return Err(self.poll_reset(cx)),
                Poll::Ready(frame) => Self::after(frame.transpose().map_err(Stop::Failed)?),
            },
            Next::Data(data) => self.poll_data(data, cx)?,
            Next::Trailers(trailers) => {
                let sent = self.stream.send_trailers(trailers);
                return Err(match (sent, self.poll_reset(cx)) {
                    (Ok(()), _) => Stop::Sent,
                    (Err(_), Stop::Closed) => Stop::Closed,
                    // Such as a field that HTTP/2 does not know.
                    (Err(error), _) => Stop::Failed(error.into()),
                });
            }
            Next::End => {
                let ended = self.stream.send_data(Bytes::new(), true);
                return Err(ended.map_or(Stop::Closed, |()| Stop::Sent));
            }
        };
        Ok(())
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Stop {
        match self.stream.poll_reset(cx) {
            Poll::Ready(_) => Stop::Closed,
            Poll::Pending => Stop::Waits,
        }
    }
}

/// Why sending does not go on.
enum Stop {
    /// For windows, for the body, or for a word of the server.
    Waits,
    Sent,
    /// The stream takes no more: who waits for the response learns why.
    Closed,
    Failed(BoxError),
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.upload.over.store(true, Ordering::SeqCst);
    }
}

impl Future for Sending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.upload.is_given_up(cx) {
            this.stream.send_reset(h2::Reason::CANCEL);
            return Poll::Ready(());
        }
        let stop = loop {
            if let Err(stop) = this.step(cx) {
                break stop;
            }
        };
        match stop {
            Stop::Waits => return Poll::Pending,
            Stop::Sent => {
                this.upload.note_move();
                this.upload.whole.store(true, Ordering::SeqCst);
            }
            Stop::Closed => {}
            Stop::Failed(error) => {
                // Before the reset, which wakes the tasks that ask for it.
                *this.upload.failed.lock() = Some(error);
                this.stream.send_reset(h2::Reason::CANCEL);
            }
        }
        Poll::Ready(())
    }
}
