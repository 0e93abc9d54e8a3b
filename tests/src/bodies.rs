//! Bodies to send and to compare.
//!
//! Large content is a pattern that repeats after a prime number of bytes, so that a lost, doubled or moved
//! piece of any usual size is seen, and comparing costs one `memcmp`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::mpsc;

/// The largest prime below 64 KiB.
const PERIOD: usize = 65_521;

/// xorshift: no two neighbouring places look alike.
static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..PERIOD).map(next).collect()
});

/// A place in the pattern: makes content, and checks it.
#[derive(Debug, Default)]
pub struct Pattern {
    position: usize,
}

impl Pattern {
    /// Its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first `length` bytes.
    pub fn bytes(length: usize) -> Vec<u8> {
        Self::new().take(length)
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let piece = self.piece(length - bytes.len());
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    /// Compares the next bytes.
    ///
    /// # Panics
    ///
    /// When they are others.
    pub fn check(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let start = self.position;
            let (now, later) = bytes.split_at(self.piece(bytes.len()).len());
            assert!(now == &BLOCK[start % PERIOD..][..now.len()], "differs after byte {start}");
            bytes = later;
        }
    }

    /// Bytes made or compared so far.
    pub fn position(&self) -> usize {
        self.position
    }

    fn piece(&mut self, most: usize) -> &'static [u8] {
        let rest = &BLOCK[self.position % PERIOD..];
        let piece = &rest[..rest.len().min(most)];
        self.position += piece.len();
        piece
    }
}

/// How many bytes of an [`Upload`] are alive.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Levels>);

#[derive(Debug, Default)]
struct Levels {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Gauge {
    /// The most that ever were alive at one time.
    pub fn peak(&self) -> usize {
        self.0.peak.load(Ordering::Acquire)
    }
}

/// Content that lowers the gauge when its last holder drops it.
struct Chunk {
    content: Vec<u8>,
    gauge: Gauge,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.gauge.0.live.fetch_sub(self.content.len(), Ordering::AcqRel);
    }
}

/// A body of known content and unknown length, made while it is sent, in chunks that know when they die.
#[derive(Debug)]
pub struct Upload {
    pattern: Pattern,
    length: usize,
    gauge: Gauge,
}

impl Upload {
    const CHUNK: usize = 64 * 1024;

    /// The first `length` bytes of the pattern.
    pub fn new(length: usize) -> (Self, Gauge) {
        let gauge = Gauge::default();
        (Self { pattern: Pattern::new(), length, gauge: gauge.clone() }, gauge)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let size = Self::CHUNK.min(self.length - self.pattern.position());
        if size == 0 {
            return Poll::Ready(None);
        }
        let levels = &self.gauge.0;
        let live = levels.live.fetch_add(size, Ordering::AcqRel) + size;
        levels.peak.fetch_max(live, Ordering::AcqRel);
        let chunk = Chunk { content: self.pattern.take(size), gauge: self.gauge.clone() };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(chunk)))))
    }
}

/// A body that gives these pieces, one at a time, without a word about its length.
#[derive(Debug)]
pub struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// A body of these pieces.
    pub fn new(pieces: impl IntoIterator<Item = &'static str>) -> Self {
        Self(pieces.into_iter().map(Bytes::from).collect())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A body that gives what is sent into it, and ends when the sender is dropped.
#[derive(Debug)]
pub struct Feed(mpsc::UnboundedReceiver<Bytes>);

/// A body, and the way to feed it.
pub fn feed() -> (mpsc::UnboundedSender<Bytes>, Feed) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Feed(receiver))
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
