//! Streams that are cut at a byte, and the server at their other end, which sees every byte that was accepted.
//!
//! Nothing runs beside the caller: what is written is served at once, so every run of a test is the same. What
//! must hold: a request counts as executed when the last of its bytes was accepted, never before.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::AnyStream;
use crate::connectors::boxed;

/// Where a connection is cut, counted from the beginning of the request that `after` others have preceded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// So many requests are served before.
    pub after: usize,
    /// How it is cut.
    pub how: How,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum How {
    /// Not at all.
    #[default]
    Never,
    /// It is closed while it rests, and only a read tells.
    WhileIdle,
    /// A write fails when so many bytes were accepted, and so does every read.
    Write(usize),
    /// It ends when so many bytes were accepted, but writes are only held up.
    End(usize),
    /// It ends when so many bytes of the response were read.
    Read(usize),
    /// It stays open, and nothing is served.
    Silent,
}

/// Opens streams that are cut as planned, in order; those that are not planned are not cut.
#[derive(Clone, Debug)]
pub struct CutHttp1(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    plans: VecDeque<Cut>,
    opened: usize,
    closed_idle: bool,
    executed: Vec<String>,
    last_length: usize,
    response: Vec<u8>,
}

impl CutHttp1 {
    /// A server that gives every request this response.
    pub fn new(response: impl AsRef<[u8]>, plans: impl IntoIterator<Item = Cut>) -> Self {
        let (plans, response) = (plans.into_iter().collect(), response.as_ref().to_vec());
        Self(Arc::new(Mutex::new(State {
            plans,
            opened: 0,
            closed_idle: false,
            executed: Vec::new(),
            last_length: 0,
            response,
        })))
    }

    /// The first lines of the requests that the server has had whole.
    pub fn executed(&self) -> Vec<String> {
        self.state().executed.clone()
    }

    /// The bytes of the request that was executed last.
    pub fn last_length(&self) -> usize {
        self.state().last_length
    }

    /// How many streams were opened.
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// Closes the streams that are cut [`How::WhileIdle`], and wakes no task.
    pub fn close_idle(&self) {
        self.state().closed_idle = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for CutHttp1 {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        _: &&'static str,
        _: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let mut state = self.state();
        state.opened += 1;
        let cut = state.plans.pop_front().unwrap_or_default();
        let server = self.clone();
        Ok(boxed(Connected::new(CutHttp1Stream {
            server,
            cut,
            served: 0,
            begun: false,
            received: Vec::new(),
            accepted: 0,
            answer: VecDeque::new(),
            delivered: 0,
            reader: None,
        })))
    }

    fn target(&self, name: &&'static str) -> Target {
        Target::http(name.parse().expect("a valid authority"))
    }
}

/// A stream of [`CutHttp1`].
#[derive(Debug)]
struct CutHttp1Stream {
    server: CutHttp1,
    cut: Cut,
    served: usize,
    /// The client has tried to write the request that is to be cut.
    begun: bool,
    received: Vec<u8>,
    /// Of the request under way.
    accepted: usize,
    answer: VecDeque<u8>,
    /// Of the response under way.
    delivered: usize,
    reader: Option<Waker>,
}

impl CutHttp1Stream {
    fn cut(&self) -> How {
        if self.served >= self.cut.after { self.cut.how } else { How::Never }
    }

    /// How many more bytes may be accepted, or delivered, before the cut.
    fn left(&self, of: impl Fn(How) -> Option<usize>, gone: usize) -> usize {
        of(self.cut()).map_or(usize::MAX, |at| at - gone)
    }

    fn is_at_end(&self) -> bool {
        match self.cut() {
            How::Never | How::Silent => false,
            How::WhileIdle => self.server.state().closed_idle,
            How::Write(at) | How::End(at) => self.begun && self.accepted == at,
            How::Read(at) => self.delivered == at && !self.answer.is_empty(),
        }
    }

    /// Executes the request if all of it is there.
    fn serve(&mut self) {
        let Some(head) = find(&self.received, b"\r\n\r\n").map(|place| place + 4) else { return };
        let text = String::from_utf8_lossy(&self.received[..head]).to_ascii_lowercase();
        let body = &self.received[head..];
        let whole = match text.split_once("content-length: ") {
            Some((_, rest)) => {
                let length = rest.split("\r\n").next().and_then(|length| length.parse().ok());
                body.len() >= length.expect("a length")
            }
            None => !text.contains("transfer-encoding: chunked") || body.ends_with(b"0\r\n\r\n"),
        };
        if whole && self.cut() != How::Silent {
            let line = text.lines().next().unwrap_or_default().to_owned();
            let mut state = self.server.state();
            state.executed.push(line);
            state.last_length = self.received.len();
            self.answer = state.response.iter().copied().collect();
            drop(state);
            self.received.clear();
            self.delivered = 0;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }
}

impl AsyncRead for CutHttp1Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_at_end() {
            return match self.cut() {
                How::Write(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                _ => Poll::Ready(Ok(())),
            };
        }
        let read = |how| if let How::Read(at) = how { Some(at) } else { None };
        let most = self.left(read, self.delivered).min(buffer.remaining()).min(self.answer.len());
        if most == 0 {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes: Vec<u8> = self.answer.drain(..most).collect();
        buffer.put_slice(&bytes);
        self.delivered += most;
        if self.answer.is_empty() {
            self.served += 1;
            self.accepted = 0;
            self.delivered = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CutHttp1Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |how| match how {
            How::Write(at) | How::End(at) => Some(at),
            _ => None,
        };
        self.begun = self.served >= self.cut.after;
        let most = self.left(write, self.accepted).min(bytes.len());
        if most == 0 && !bytes.is_empty() {
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            return match self.cut() {
                How::Write(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                _ => Poll::Pending,
            };
        }
        self.received.extend_from_slice(&bytes[..most]);
        self.accepted += most;
        self.serve();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(most))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
