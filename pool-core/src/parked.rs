//! A connection at rest as a bare stream, without its HTTP state.
//!
//! An idle hyper connection holds about 27 KiB of buffers and channels. One that has not been needed for a
//! while gives them up; the stream stays open and watched, and a new handshake over it costs about a
//! microsecond and no packet.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;
use crate::driver::{Drive, Driver};
use crate::kept::Kept;
use crate::request_body::RequestBody;
use crate::stats::Reason;
use crate::stream::{Counted, Unasked};

pub(crate) struct Parked {
    // Before what is kept: a limit must not be free while the socket is still open.
    stream: Box<dyn Bare>,
    kept: Kept,
}

/// A stream of any type that speaks no HTTP for now.
pub(crate) trait Bare: Send {
    /// Ready when anything comes: an end, an error, or a byte that nobody asked for.
    fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Opens HTTP/1 over the stream. No byte goes over it yet.
    fn shake_hands(self: Box<Self>) -> hyper::Result<(SendRequest<RequestBody>, Box<dyn Drive>)>;
}

impl Parked {
    pub(crate) fn new(stream: Box<dyn Bare>, kept: Kept) -> Box<Self> {
        Box::new(Self { stream, kept })
    }

    /// Gives the connection its HTTP state back; none if that cannot be, and then it is closed.
    pub(crate) fn wake(self) -> Option<Box<Connection>> {
        let Self { stream, mut kept } = self;
        match stream.shake_hands() {
            Ok((sender, driver)) => Some(Connection::new(sender, driver, kept)),
            Err(_) => {
                kept.closing(Reason::Failed);
                None
            }
        }
    }

    /// Makes the stream tell its watch, under `sequence`, when it stirs; or says why it must close.
    pub(crate) fn rest_after_poll(&mut self, sequence: u64) -> Result<(), Reason> {
        let Self { stream, kept } = self;
        if kept.rest_after_poll(sequence, |cx| stream.poll_stirs(cx)) {
            return Ok(());
        }
        Err(match kept.traffic.unasked() {
            Unasked::Bytes => Reason::Unsolicited,
            Unasked::Nothing | Unasked::RequestTimeout => Reason::ClosedByPeer,
        })
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Closes the stream at once.
    pub(crate) fn discard(mut self, reason: Reason) {
        self.kept.closing(reason);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Bare for Counted<S> {
    fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // As long as a status line up to its code, so that a 408 can be told from other bytes.
        let mut bytes = [0; 16];
        Pin::new(self).poll_read(cx, &mut ReadBuf::new(&mut bytes)).map(|_| ())
    }

    fn shake_hands(self: Box<Self>) -> hyper::Result<(SendRequest<RequestBody>, Box<dyn Drive>)> {
        let handshake = pin!(http1::Builder::new().handshake(TokioIo::new(*self)));
        match handshake.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => {
                done.map(|(sender, http)| (sender, Box::new(Driver::Http(http)) as Box<dyn Drive>))
            }
            // An HTTP/1 handshake exchanges nothing, so there is nothing that it could wait for.
            Poll::Pending => unreachable!("an HTTP/1 handshake waits for nothing"),
        }
    }
}
