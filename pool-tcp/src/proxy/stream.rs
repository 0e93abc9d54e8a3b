//! A stream that gives no byte of the target to the handshake with the proxy.
//!
//! hyper-util's handshakes drop what they have read beyond their own last message, and a target may speak first, as a server
//! of HTTP/2 does. So during the handshake they get a line at a time where lines are spoken, and else a byte at a time. What
//! is left is read first afterwards.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at a time during a handshake.
const READ: usize = 512;

/// A stream through a proxy.
#[derive(Debug)]
pub struct ProxyStream<S> {
    stream: S,
    ahead: Ahead,
}

/// What was read and not given on, from `next` on.
#[derive(Debug, Default)]
struct Ahead {
    bytes: Vec<u8>,
    next: usize,
    handshake: Option<(Step, Heard)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Line,
    Byte,
}

/// What a proxy has said so far, as far as an error tells it.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its first line, as long as it is short enough to be one.
    line: Vec<u8>,
    pub(super) anything: bool,
    pub(super) ended: bool,
    pub(super) error: Option<io::Error>,
}

impl Heard {
    fn note(&self, note: impl FnOnce(&mut Said)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn take(&self) -> Said {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Said {
    fn hear(&mut self, bytes: &[u8]) {
        self.anything = true;
        if !self.line.ends_with(b"\n") && self.line.len() < READ {
            self.line.extend_from_slice(bytes);
        }
    }

    /// The status of an answer in HTTP.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let line = self.line.strip_suffix(b"\n")?;
        let rest = line.strip_prefix(b"HTTP/1.1 ").or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
        let (status, rest) = rest.split_at_checked(3)?;
        let ends = rest.first().is_none_or(|byte| b" \r".contains(byte));
        StatusCode::from_bytes(status).ok().filter(|_| ends)
    }
}

impl<S> ProxyStream<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Ahead::default() }
    }

    /// The same for the time of a handshake.
    pub(super) fn shaking_hands(stream: S, step: Step, heard: Heard) -> Self {
        Self { stream, ahead: Ahead { handshake: Some((step, heard)), ..Ahead::default() } }
    }

    /// The handshake is over.
    pub(super) fn shaken(mut self) -> Self {
        self.ahead.handshake = None;
        self
    }

    /// The stream to the proxy.
    pub fn inner(&self) -> &S {
        &self.stream
    }
}

impl Ahead {
    /// Gives on what may be given on now.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let ahead = &self.bytes[self.next..];
        let room = ahead.len().min(buffer.remaining());
        let length = match self.handshake {
            None => room,
            Some((Step::Byte, _)) => room.min(1),
            Some((Step::Line, _)) => {
                let line = ahead.iter().position(|byte| *byte == b'\n');
                line.map_or(room, |end| room.min(end + 1))
            }
        };
        if let Some((_, heard)) = &self.handshake {
            heard.note(|said| said.hear(&ahead[..length]));
        }
        buffer.put_slice(&ahead[..length]);
        self.next += length;
        if self.next == self.bytes.len() {
            *self = Self { handshake: self.handshake.take(), ..Self::default() };
        }
    }
}

impl<S: AsyncRead + Unpin> ProxyStream<S> {
    #[cold]
    fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let (true, Some((_, heard))) = (self.ahead.bytes.is_empty(), &self.ahead.handshake) {
            let mut bytes = [0; READ];
            let mut read = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) if read.filled().is_empty() => {
                    heard.note(|said| said.ended = true);
                    return Poll::Ready(Ok(()));
                }
                Ok(()) => self.ahead.bytes.extend_from_slice(read.filled()),
                Err(error) => {
                    let kind = error.kind();
                    heard.note(|said| said.error = Some(error));
                    return Poll::Ready(Err(kind.into()));
                }
            }
        }
        self.ahead.give(buffer);
        Poll::Ready(Ok(()))
    }
}

// Inlined, because each only forwards a call, several times for every request.
impl<S: AsyncRead + Unpin> AsyncRead for ProxyStream<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.bytes.is_empty() || self.ahead.handshake.is_some() {
            return self.read_ahead(cx, buffer);
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ProxyStream<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn first_reads(step: Step, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut stream = ProxyStream::shaking_hands(bytes, step, Heard::default());
        let mut reads = Vec::new();
        for _ in 0..2 {
            let mut read = vec![0; 64];
            let length = stream.read(&mut read).await.unwrap();
            read.truncate(length);
            reads.push(read);
        }
        let mut rest = Vec::new();
        stream.shaken().read_to_end(&mut rest).await.unwrap();
        reads.push(rest);
        reads
    }

    #[tokio::test]
    async fn a_handshake_gets_no_more_than_it_asks_for_and_the_rest_comes_afterwards() {
        let lines = first_reads(Step::Line, b"one\r\n\r\nrest\n").await;
        assert_eq!(lines, [&b"one\r\n"[..], b"\r\n", b"rest\n"]);
        let bytes = first_reads(Step::Byte, b"abc").await;
        assert_eq!(bytes, [b"a", b"b", b"c"]);
    }

    #[test]
    fn the_status_of_an_answer_is_read_from_its_first_line_alone() {
        let status = |line: &[u8]| {
            let mut said = Said::default();
            line.chunks(3).for_each(|bytes| said.hear(bytes));
            said.status().map(|status| status.as_u16())
        };
        assert_eq!(status(b"HTTP/1.1 407 Proxy Authentication Required\r\n"), Some(407));
        assert_eq!(status(b"HTTP/1.0 502\r\n"), Some(502));
        for line in [&b"HTTP/1.1 407"[..], b"HTTP/1.1 4071\r\n", b"SSH-2.0\r\n", b"\r\n", b""] {
            assert_eq!(status(line), None, "{line:?}");
        }
    }
}
