//! One request over one stream of an HTTP/2 connection, up to the head of its response.
//!
//! The task of the connection reads and writes; the request waits for what it finds. What must hold: a stream whose caller
//! has gone is reset, or, where many are, read to its end by that task; its lease is held until both sides of it have
//! ended; and a connection of which nothing was heard while the request waited is asked for a sign of life.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::RecvStream;
use http::{HeaderMap, Response, StatusCode};
use tokio::time::{Instant, Sleep, sleep_until};

use super::bookkeeping;
use super::http2_failed::{failed, not_opened, timed_out};
use super::open_stream::{OpenStream, read_to_end};
use super::pending::PendingRequest;
use super::response_body::Body;
use super::timers::{HeadOverrun, TRIED};
use super::upgrade::OnTunnel;
use crate::conn::http2::{AwaitedHead, Connection, Sending, Upload};
use crate::lanes::StreamLease;
use crate::report::{Attempt, ConnectionInfo, Error, Written};
use crate::request::{Interim, SavedRequest, fit_http2};

/// What RFC 9113 6.5.2 counts for each field beside its name and value.
const FOR_FIELD: usize = 32;

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
    let fitted = allowed(&lease, pending)
        .and_then(|()| fit_http2(&mut request, pending.facts, lease.lane().default_target()));
    if let Err(why) = fitted {
        pending.request = saved.take(Some(request.into_body()));
        return Err(Error::invalid_request(host.name(), why));
    }
    let settings = host.settings();
    let expects_continue = pending.facts.expects_continue;
    let interim = Interim::of(&mut request, expects_continue, settings.expect_continue_timeout);
    lease.begin();
    pending.attempts += 1;
    let info = lease.info(pending.attempts);
    bookkeeping::checked_out(&host, || info.clone());
    let connection = Arc::clone(&lease.connection);
    let read_before = connection.wire().read();
    let (head, sending) = match connection.send(request) {
        Ok(sent) => sent,
        Err(why) => return Err(not_opened(&lease, why, info, pending, saved)),
    };
    let is_tried = host.tries_idle() && host.is_tried(connection.id());
    let stream = OpenStream::new(lease, head.upload().cloned());
    if let Some(sending) = sending {
        begin_upload(&stream, sending).await;
    }
    let limit =
        if is_tried { pending.longest_wait(settings) } else { pending.response_timeout(settings) };
    let mut awaiting = AwaitingHead {
        head: Some(head),
        stream,
        interim,
        interim_bytes: 0,
        deadline: limit.map(|limit| Deadline::new(limit, is_tried)),
        max_head: settings.connection.max_response_head,
        read_before,
        info,
    };
    let within_total = |cx: &mut Context<'_>| match awaiting.poll(cx) {
        Poll::Pending => pending.poll_total(cx).map(|limit| Err(HeadOverrun::Total(limit))),
        ready => ready,
    };
    match poll_fn(within_total).await {
        Ok(Ok(response)) => awaiting.receive(response),
        Ok(Err(error)) => {
            let attempt = awaiting.attempt();
            awaiting.head = None;
            Err(failed(&awaiting.stream, error, attempt, pending, saved))
        }
        // The stream is given up, as if the caller had gone.
        Err(overrun) => Err(timed_out(
            &awaiting.stream,
            overrun,
            awaiting.attempt(),
            awaiting.has_heard(),
            pending,
            saved,
        )),
    }
}

/// Whether the connection takes requests of this kind.
fn allowed(lease: &StreamLease, pending: &PendingRequest) -> Result<(), &'static str> {
    if pending.facts.is_extended_connect() && !lease.connection.allows_extended_connect() {
        return Err("its server does not allow extended CONNECT, RFC 8441");
    }
    if pending.needs_http1() {
        return Err("it can only go over HTTP/1, and its connection speaks HTTP/2");
    }
    Ok(())
}

/// Sends what can be sent of a body at once; the task of the connection sends the rest.
async fn begin_upload(stream: &OpenStream, mut sending: Sending) {
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut sending).poll(cx))).await;
    if first.is_pending() {
        let hold = stream.clone();
        stream.lease().connection.spawn(async move {
            sending.await;
            drop(hold);
        });
    }
}

/// A request whose response has not come.
struct AwaitingHead {
    /// None once it is over.
    head: Option<AwaitedHead>,
    stream: OpenStream,
    interim: Interim,
    /// What 1xx answers have come to.
    interim_bytes: usize,
    deadline: Option<Deadline>,
    max_head: usize,
    /// What had been read of the connection when the request was sent.
    read_before: u64,
    info: ConnectionInfo,
}

impl AwaitingHead {
    fn connection(&self) -> &Connection {
        &self.stream.lease().connection
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Result<Response<RecvStream>, h2::Error>, HeadOverrun>> {
        let Some(head) = &mut self.head else { unreachable!("it is not polled after its end") };
        loop {
            match head.poll_interim(cx) {
                Poll::Pending => break,
                Poll::Ready(Some((status, fields))) => {
                    self.interim_bytes += FOR_FIELD + size_of_fields(&fields);
                    if self.interim_bytes > self.max_head {
                        return Poll::Ready(Err(HeadOverrun::Interim(self.max_head)));
                    }
                    if status == StatusCode::SWITCHING_PROTOCOLS {
                        return Poll::Ready(Err(HeadOverrun::Switch));
                    }
                    self.interim.pass(status, &fields);
                }
                Poll::Ready(None) => return head.poll_head(cx).map(Ok),
            }
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        let heard = self.stream.lease().connection.wire().read() != self.read_before;
        deadline.poll(cx, head.upload(), heard).map(|limit| Err(HeadOverrun::Time(limit)))
    }

    /// Whether anything was read on the connection since the request was sent.
    fn has_heard(&self) -> bool {
        self.connection().wire().read() != self.read_before
    }

    /// How far the request has come.
    fn attempt(&self) -> Attempt {
        let Some(head) = &self.head else { unreachable!("it is not over") };
        let (wire, connection) = (self.connection().wire(), self.connection());
        let whole = head.upload().is_none_or(|upload| upload.is_whole()) && wire.is_flushed();
        let written = match () {
            () if !wire.may_have_sent(head.stream()) => Written::Nothing,
            () if whole => Written::Whole,
            () => Written::Partly,
        };
        // Asked when the attempt has ended: a connection that has served others meanwhile was good enough for them.
        let fresh = connection.is_fresh();
        Attempt::shared(self.info.clone(), fresh, written, self.interim_bytes > 0)
    }

    fn receive(mut self, response: Response<RecvStream>) -> Result<Response<Body>, Error> {
        let attempt = self.attempt().answered();
        let Some(head) = self.head.take() else { unreachable!("it is over once") };
        let stream = self.stream.clone();
        let lease = stream.lease();
        lease.connection.answered();
        bookkeeping::stream_answered(lease);
        let host = lease.lane().host();
        host.note_response(self.info.use_number(), self.info.idle_for());
        let size = FOR_FIELD + size_of_fields(response.headers()) + self.interim_bytes;
        if size > self.max_head {
            let error = Error::large_head(host.name(), self.max_head).at(attempt);
            stream.clone().abandon(response.into_body());
            return Err(error);
        }
        if self.interim.gate().is_some_and(|gate| gate.refuse()) {
            stream.ends_with_response();
        }
        let (mut parts, incoming) = response.into_parts();
        if !(head.is_for_tunnel() && parts.status.is_success()) {
            let body = Body::shared(incoming, stream, attempt, &parts.headers);
            return Ok(Response::from_parts(parts, body));
        }
        if let Ok(tunnel) = head.into_tunnel(incoming) {
            parts.extensions.insert(OnTunnel::new(tunnel, self.stream.clone()));
        }
        Ok(Response::from_parts(parts, Body::empty(attempt.connection().clone())))
    }
}

/// As RFC 9113 6.5.2 counts it.
fn size_of_fields(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len() + FOR_FIELD).sum()
}

impl Drop for AwaitingHead {
    fn drop(&mut self) {
        let Some(mut head) = self.head.take() else { return };
        let connection = Arc::clone(&self.stream.lease().connection);
        if !self.has_heard() && connection.wire().may_have_sent(head.stream()) {
            bookkeeping::stream_unanswered(self.stream.lease());
        }
        connection.abandon(head.stream());
        if connection.take_reset() {
            // `head` drops here, and h2 resets the stream.
            return self.stream.give_up();
        }
        let stream = self.stream.clone();
        connection.spawn(async move {
            let rest = async {
                if let Ok(response) = poll_fn(|cx| head.poll_head(cx)).await {
                    read_to_end(response.into_body()).await;
                }
            };
            // No caller waits for what the rest of the request would bring.
            stream.until_resettable(rest).await;
            stream.give_up();
        });
    }
}

/// The response timeout, which runs from when the last piece of the request was sent.
struct Deadline {
    limit: Duration,
    since: Instant,
    /// How long it runs as long as nothing was read, if that is less than the limit.
    patience: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// For a connection that `is_tried`, it is over sooner without a sign of life.
    fn new(limit: Duration, is_tried: bool) -> Self {
        let (since, patience) = (Instant::now(), is_tried.then(|| limit / TRIED));
        // A time too long for the clock is never over.
        let end = since.checked_add(patience.unwrap_or(limit));
        Self { limit, since, patience, timer: end.map(|end| Box::pin(sleep_until(end))) }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        upload: Option<&Arc<Upload>>,
        heard: bool,
    ) -> Poll<Duration> {
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        loop {
            ready!(timer.as_mut().poll(cx));
            if self.patience.is_some() && !heard {
                return Poll::Ready(self.limit);
            }
            self.patience = None;
            let since = upload.map_or(self.since, |upload| upload.moved().max(self.since));
            match since.checked_add(self.limit).filter(|later| *later > timer.deadline()) {
                Some(later) => timer.as_mut().reset(later),
                None => return Poll::Ready(self.limit),
            }
        }
    }
}
