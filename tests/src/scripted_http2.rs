//! A server in HTTP/2 whose every stream the test answers, and whose connections it can lead to their end.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::{Acceptor, Duplex};

/// One request of an HTTP/2 client.
#[derive(Debug)]
pub struct Stream {
    /// The how many-eth connection it came over, from one.
    pub connection: usize,
    /// Its head, and its body as it comes.
    pub request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    _open: Open,
}

impl Stream {
    /// The path of the request.
    pub fn path(&self) -> String {
        self.request.uri().path().to_owned()
    }

    /// Reads the body of the request to its end.
    ///
    /// # Panics
    ///
    /// When the client resets the stream.
    pub async fn read(&mut self) -> Bytes {
        let mut whole = Vec::new();
        while let Some(data) = self.request.body_mut().data().await {
            let data = data.expect("a client that goes on");
            let released = self.request.body_mut().flow_control().release_capacity(data.len());
            released.expect("what was read");
            whole.extend_from_slice(&data);
        }
        whole.into()
    }

    /// Answers with this body. A client that has gone needs no answer.
    pub fn answer(mut self, body: impl Into<Bytes>) {
        if let Ok(mut stream) = self.respond.send_response(Response::new(()), false) {
            stream.send_data(body.into(), true).ok();
        }
    }

    /// Answers with this body, and trailers.
    ///
    /// # Panics
    ///
    /// When the client has gone.
    pub fn answer_with_trailers(mut self, body: impl Into<Bytes>, trailers: HeaderMap) {
        let mut stream = self.respond.send_response(Response::new(()), false).expect("a client");
        stream.send_data(body.into(), false).expect("a client");
        stream.send_trailers(trailers).expect("a client");
    }

    /// Begins an answer; the rest can be sent later.
    ///
    /// # Panics
    ///
    /// When the client has gone.
    pub fn begin(&mut self, body: impl Into<Bytes>) -> h2::SendStream<Bytes> {
        let mut stream = self.respond.send_response(Response::new(()), false).expect("a client");
        stream.send_data(body.into(), false).expect("a client");
        stream
    }

    /// Resets the stream.
    pub fn reset(mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// Waits until the client resets the stream.
    pub async fn is_reset(&mut self) -> Option<Reason> {
        std::future::poll_fn(|cx| self.respond.poll_reset(cx)).await.ok()
    }
}

/// Counts a stream while it is open.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A server that hands every stream to the test.
pub struct Http2Server {
    streams: mpsc::UnboundedReceiver<Stream>,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    most: AtomicUsize,
    /// Every connection there is takes no further stream.
    leave: Notify,
    /// Connections accepted from here on stand still.
    deaf: AtomicBool,
    /// Every connection there is stands still from here on, without a FIN.
    silence: Notify,
    ends: Mutex<Vec<AbortHandle>>,
}

impl Http2Server {
    /// Serves what `acceptor` lets in, with so many streams at once on each connection.
    pub fn start(mut acceptor: Acceptor, streams: u32) -> Self {
        let (hand_over, received) = mpsc::unbounded_channel();
        let state = Arc::<State>::default();
        let seen = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Some(stream) = acceptor.accept().await {
                let (state, hand_over) = (Arc::clone(&seen), hand_over.clone());
                let end = connections.spawn(serve(stream, streams, state, hand_over));
                seen.ends.lock().unwrap_or_else(PoisonError::into_inner).push(end);
            }
            while connections.join_next().await.is_some() {}
        });
        Self { streams: received, state, task: task.abort_handle() }
    }

    /// The next stream that a client opens.
    ///
    /// # Panics
    ///
    /// When no client is left that could open one.
    pub async fn next(&mut self) -> Stream {
        self.streams.recv().await.expect("a client")
    }

    /// How many connections were taken in.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// The most streams that ever were open at once on one connection.
    pub fn most_streams(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Says GOAWAY on every connection, finishes what is under way, and closes.
    pub fn leave(&self) {
        self.state.leave.notify_waiters();
    }

    /// Connections that come from here on are accepted, and then neither read nor answered.
    pub fn go_deaf(&self) {
        self.state.deaf.store(true, Ordering::SeqCst);
    }

    /// The connections that there are stand still from here on: they are neither read nor written, and not closed.
    pub fn fall_silent(&self) {
        self.state.silence.notify_waiters();
    }

    /// Closes that connection without a word.
    pub fn cut_one(&self, connection: usize) {
        self.state.ends.lock().unwrap_or_else(PoisonError::into_inner)[connection - 1].abort();
    }

    /// Closes every connection without a word.
    pub fn cut(&self) {
        for end in self.state.ends.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            end.abort();
        }
    }
}

impl Drop for Http2Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Http2Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Server").field("accepted", &self.accepted()).finish_non_exhaustive()
    }
}

async fn serve(
    stream: Box<dyn Duplex>,
    streams: u32,
    state: Arc<State>,
    hand_over: mpsc::UnboundedSender<Stream>,
) {
    let number = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(streams).initial_window_size(1 << 20);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let open = Arc::<AtomicUsize>::default();
    let mut leave = std::pin::pin!(state.leave.notified());
    leave.as_mut().enable();
    let mut silence = std::pin::pin!(state.silence.notified());
    silence.as_mut().enable();
    let mut leaves = false;
    if state.deaf.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::select! {
            biased;
            () = &mut silence => std::future::pending().await,
            () = &mut leave, if !leaves => {
                connection.graceful_shutdown();
                leaves = true;
            }
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                state.most.fetch_max(now, Ordering::SeqCst);
                let open = Open(Arc::clone(&open));
                let stream = Stream { connection: number, request, respond, _open: open };
                // A test that has ended wants no more.
                hand_over.send(stream).ok();
            }
        }
    }
}
