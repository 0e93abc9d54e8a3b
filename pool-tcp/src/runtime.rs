//! Whether the runtime that a connect runs in can drive a socket.
//!
//! tokio has no question for that: it panics when a socket meets a runtime without its I/O driver. So one that connects
//! nothing is shown to each runtime first, by each thread once, before any packet leaves.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::panic::catch_unwind;

use tokio::runtime::{Handle, Id};

thread_local! {
    /// The runtime with an I/O driver that this thread has met last.
    static KNOWN: Cell<Option<Id>> = const { Cell::new(None) };
}

/// The runtime cannot drive a socket.
#[derive(Debug)]
pub(crate) struct NoIo;

impl fmt::Display for NoIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tokio runtime has no I/O driver; build it with enable_io or enable_all")
    }
}

impl Error for NoIo {}

impl NoIo {
    /// Whether an error of a connect, which a connector over ours may have wrapped, says so.
    pub(crate) fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

/// # Errors
///
/// [`NoIo`], where the current runtime has no I/O driver.
pub(crate) fn check() -> io::Result<()> {
    let id = Handle::try_current().map(|runtime| runtime.id()).ok();
    if id.is_some() && KNOWN.get() == id {
        return Ok(());
    }
    // Where there is no descriptor left, the connect itself will tell.
    let Ok(shown) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return Ok(()) };
    shown.set_nonblocking(true)?;
    match catch_unwind(|| tokio::net::UdpSocket::from_std(shown).map(drop)) {
        Ok(_) => {
            KNOWN.set(id);
            Ok(())
        }
        Err(_) => Err(io::Error::new(io::ErrorKind::Unsupported, NoIo)),
    }
}
