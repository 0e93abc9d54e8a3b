//! One HTTP/1 connection, driven by the task that holds it.
//!
//! hyper's connection future is not spawned. It lives here beside its `SendRequest`, in one box that moves between
//! lease and idle store. The request future polls it, then the response body; the watcher polls it while it is idle. It
//! is always polled with the connection's own waker (`io/waker.rs`).
//!
//! ```text
//!   open ─► begin, send ─► poll … poll ─► is_ready? ─► become_idle ─► leave_idle ─► begin, send …
//!                            │ is_finished              │ ▲
//!                            ▼                      park▼ │wake
//!                         the socket is closed         Parked
//! ```
//!
//! What must hold: only our own poll of the connection completes the futures that hyper answers through (the response,
//! the next frame). So they are polled right after it and need no waker; and tokio's coop budget must not bind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::Core;
use super::driver::{self, Bare, Drive, Ending, Sender};
use super::overhead::Overhead;
use crate::conn::Opened;
use crate::io::{ConnectionWaker, Counted, Traffic, Unsolicited, WaitsFor};
use crate::report::{Attempt, ConnectionInfo, Reason, Usage, Written};
use crate::request::SavedRequest;

pub(crate) struct Connection {
    pub(super) sender: Sender,
    // Before the core: a limit must not be free while the socket is still open.
    pub(super) driver: Box<dyn Drive>,
    /// It carries no request after the present one.
    pub(super) last_use: bool,
    /// It comes straight from its dial.
    pub(super) fresh: bool,
    /// hyper has been given the last request that was meant for it, and so was polled.
    pub(super) sent: bool,
    /// The copy of the last request, by which that can be sent again.
    pub(super) saved: SavedRequest,
    pub(super) attempted: Attempted,
    overhead: Overhead,
    pub(super) idle_for: Duration,
    /// Since when it was idle before it was lent, or has been free to be; none if it comes straight from its dial.
    pub(super) idle_since: Option<Instant>,
    pub(super) queue_time: Duration,
    /// Who holds it for several requests, while it carries one of them.
    holder: Option<Holder>,
    pub(super) core: Core,
}

/// The last request that was meant for a connection, and how far the traffic had come then.
#[derive(Debug, Default)]
pub(super) struct Attempted {
    pub(super) number: u32,
    pub(super) fresh: bool,
    pub(super) written_before: u64,
    pub(super) read_before: u64,
}

/// Where a connection that is held goes when its request has ended.
struct Holder {
    home: oneshot::Sender<Box<Connection>>,
    ends: Arc<AtomicBool>,
}

/// What a holder keeps of its connection, while that carries a request.
pub(crate) struct Home {
    pub(crate) comes: oneshot::Receiver<Box<Connection>>,
    ends: Arc<AtomicBool>,
}

impl Home {
    /// The connection is to close when it comes; gives it if it has come.
    pub(crate) fn end(mut self) -> Option<Box<Connection>> {
        self.ends.store(true, Ordering::SeqCst);
        self.comes.close();
        self.comes.try_recv().ok()
    }
}

/// Opens HTTP/1 over a stream. No byte goes over it yet.
pub(crate) fn open<S>(
    stream: S,
    opened: Opened,
    waker: Arc<ConnectionWaker>,
) -> hyper::Result<Box<Connection>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, traffic) = Counted::new(stream);
    let core = Core::new(opened, traffic, waker);
    let (sender, driver) = driver::drive(stream, &core.waker, &core.own_waker, core.buffers)?;
    Ok(Connection::new(sender, driver, core))
}

impl Connection {
    pub(super) fn new(sender: Sender, driver: Box<dyn Drive>, core: Core) -> Box<Self> {
        Box::new(Self {
            sender,
            driver,
            last_use: false,
            fresh: true,
            sent: false,
            saved: SavedRequest::default(),
            attempted: Attempted::default(),
            overhead: Overhead::default(),
            idle_for: Duration::ZERO,
            idle_since: None,
            queue_time: Duration::ZERO,
            holder: None,
            core,
        })
    }

    /// Drives the connection for the task of `cx`, until `answer` is ready.
    ///
    /// `answer` is a future that hyper completes: it is polled after each poll of the connection, and cannot become
    /// ready otherwise.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        waits_for: WaitsFor,
        mut answer: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.core.traffic.turn().begin();
        // A poll of the answer may itself ask hyper for more, which the waker notes: hence twice. A wake that is noted
        // after that goes to the task, so that hyper's own yields are honoured.
        for _ in 0..2 {
            self.core.waker.begin();
            let ended = self.driver.poll(&mut Context::from_waker(&self.core.own_waker)).is_ready();
            // hyper answers a request in a poll that has read something of it, or ends. But where the stream may become
            // something else, which is its last use, hyper reports a failure before it shuts the stream down, which may
            // take long.
            let may_be_answered = ended || self.progress().1 > 0 || self.last_use;
            if may_be_answered || waits_for == WaitsFor::Rest {
                let answer = answer(&mut Context::from_waker(Waker::noop()));
                if answer.is_ready() {
                    return answer;
                }
            }
            if !self.core.waker.is_noted() {
                break;
            }
        }
        self.core.waker.wait(cx.waker(), waits_for);
        Poll::Pending
    }

    /// The bytes written and read since the last request began.
    #[inline]
    pub(crate) fn progress(&self) -> (u64, u64) {
        let (traffic, Attempted { written_before, read_before, .. }) =
            (&self.core.traffic, &self.attempted);
        (traffic.written() - written_before, traffic.read() - read_before)
    }

    /// The body of a response is to be read.
    pub(crate) fn begin_body(&mut self) {
        self.overhead = Overhead::since(self.core.traffic.read());
    }

    /// Whether the body is framed by far more than it carries, as far as is known after a poll that has brought a piece of
    /// so many bytes, or nothing.
    pub(crate) fn is_mostly_framing(&mut self, piece: Option<usize>) -> bool {
        let traffic = &self.core.traffic;
        if let Some(bytes) = piece {
            self.overhead.note_content(bytes);
            return self.overhead.is_too_much(traffic.read_before_last());
        }
        let is_too_much = self.overhead.is_too_much(traffic.read());
        self.overhead.settle(traffic.read());
        is_too_much
    }

    /// Whether hyper has done with the last message, both ways, and takes another request.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        // hyper forgets what it has copied: it may be ready while a part of that is still to be written.
        self.sender.is_ready() && self.core.traffic.is_flushed() && !self.is_finished()
    }

    /// Whether hyper has closed the connection.
    #[inline]
    pub(crate) fn is_finished(&self) -> bool {
        self.driver.ending().is_some()
    }

    /// Whether the connection must close now that its message has ended, and why.
    #[inline]
    pub(crate) fn last_use(&self) -> Option<Reason> {
        if self.last_use { Some(self.ended_for()) } else { None }
    }

    /// Why hyper has closed the connection, or why it must be closed now that its message has ended.
    pub(crate) fn ended_for(&self) -> Reason {
        match (self.core.traffic.unsolicited(), self.driver.ending()) {
            (Unsolicited::Bytes, _) | (Unsolicited::Nothing, Some(Ending::Surplus)) => {
                Reason::Unsolicited
            }
            (Unsolicited::RequestTimeout, _) => Reason::ClosedByPeer,
            (Unsolicited::Nothing, Some(Ending::Failed)) => Reason::Failed,
            (Unsolicited::Nothing, _) => Reason::Ended,
        }
    }

    /// As [`ended_for`](Self::ended_for), for a connection that closed while no message was under way.
    pub(crate) fn closed_for(&self) -> Reason {
        match self.ended_for() {
            Reason::Ended | Reason::Failed => Reason::ClosedByPeer,
            reason => reason,
        }
    }

    /// What ended the connection, if it was an error that concerned no response.
    pub(crate) fn take_error(&mut self) -> Option<hyper::Error> {
        self.driver.take_error()
    }

    /// Whether a body of unknown length can be sent: to an HTTP/1.0 server hyper would send it empty.
    pub(crate) fn can_send_chunked(&self) -> bool {
        !self.core.speaks_http10
    }

    /// Whether the request that it was lent for has been sent.
    #[inline]
    pub(crate) fn has_sent(&self) -> bool {
        self.sent
    }

    /// Whether it comes straight from its dial: it has neither served nor been idle.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.core.established.id
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            use_number: self.core.uses,
            attempt: self.attempted.number,
            idle_for: self.idle_for,
            queue_time: self.queue_time,
        }
    }

    /// What a response that it brought says of it.
    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo::new(Arc::clone(&self.core.established), self.usage())
    }

    /// As [`info`](Self::info), of a request that is about to be sent.
    pub(crate) fn info_of_next(&self) -> ConnectionInfo {
        let usage = Usage { use_number: self.core.uses + 1, ..self.usage() };
        ConnectionInfo::new(Arc::clone(&self.core.established), usage)
    }

    /// Has the next read ask the kernel whether the connection has been closed or written to.
    #[inline]
    pub(crate) fn probe(&self) {
        self.core.probe();
    }

    /// How far the last request has come.
    pub(crate) fn attempt(&self) -> Attempt {
        let (bytes_written, bytes_read) = self.progress();
        let written = match bytes_written {
            0 => Written::Nothing,
            _ if self.core.traffic.is_all_written() => Written::Whole,
            _ => Written::Partly,
        };
        Attempt::new(self.info(), self.attempted.fresh, written, bytes_written, bytes_read)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    pub(crate) fn traffic(&self) -> &Arc<Traffic> {
        &self.core.traffic
    }

    /// Leaves its holder for one request; it comes back through what this returns, unless it closes, or that is told to be
    /// its end.
    pub(crate) fn go_away(&mut self) -> Home {
        let (home, comes) = oneshot::channel();
        let ends = Arc::new(AtomicBool::new(false));
        self.holder = Some(Holder { home, ends: Arc::clone(&ends) });
        Home { comes, ends }
    }

    /// Whether it is held, by a caller that waits for it to come home.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Goes back to its holder; gives itself back if it has none any more.
    pub(crate) fn go_home(mut self: Box<Self>) -> Option<Box<Self>> {
        let Some(Holder { home, ends }) = self.holder.take() else { return Some(self) };
        let back = home.send(self).err()?;
        if ends.load(Ordering::SeqCst) {
            back.discard(Reason::Cancelled);
            return None;
        }
        Some(back)
    }

    /// Its holder does not get it back.
    pub(crate) fn forget_holder(&mut self) {
        self.holder = None;
    }

    /// It has rested with its holder until now.
    pub(crate) fn leave_holder(&mut self, now: Instant) {
        if let Some(since) = self.idle_since.filter(|_| !self.fresh) {
            self.leave_idle(since, now.saturating_duration_since(since));
        }
    }

    /// It counts no more, and closes when it is given back.
    pub(crate) fn detach(&mut self) {
        self.fresh = false;
        self.core.detach();
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.core.is_detached()
    }

    /// Closes the connection at once.
    pub(crate) fn discard(mut self, reason: Reason) {
        self.core.closing(reason);
    }

    /// Gives up the HTTP state; no stream if it cannot be had without.
    pub(super) fn give_up_http(self) -> (Option<Box<dyn Bare>>, Core) {
        let Self { driver, core, .. } = self;
        (driver.give_up_http(), core)
    }
}
