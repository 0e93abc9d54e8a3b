//! A connection at rest as a bare stream, without its HTTP state.
//!
//! An idle hyper connection holds about 27 KiB of buffers and channels. One that has not been needed for a
//! while gives them up; the stream stays open and watched, and a new handshake over it costs about a
//! microsecond and no packet.

use crate::connection::Connection;
use crate::driver::Bare;
use crate::kept::Kept;
use crate::stats::Reason;
use crate::stream::Unasked;

pub(crate) struct Parked {
    // Before what is kept: a limit must not be free while the socket is still open.
    stream: Box<dyn Bare>,
    kept: Kept,
}

impl Parked {
    pub(crate) fn new(stream: Box<dyn Bare>, kept: Kept) -> Box<Self> {
        Box::new(Self { stream, kept })
    }

    /// Gives the connection its HTTP state back; none if that cannot be, and then it is closed.
    pub(crate) fn wake(self) -> Option<Box<Connection>> {
        let Self { stream, mut kept } = self;
        match stream.shake_hands(&kept) {
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
