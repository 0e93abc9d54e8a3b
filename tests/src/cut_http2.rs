//! Streams in HTTP/2 that are cut at a byte, and the server at their other end, which tells what it has seen.
//!
//! What must hold: the byte counts begin when the connection is armed, so that what a request writes, and what is
//! written back, can be told from what was before it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{Request, Response};
use pool_core::{ConnectOptions, Connected, Connector, Target, async_trait};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::advance;

use crate::connectors::boxed;
use crate::{AnyStream, How, settle};

/// More than any request here needs, so that no write is held up but by a cut.
const ROOM: usize = 1024 * 1024;

/// Opens streams that are cut as planned, in order; those that are not planned are not cut.
#[derive(Clone, Debug, Default)]
pub struct CutHttp2(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    plans: VecDeque<How>,
    opened: usize,
    serving: usize,
    armed: bool,
    seen: Vec<String>,
    executed: Vec<String>,
    /// What went through the armed connection, each way.
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl CutHttp2 {
    /// A server that answers every request with `done`.
    pub fn new(plans: impl IntoIterator<Item = How>) -> Self {
        Self(Arc::new(Mutex::new(State { plans: plans.into_iter().collect(), ..State::default() })))
    }

    /// From here on bytes count, and cuts are made.
    pub fn arm(&self) {
        self.state().armed = true;
    }

    /// How many streams were opened.
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// The paths of the requests whose head the server has had.
    pub fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    /// The paths of the requests that the server has had whole.
    pub fn executed(&self) -> Vec<String> {
        self.state().executed.clone()
    }

    /// What the client has sent since the connection was armed, and what it has received.
    pub fn record(&self) -> (Vec<u8>, Vec<u8>) {
        let state = self.state();
        (state.sent.clone(), state.received.clone())
    }

    /// Waits until the server has read all that it will ever get, however long the client lingers. The clock is
    /// paused.
    pub async fn until_served(&self) {
        while self.state().serving > 0 {
            settle().await;
            advance(Duration::from_secs(1)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, stream: DuplexStream) {
        let mut requests = JoinSet::new();
        if let Ok(mut connection) = server::handshake(stream).await {
            while let Some(Ok((request, respond))) = connection.accept().await {
                self.state().seen.push(request.uri().path().to_owned());
                requests.spawn(execute(self.clone(), request, respond));
            }
        }
        while requests.join_next().await.is_some() {}
        self.state().serving -= 1;
    }
}

async fn execute(
    server: CutHttp2,
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    while let Some(data) = request.body_mut().data().await {
        let Ok(data) = data else { return };
        request.body_mut().flow_control().release_capacity(data.len()).ok();
    }
    server.state().executed.push(request.uri().path().to_owned());
    // A client that has gone needs no answer.
    if let Ok(mut stream) = respond.send_response(Response::new(()), false) {
        stream.send_data(Bytes::from_static(b"done"), true).ok();
    }
}

#[async_trait]
impl Connector for CutHttp2 {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        _: &&'static str,
        _: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let (ours, theirs) = tokio::io::duplex(ROOM);
        let how = {
            let mut state = self.state();
            state.opened += 1;
            state.serving += 1;
            state.plans.pop_front().unwrap_or_default()
        };
        tokio::spawn(self.clone().serve(theirs));
        let first = self.opened() == 1;
        let server = self.clone();
        let counts = Counts { first, ..Counts::default() };
        let stream = CutHttp2Stream { server, inner: ours, how, counts, reader: None };
        Ok(boxed(Connected::new(stream)))
    }

    fn target(&self, name: &&'static str) -> Target {
        Target::http(name.parse().expect("a valid authority"))
    }
}

/// A stream of [`CutHttp2`].
#[derive(Debug)]
struct CutHttp2Stream {
    server: CutHttp2,
    inner: DuplexStream,
    how: How,
    counts: Counts,
    reader: Option<Waker>,
}

/// Since the connection was armed.
#[derive(Debug, Default)]
struct Counts {
    first: bool,
    written: usize,
    read: usize,
    /// The connection is over.
    cut: bool,
}

impl CutHttp2Stream {
    fn how(&self) -> How {
        if self.server.state().armed { self.how } else { How::Never }
    }

    fn is_recorded(&self) -> bool {
        self.counts.first && self.server.state().armed
    }

    /// It is over; a task that waits to read is told.
    fn cut(&mut self) {
        self.counts.cut = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn end(&self) -> Poll<io::Result<()>> {
        match self.how {
            How::Write(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for CutHttp2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let how = self.how();
        if self.counts.cut || how == How::WhileIdle {
            return self.end();
        }
        self.reader = Some(cx.waker().clone());
        let left = match how {
            How::Read(at) => at - self.counts.read,
            _ => usize::MAX,
        };
        let mut piece = vec![0; buffer.remaining().min(left.max(1))];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        if left == 0 && !piece.filled().is_empty() {
            // More has come, and does not arrive.
            self.counts.cut = true;
            return self.end();
        }
        buffer.put_slice(piece.filled());
        if self.is_recorded() {
            self.counts.read += piece.filled().len();
            self.server.state().received.extend_from_slice(piece.filled());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CutHttp2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let how = self.how();
        let most = match how {
            How::Write(at) | How::End(at) => (at - self.counts.written).min(bytes.len()),
            _ => bytes.len(),
        };
        if most == 0 && !bytes.is_empty() {
            self.cut();
            return match how {
                How::Write(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                _ => Poll::Pending,
            };
        }
        let accepted = ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes[..most]))?;
        if self.is_recorded() {
            self.counts.written += accepted;
            self.server.state().sent.extend_from_slice(&bytes[..accepted]);
        }
        Poll::Ready(Ok(accepted))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
