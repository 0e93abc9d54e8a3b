//! What goes from the pool down to the socket, past every stream in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the pool tells the stream at the bottom of a connection: to read from the kernel itself next time, and whether an
/// upload is under way.
///
/// A runtime answers from what epoll last told it, so a FIN, or bytes that belong to no request, can lie in the kernel
/// while a connection looks idle. The pool [asks](Self::ask) before it reuses a connection. As long as
/// [`is_open`](Self::is_open) is true, the stream must ask the socket itself at each read, without blocking and
/// whatever the runtime believes. It reads what is there, and [settles](Self::settle) the question when the kernel says
/// that nothing is.
///
/// The [upload](Self::is_uploading) is a fact that the stream may act upon at its next read or write. A kernel that closes
/// connections on which nothing was acknowledged for a while counts a peer that is alive and does not read as silent, and
/// in the middle of an upload a server may well not read for as long as it likes.
///
/// Both travel up unchanged through connectors over other connectors, so they reach below TLS.
#[derive(Clone, Debug, Default)]
pub struct KernelCheck(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    question: AtomicBool,
    upload: AtomicBool,
}

impl KernelCheck {
    /// A check for one stream; keep one clone in the stream and put another into [`Connected`](crate::Connected).
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the question.
    pub fn ask(&self) {
        self.0.question.store(true, Ordering::Relaxed);
    }

    /// Whether the next read must go to the kernel.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.0.question.load(Ordering::Relaxed)
    }

    /// The kernel has said that nothing is there.
    pub fn settle(&self) {
        self.0.question.store(false, Ordering::Relaxed);
    }

    /// Says whether a request is under way over HTTP/1 whose server may leave it unread for long: one with a large body or
    /// one of unknown length, or one that becomes a tunnel.
    pub fn set_uploading(&self, uploading: bool) {
        self.0.upload.store(uploading, Ordering::Relaxed);
    }

    /// Whether such a request is under way, from before its first byte until the connection carries one of another kind,
    /// or is parked.
    #[inline]
    pub fn is_uploading(&self) -> bool {
        self.0.upload.load(Ordering::Relaxed)
    }
}
