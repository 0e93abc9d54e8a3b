//! A connection that is idle as a bare stream, without its HTTP state.
//!
//! An idle hyper connection holds about 27 KiB of buffers and channels. A connection that has not been needed for a
//! while gives them up; the stream stays open and watched, and a new handshake over it costs about a microsecond and no
//! packet.

use super::connection::Connection;
use super::core::Core;
use super::driver::Bare;
use crate::io::Unsolicited;
use crate::report::Reason;

pub(crate) struct Parked {
    // Before the core: a limit must not be free while the socket is still open.
    stream: Box<dyn Bare>,
    core: Core,
}

impl Parked {
    /// Takes the HTTP state off a connection; none if that cannot be done, and then the connection is closed.
    // By value out of its box, so that the memory of the HTTP state is free before this allocates.
    pub(crate) fn of(connection: Connection) -> Option<Box<Self>> {
        let (stream, mut core) = connection.give_up_http();
        match stream {
            Some(stream) => {
                // No sooner, or each of many uploads would change the option of the socket twice. The stream is read
                // next, and acts upon it.
                core.set_uploading(false);
                Some(Box::new(Self { stream, core }))
            }
            None => {
                core.closing(Reason::Failed);
                None
            }
        }
    }

    /// Gives the connection its HTTP state back; none if that cannot be done, and then the connection is closed.
    pub(crate) fn wake(self) -> Option<Box<Connection>> {
        let Self { stream, mut core } = self;
        match stream.shake_hands(&core.waker, &core.own_waker, core.buffers) {
            Ok((sender, driver)) => Some(Connection::new(sender, driver, core)),
            Err(_) => {
                core.closing(Reason::Failed);
                None
            }
        }
    }

    /// Makes the stream tell its watch, under `sequence`, when it is woken; or says why the connection must close.
    pub(crate) fn become_idle(&mut self, sequence: u64) -> Result<(), Reason> {
        let Self { stream, core } = self;
        if core.become_idle(sequence, |cx| stream.poll_woken(cx)) {
            return Ok(());
        }
        Err(match core.traffic.unsolicited() {
            Unsolicited::Bytes => Reason::Unsolicited,
            Unsolicited::Nothing | Unsolicited::RequestTimeout => Reason::ClosedByPeer,
        })
    }

    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Closes the stream at once.
    pub(crate) fn discard(mut self, reason: Reason) {
        self.core.closing(reason);
    }
}
