//! What is done to an answer before it is sent, and how it is sent.

use arbitrary::{Arbitrary, Result, Unstructured};

/// What often means something, somewhere.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"0",
    b" ",
    b"\t",
    b";",
    b",",
    b":",
    b"\"",
    b"\0",
    b"\xff",
    b"-1",
    b"ffffffffffffffff",
    b"10000000000000000",
    b"content-length: 3\r\n",
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\nupgrade: x\r\n",
    b"keep-alive: timeout=0\r\n",
    b"trailer: a\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"5\r\n\xef\xef\xef\xef\xef\r\n",
];

/// One change of the bytes, at a place that is taken modulo their length.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Change {
    Set(u16, u8),
    Insert(u16, u8),
    Cut(u16),
    Remove(u16, u8),
    Repeat(u16, u8, u8),
    Swap(u16, u16),
    Number(u16, u8),
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u16| usize::from(at) % (bytes.len() + 1);
        let end = |from: usize, length: u8| (from + usize::from(length)).min(bytes.len());
        match *self {
            Self::Set(at, to) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = to;
                }
            }
            Self::Insert(at, word) => {
                let (at, word) = (place(at), WORDS[usize::from(word) % WORDS.len()]);
                bytes.splice(at..at, word.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Remove(at, length) => {
                let at = place(at);
                let end = end(at, length);
                bytes.drain(at..end);
            }
            Self::Repeat(at, length, times) => {
                let at = place(at);
                let part = bytes[at..end(at, length)].repeat(usize::from(times));
                bytes.splice(at..at, part);
            }
            Self::Swap(one, other) => {
                let (one, other) = (place(one), place(other));
                if one.max(other) < bytes.len() {
                    bytes.swap(one, other);
                }
            }
            // The next digit from there.
            Self::Number(at, to) => {
                let from = place(at);
                if let Some(digit) = bytes[from..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + to % 10;
                }
            }
        }
    }
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum Pace {
    /// Each read takes all that it can.
    Whole,
    /// Each read takes so many.
    Pieces(u8),
    /// Each read takes so many, and there is nothing to read in between.
    Halting(u8),
}

/// What follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub(super) enum End {
    Open,
    Closed,
    Reset,
}

/// What the caller does with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub(super) enum Reader {
    ToTheEnd,
    OneFrame,
    HeadAlone,
}

/// Up to so many of them.
pub(super) fn few<T: for<'a> Arbitrary<'a>, const MOST: usize>(
    random: &mut Unstructured<'_>,
) -> Result<Vec<T>> {
    let count = random.int_in_range(0..=MOST)?;
    (0..count).map(|_| random.arbitrary()).collect()
}
