//! One request over one stream of an HTTP/2 connection.
//!
//! The task of the connection does the work; the request waits for what it finds. What must hold: a stream that
//! nobody waits for any more is reset, or, where many are, read to its end by that task; and its slot is held
//! until both sides of it have ended.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use tokio::time::timeout;

use crate::body::Body;
use crate::error::Error;
use crate::events::Event;
use crate::evidence::{Attempt, Written};
use crate::head;
use crate::http2::Unanswered;
use crate::message::Message;
use crate::multiplex::{Multiplex, Slot};
use crate::replay::Replay;
use crate::request_body::RequestBody;
use crate::stats::Reason;
use crate::stream::Traffic;
use crate::timers::Patience;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Unanswered>> + Send>>;

/// How often it is asked whether one more stream may be reset.
const BETWEEN_RESETS: Duration = Duration::from_millis(50);

/// A stream that is open, and the place that it takes on its connection.
#[derive(Clone, Debug)]
pub(crate) struct OpenStream(pub(crate) Arc<Slot>);

impl Slot {
    /// As [`Lease::send`](crate::lease::Lease::send), over a stream of its own.
    ///
    /// Cancel safety: the stream is reset, or read to its end, when the future drops.
    pub(crate) async fn send(
        self,
        mut message: Message,
    ) -> (Message, Result<Response<Body>, Error>) {
        let sent = self.exchange(&mut message).await;
        (message, sent)
    }

    async fn exchange(mut self, message: &mut Message) -> Result<Response<Body>, Error> {
        let host = Arc::clone(&self.lane.host);
        let Some(mut request) = message.request.take() else {
            unreachable!("a request is sent once")
        };
        let mut replay = Replay::default();
        replay.record(&request);
        if let Err(why) = head::make_http2(&mut request, message.told, &self.lane.naming) {
            message.request = replay.take(Some(request.into_body()));
            return Err(Error::invalid_request(&host.name, why));
        }
        self.begin();
        message.attempts += 1;
        let info = self.info(message.attempts);
        let fresh = self.multiplex.is_fresh();
        host.tell(|| Event::CheckedOut {
            id: info.id(),
            use_number: info.use_number(),
            idle_for: info.idle_for(),
        });
        let attempt = |written| Attempt::shared(info.clone(), fresh, written);
        let all = if request.body().is_end_stream() { Written::Whole } else { Written::Partly };

        let stream = OpenStream(Arc::new(self));
        let traffic = Arc::<Traffic>::default();
        request.body_mut().begin(&traffic);
        request.body_mut().hold(&stream);
        let mut patience = Patience::new(host.shared.settings.response_timeout, &traffic);
        let before = stream.0.multiplex.written();
        let mut waiting = Waiting::begin(&stream, request);
        let answer = poll_fn(|cx| match waiting.answer.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Ok(answer)),
            Poll::Pending => patience.poll(cx, &traffic).map(Err),
        })
        .await;
        match answer {
            Ok(Ok(response)) => {
                waiting.is_over = true;
                drop(waiting);
                Ok(stream.receive(response, attempt(all)))
            }
            Ok(Err(unanswered)) => {
                waiting.is_over = true;
                Err(stream.fail(unanswered, message, replay, attempt(all), before))
            }
            Err(impatient) => {
                stream.times_out();
                Err(impatient.into_error(&host.name).at(attempt(all)))
            }
        }
    }
}

impl OpenStream {
    fn receive(self, response: Response<Incoming>, attempt: Attempt) -> Response<Body> {
        let Slot { multiplex, lane, .. } = &*self.0;
        multiplex.answered();
        lane.host.horizon.prove(attempt.connection().idle_for());
        if response.extensions().get::<OnUpgrade>().is_some() {
            // The tunnel holds no slot, and must not be cut for want of one.
            multiplex.holds_tunnel();
            lane.stop_using(multiplex, Reason::Upgraded);
        }
        if !attempt.is_fresh() {
            lane.host.counters.reused();
        }
        response.map(|incoming| Body::shared(incoming, self, attempt))
    }

    fn fail(
        &self,
        mut unanswered: Unanswered,
        message: &mut Message,
        mut replay: Replay,
        attempt: Attempt,
        written_before: u64,
    ) -> Error {
        let Slot { multiplex, lane, .. } = &*self.0;
        let name = &lane.host.name;
        let back = unanswered.take_message();
        let error = unanswered.into_error();
        let fault = Fault::of(&error);
        // A connection that has accepted nothing since then has accepted nothing of this request.
        let untouched = multiplex.written() == written_before && matches!(fault, Fault::Other);
        let unsent = back.is_some() || untouched;
        message.request = replay.take(back.map(|back| back.into_body().come_back()));
        message.failed_at = Some(Arc::clone(&lane.host));
        match fault {
            _ if unsent => Error::unsent(name, error).at(attempt.unsent()),
            Fault::Refused => {
                if multiplex.refused() {
                    lane.stop_using(multiplex, Reason::ClosedByPeer);
                }
                Error::refused(name, error).at(attempt)
            }
            Fault::Body => Error::request_body(name, error).at(attempt),
            Fault::Other => Error::response(name, error).at(attempt),
        }
    }

    /// The server has taken too long: others shall not be sent to where nobody answers.
    pub(crate) fn times_out(&self) {
        self.0.lane.stop_using(&self.0.multiplex, Reason::TimedOut);
    }

    /// Has the rest of a response read by the task of the connection, where resetting its stream would be one
    /// reset too many.
    pub(crate) fn abandon(self, mut incoming: Incoming) {
        if incoming.is_end_stream() {
            return;
        }
        if self.0.multiplex.may_reset() {
            return self.0.give_up();
        }
        let multiplex = Arc::clone(&self.0.multiplex);
        multiplex.leave_to_task(Box::pin(async move {
            let rest = async { while let Some(Ok(_)) = incoming.frame().await {} };
            if !self.until_resettable(rest).await {
                self.0.give_up();
            }
        }));
    }

    /// Whether nobody waits for the response any more; tells later if not.
    pub(crate) fn is_given_up(&self, cx: &Context<'_>) -> bool {
        self.0.is_given_up(cx)
    }

    /// Goes on with what nobody waits for, until it ends or its stream may be reset; false in that case.
    async fn until_resettable(&self, rest: impl Future<Output = ()>) -> bool {
        let mut rest = pin!(rest);
        while timeout(BETWEEN_RESETS, rest.as_mut()).await.is_err() {
            if self.0.multiplex.may_reset() {
                return false;
            }
        }
        true
    }
}

/// What went wrong with a stream.
enum Fault {
    /// The server says that it has not processed the request, RFC 9113 8.7.
    Refused,
    /// The request body failed, and so the stream was reset from here.
    Body,
    Other,
}

impl Fault {
    fn of(error: &hyper::Error) -> Self {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
                return if error.is_remote() && (error.is_go_away() || error.is_reset() && refused) {
                    Self::Refused
                } else if error.is_reset() && !error.is_remote() && !error.is_library() {
                    Self::Body
                } else {
                    Self::Other
                };
            }
            cause = error.source();
        }
        Self::Other
    }
}

/// A request whose response has not come.
struct Waiting {
    answer: Answer,
    stream: OpenStream,
    is_over: bool,
}

impl Waiting {
    fn begin(stream: &OpenStream, request: Request<RequestBody>) -> Self {
        let mut sender = stream.0.multiplex.sender();
        let answer = Box::pin(sender.try_send_request(request));
        Self { answer, stream: stream.clone(), is_over: false }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.is_over || self.stream.0.multiplex.may_reset() {
            return;
        }
        let over: Answer = Box::pin(std::future::pending());
        let (answer, stream) = (std::mem::replace(&mut self.answer, over), self.stream.clone());
        let multiplex: Arc<Multiplex> = Arc::clone(&stream.0.multiplex);
        multiplex.leave_to_task(Box::pin(async move {
            stream
                .until_resettable(async {
                    if let Ok(response) = answer.await {
                        let mut incoming = response.into_body();
                        while let Some(Ok(_)) = incoming.frame().await {}
                    }
                })
                .await;
        }));
    }
}
