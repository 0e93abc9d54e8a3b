//! One request over one stream of an HTTP/2 connection.
//!
//! The task of the connection does the work; the request waits for what it finds. What must hold: a stream whose caller
//! has gone is reset, or, where many are, read to its end by that task; and its lease is held until both sides of it
//! have ended.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::bookkeeping;
use super::open_stream::{OpenStream, read_to_end};
use super::pending::PendingRequest;
use super::response_body::Body;
use super::timers::HeadLimits;
use crate::conn::http2::Unanswered;
use crate::io::Traffic;
use crate::lanes::StreamLease;
use crate::report::{Attempt, Error, Reason, Written};
use crate::request::{RequestBody, SavedRequest, StreamHold, fit_http2};

type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Unanswered>> + Send>>;

/// Sends the request over a stream of its own, and waits for the head of its response. After a failure the request is
/// pending again if it can be sent again.
///
/// Cancel safety: the stream is reset, or read to its end, when the future drops.
pub(super) async fn exchange(
    lease: StreamLease,
    mut pending: PendingRequest,
) -> (PendingRequest, Result<Response<Body>, Error>) {
    let sent = send(lease, &mut pending).await;
    (pending, sent)
}

async fn send(
    mut lease: StreamLease,
    pending: &mut PendingRequest,
) -> Result<Response<Body>, Error> {
    let host = Arc::clone(lease.lane().host());
    let Some(mut request) = pending.request.take() else { unreachable!("a request is sent once") };
    let mut saved = SavedRequest::default();
    saved.record(&request);
    if let Err(why) = fit_http2(&mut request, pending.facts, lease.lane().default_target()) {
        pending.request = saved.take(Some(request.into_body()));
        return Err(Error::invalid_request(host.name(), why));
    }
    lease.begin();
    pending.attempts += 1;
    let info = lease.info(pending.attempts);
    bookkeeping::checked_out(&host, || info.clone());
    let all = if request.body().is_end_stream() { Written::Whole } else { Written::Partly };

    let connection = Arc::clone(&lease.connection);
    // Asked when the attempt has ended: a connection that has served others meanwhile was good enough for them.
    let attempt = |written| Attempt::shared(info.clone(), connection.is_fresh(), written);
    let stream = OpenStream::new(lease);
    // Not of the connection: it counts the frames of this request alone.
    let traffic = Arc::<Traffic>::default();
    request.body_mut().begin(&traffic);
    let hold: Arc<dyn StreamHold> = Arc::clone(stream.lease()) as _;
    request.body_mut().hold(hold);
    let mut limits = HeadLimits::new(host.settings().response_timeout, &traffic);
    let before = stream.lease().connection.written();
    let mut awaiting = AwaitingHead::begin(&stream, request);
    let answer = poll_fn(|cx| match awaiting.answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => limits.poll(cx, &traffic).map(Err),
    })
    .await;
    match answer {
        Ok(Ok(response)) => {
            awaiting.is_over = true;
            drop(awaiting);
            Ok(receive(stream, response, attempt(all)))
        }
        Ok(Err(unanswered)) => {
            awaiting.is_over = true;
            Err(fail(&stream, unanswered, pending, saved, attempt(all), before))
        }
        Err(overrun) => {
            stream.times_out();
            Err(overrun.into_error(host.name()).at(attempt(all)))
        }
    }
}

fn receive(stream: OpenStream, response: Response<Incoming>, attempt: Attempt) -> Response<Body> {
    let lease = stream.lease();
    lease.connection.answered();
    let info = attempt.connection();
    lease.lane().host().note_response(info.use_number(), info.idle_for());
    if response.extensions().get::<OnUpgrade>().is_some() {
        // The tunnel holds no lease, and must not be cut when the last lease ends.
        lease.connection.set_tunnelled();
        lease.stop_using(Reason::Upgraded);
    }
    response.map(|incoming| Body::shared(incoming, stream, attempt))
}

/// There is no response.
fn fail(
    stream: &OpenStream,
    mut unanswered: Unanswered,
    pending: &mut PendingRequest,
    mut saved: SavedRequest,
    attempt: Attempt,
    written_before: u64,
) -> Error {
    let lease = stream.lease();
    let (host, connection) = (lease.lane().host(), &lease.connection);
    let back = unanswered.take_message();
    let error = unanswered.into_error();
    let cause = StreamError::of(&error);
    // A connection that has accepted nothing since then has accepted nothing of this request.
    let untouched = connection.written() == written_before && !cause.is_of_stream();
    let unsent = back.is_some() || untouched;
    if back.is_some() || cause.ended_connection() || unsent && connection.is_leaving() {
        bookkeeping::connection_ended(host, &attempt);
    }
    pending.fail(saved.take(back.map(|back| back.into_body().without_gate())), host);
    if unsent {
        return Error::unsent(host.name(), error).at(attempt.unsent());
    }
    match cause {
        StreamError::Refused { .. } => {
            if connection.refused() {
                lease.stop_using(Reason::ClosedByPeer);
            }
            Error::refused(host.name(), error).at(attempt)
        }
        StreamError::Body => Error::request_body(host.name(), error).at(attempt),
        StreamError::ConnectionLost | StreamError::Other => {
            Error::response(host.name(), error).at(attempt)
        }
    }
}

/// What went wrong with a stream.
enum StreamError {
    /// The server says that it has not processed the request, RFC 9113 8.7: by a reset, or by a GOAWAY.
    Refused {
        goaway: bool,
    },
    /// The connection has ended without a word about the request.
    ConnectionLost,
    /// The request body failed, and so the stream was reset from here.
    Body,
    Other,
}

impl StreamError {
    fn of(error: &hyper::Error) -> Self {
        let mut causes = std::iter::successors(error.source(), |error| (*error).source());
        let Some(error) = causes.find_map(|error| error.downcast_ref::<h2::Error>()) else {
            // hyper passes on an error of the stream below without that of h2.
            let lost = error.source().is_some_and(|error| error.is::<io::Error>());
            return if lost { Self::ConnectionLost } else { Self::Other };
        };
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        if error.is_remote() && (error.is_go_away() || error.is_reset() && refused) {
            Self::Refused { goaway: error.is_go_away() }
        } else if error.is_reset() && !error.is_remote() && !error.is_library() {
            Self::Body
        } else {
            Self::Other
        }
    }

    fn ended_connection(&self) -> bool {
        matches!(self, Self::Refused { goaway: true } | Self::ConnectionLost)
    }

    /// Whether something of the request must have been written.
    fn is_of_stream(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Body)
    }
}

/// A request whose response has not come.
struct AwaitingHead {
    answer: Answer,
    stream: OpenStream,
    is_over: bool,
}

impl AwaitingHead {
    fn begin(stream: &OpenStream, request: Request<RequestBody>) -> Self {
        let answer = Box::pin(stream.lease().connection.send(request));
        Self { answer, stream: stream.clone(), is_over: false }
    }
}

impl Drop for AwaitingHead {
    fn drop(&mut self) {
        let connection = &self.stream.lease().connection;
        if self.is_over || connection.take_reset() {
            // The answer drops here, and h2 resets the stream.
            return;
        }
        let over: Answer = Box::pin(std::future::pending());
        let (answer, stream) = (std::mem::replace(&mut self.answer, over), self.stream.clone());
        connection.spawn(async move {
            let rest = async {
                if let Ok(response) = answer.await {
                    read_to_end(response.into_body()).await;
                }
            };
            stream.until_resettable(rest).await;
        });
    }
}
