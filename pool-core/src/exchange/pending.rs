//! A request on its way: whole and as its caller gave it, except while an attempt has it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request};
use tokio::time::Instant;

use super::along::Along;
use crate::lanes::Wants;
use crate::policy::{Host, RetryToken, Trial};
use crate::report::{Error, ErrorKind, Event, Observed, ServerInfo};
use crate::request::{
    Failure, HeadFacts, Http1Only, REFUSED_TRIES, RequestBody, Reuse, STALE_TRIES, Verdict,
    check_head, is_idempotent, may_repeat, pause_after_refusals,
};
use crate::settings::{Http2, Settings};

#[derive(Default)]
pub(crate) struct PendingRequest {
    /// None while an attempt has it, and when it cannot be sent again.
    pub(super) request: Option<Request<RequestBody>>,
    pub(super) facts: HeadFacts,
    reuse: Reuse,
    /// The host of the connection that the last attempt failed on.
    failed_at: Option<Arc<Host>>,
    /// A host has counted it as a request.
    is_counted: bool,
    /// The host that has, where it may go to several addresses.
    pub(super) counted_at: Option<Arc<Host>>,
    /// How many attempts have had a connection.
    pub(super) attempts: u32,
    /// A connection has accepted some of it.
    reached_wire: bool,
    /// A server may have acted upon it.
    maybe_processed: bool,
    /// While a request that was lost with a shared connection is sent again.
    retry_token: Option<RetryToken>,
    /// Which connections the next attempt may go over; none while that is the choice of its caller.
    insists: Option<Wants>,
    /// It goes over HTTP/1 only: its caller, or a server, wants that.
    http1_only: bool,
    /// How long the next attempt waits before it looks for a connection.
    pause: Option<Duration>,
    /// What has become of the connection that it tried, until another tells whether the server is merely slow.
    pub(super) trial: Option<Box<Trial>>,
    /// What goes along with all attempts, and with the response body.
    pub(super) along: Option<Box<Along>>,
}

impl PendingRequest {
    // A call would move the request once more.
    #[inline(always)]
    pub(crate) fn new(request: Request<RequestBody>) -> Self {
        let reuse = Reuse::of(request.extensions());
        let http1_only = Http1Only::is_in(request.extensions());
        Self {
            request: Some(request),
            facts: HeadFacts::default(),
            reuse,
            failed_at: None,
            is_counted: false,
            counted_at: None,
            attempts: 0,
            reached_wire: false,
            maybe_processed: false,
            retry_token: None,
            insists: None,
            http1_only,
            pause: None,
            trial: None,
            along: None,
        }
    }

    /// Reads the head, or says why it cannot be sent.
    pub(super) fn check(&mut self) -> Result<(), &'static str> {
        if let Some(request) = &mut self.request {
            self.facts = check_head(request)?;
        }
        Ok(())
    }

    /// The exchange begins now, if it has not begun before.
    #[inline]
    pub(super) fn begin(&mut self, host: &Host) {
        if self.attempts == 0 && self.along.is_none() {
            self.along = Along::with(self.request.as_ref(), host);
        }
    }

    /// It asks this host for a connection.
    #[inline]
    pub(super) fn count(&mut self, host: &Host) {
        // It may come back without an attempt.
        if !std::mem::replace(&mut self.is_counted, true) {
            host.counters().requested();
        }
    }

    /// The total time, if it is over before anything was sent.
    #[inline]
    pub(super) fn is_overdue(&self) -> Option<Duration> {
        self.along.as_ref().and_then(|along| along.bounds.is_overdue(Instant::now()))
    }

    /// How long the head of the response may take.
    #[inline]
    pub(super) fn response_timeout(&self, settings: &Settings) -> Option<Duration> {
        let own = self.along.as_ref().and_then(|along| along.bounds.response());
        own.unwrap_or(settings.response_timeout)
    }

    /// How long it waits for the head, or for the whole response if that is less.
    pub(super) fn longest_wait(&self, settings: &Settings) -> Option<Duration> {
        let total = self.along.as_ref().and_then(|along| along.bounds.total());
        self.response_timeout(settings).into_iter().chain(total).min()
    }

    /// Ready with the total time when it is over.
    #[inline]
    pub(super) fn poll_total(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        match &mut self.along {
            Some(along) => along.bounds.poll_total(cx),
            None => Poll::Pending,
        }
    }

    /// Which connections it may go over.
    #[inline]
    pub(super) fn wants(&self) -> Wants {
        if let Some(wants) = self.insists {
            return wants;
        }
        let trusts_idle = match self.reuse {
            Reuse::Always => true,
            Reuse::Never => false,
            Reuse::Safe => self.can_be_sent_again(),
        };
        if trusts_idle { Wants::Any } else { Wants::Fresh }
    }

    /// Whether it cannot go over HTTP/2.
    #[inline]
    pub(super) fn needs_http1(&self) -> bool {
        self.http1_only || self.facts.needs_http1()
    }

    /// How long it waits before it looks for a connection.
    #[inline]
    pub(super) fn take_pause(&mut self) -> Option<Duration> {
        self.pause.take()
    }

    /// Whether it may try a connection that may be lost: it has not failed before, can be sent again, and waits for no longer
    /// than some time.
    pub(super) fn may_try(&self, settings: &Settings) -> bool {
        self.attempts == 0 && self.can_be_sent_again() && self.longest_wait(settings).is_some()
    }

    fn can_be_sent_again(&self) -> bool {
        self.request.as_ref().is_some_and(|request| {
            self.is_idempotent(request.method()) && request.body().is_replayable()
        })
    }

    fn is_idempotent(&self, method: &Method) -> bool {
        self.facts.idempotency_key || is_idempotent(method)
    }

    /// An attempt over a connection to `host` has failed; the request is back if it can be sent again.
    pub(crate) fn fail(&mut self, request: Option<Request<RequestBody>>, host: &Arc<Host>) {
        self.request = request;
        self.failed_at = Some(Arc::clone(host));
    }

    /// Decides whether the request is sent again after that error; gives the error back if not.
    pub(super) fn retry(&mut self, error: Error) -> Result<(), Error> {
        self.retry_token = None;
        self.note(&error);
        let evidence = error.evidence();
        let (Some(last), Some(host)) = (&evidence.last, self.failed_at.take()) else {
            return Err(error);
        };
        let kinds = [ErrorKind::Unsent, ErrorKind::Refused, ErrorKind::Response];
        let tries = if evidence.refused { REFUSED_TRIES } else { STALE_TRIES + 1 };
        if !kinds.contains(&error.kind()) || self.attempts >= tries {
            return Err(error);
        }
        let is_idempotent = |request: &Request<RequestBody>| self.is_idempotent(request.method());
        let verdict = may_repeat(Failure {
            repeatable: self.request.is_some(),
            refused: evidence.refused,
            fresh: last.is_fresh(),
            reached_wire: last.reached_wire(),
            unanswered: last.is_unanswered(),
            idempotent: self.request.as_ref().is_some_and(is_idempotent),
            shared: last.is_shared(),
            http1_required: evidence.http1_required,
        });
        let newer = || Wants::Newer(host.pool().latest_connection_id());
        match verdict {
            Verdict::No => return Err(error),
            Verdict::Yes if evidence.refused => self.pause = pause_after_refusals(self.attempts),
            Verdict::Yes if self.attempts < STALE_TRIES => {}
            Verdict::Yes if last.is_shared() => self.insists = Some(newer()),
            Verdict::Yes | Verdict::Fresh => self.insists = Some(Wants::Fresh),
            Verdict::Http1 => {
                if host.settings().http2 == Http2::Assumed {
                    return Err(error);
                }
                self.http1_only = true;
            }
            Verdict::Newer => {
                let Some(token) = host.retry_token() else { return Err(error) };
                self.retry_token = Some(token);
                self.insists = Some(newer());
            }
        }
        host.counters().retried();
        host.tell(|| Event::Retried { error: &error });
        if let Some(along) = &mut self.along {
            along.followers.retry(&error);
        }
        Ok(())
    }

    /// Remembers whether a connection had accepted any of it.
    pub(super) fn note(&mut self, error: &Error) {
        let evidence = error.evidence();
        self.reached_wire |= evidence.reached_wire;
        self.maybe_processed |= evidence.reached_wire && !evidence.refused;
    }

    /// Keeps nothing of the request any more.
    #[inline]
    pub(super) fn let_go(&mut self) {
        self.request = None;
        self.failed_at = None;
        self.retry_token = None;
        self.trial = None;
    }

    /// The request ends in this error, which gets what is known of the request as a whole. Who follows it hears of it.
    pub(super) fn end(&mut self, error: Error, server: &ServerInfo, observed: &Observed) -> Error {
        if self.along.is_none() && observed.is_any() {
            self.along = Some(Along::refused(self.request.as_ref(), server, observed));
        }
        let unsent = !self.reached_wire;
        let request = self.request.take_if(|_| unsent);
        let error = error.explain(self.attempts, self.reached_wire, self.maybe_processed, request);
        if let Some(mut along) = self.along.take() {
            along.followers.fail(&error);
        }
        error
    }
}
