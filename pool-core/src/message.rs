//! A request on its way: whole and as its caller gave it, except while an attempt has it.

use std::sync::Arc;

use http::{Method, Request};
use http_body::Body as _;

use crate::budget::Repetition;
use crate::error::{Error, ErrorKind};
use crate::events::Event;
use crate::head;
use crate::host::Host;
use crate::request_body::RequestBody;
use crate::retry::{Failure, STALE_TRIES, Verdict, is_idempotent, may_repeat};
use crate::reuse::Reuse;
use crate::told::Told;

#[derive(Default)]
pub(crate) struct Message {
    /// None while an attempt has it, and when it could not be had again.
    pub(crate) request: Option<Request<RequestBody>>,
    pub(crate) told: Told,
    /// It is sent in chunks, as its caller asks or because its length is not known before it has been read.
    pub(crate) chunked: bool,
    reuse: Reuse,
    /// Whose connection the last attempt failed on.
    pub(crate) failed_at: Option<Arc<Host>>,
    /// How many attempts have had a connection.
    pub(crate) attempts: u32,
    /// Some connection has accepted some of it.
    reached_wire: bool,
    /// Some server may have acted upon it.
    maybe_processed: bool,
    /// While a request that had reached the wire is sent again.
    repetition: Option<Repetition>,
}

impl Message {
    /// A request that nothing is known of yet.
    // Inlined into the code of callers, where it saves moving the request.
    #[inline]
    pub(crate) fn new(request: Request<RequestBody>) -> Self {
        let reuse = Reuse::of(request.extensions());
        Self {
            request: Some(request),
            told: Told::default(),
            chunked: false,
            reuse,
            failed_at: None,
            attempts: 0,
            reached_wire: false,
            maybe_processed: false,
            repetition: None,
        }
    }

    /// Reads the head, or says why it cannot be sent.
    pub(crate) fn check(&mut self) -> Result<(), &'static str> {
        let Some(request) = &mut self.request else { return Ok(()) };
        self.told = head::check(request)?;
        let body = request.body();
        self.chunked = body.exact_len().is_none() || self.told.chunked && !body.is_end_stream();
        Ok(())
    }

    /// Whether it may go over a connection that has rested.
    #[inline]
    pub(crate) fn trusts_idle(&self) -> bool {
        let chosen = match self.reuse {
            Reuse::Always => true,
            Reuse::Never => false,
            Reuse::Safe => self.request.as_ref().is_some_and(|request| {
                self.is_idempotent(request.method()) && request.body().again().is_some()
            }),
        };
        chosen && self.attempts < STALE_TRIES
    }

    fn is_idempotent(&self, method: &Method) -> bool {
        self.told.idempotency_key || is_idempotent(method)
    }

    /// An attempt has failed; the request is back if it could be had again. Gives the error back if it is not to
    /// be sent once more.
    pub(crate) fn retry(&mut self, error: Error) -> Result<(), Error> {
        self.repetition = None;
        self.note(&error);
        let evidence = error.evidence();
        let (Some(last), Some(host)) = (&evidence.last, self.failed_at.take()) else {
            return Err(error);
        };
        let kinds = [ErrorKind::Unsent, ErrorKind::Refused, ErrorKind::Response];
        if !kinds.contains(&error.kind()) || self.attempts > STALE_TRIES {
            return Err(error);
        }
        let verdict = may_repeat(Failure {
            repeatable: self.request.is_some(),
            refused: evidence.refused,
            fresh: last.is_fresh(),
            reached_wire: last.reached_wire(),
            unanswered: last.is_unanswered(),
            idempotent: self
                .request
                .as_ref()
                .is_some_and(|request| self.is_idempotent(request.method())),
        });
        match verdict {
            Verdict::No => return Err(error),
            Verdict::Yes => {}
            Verdict::WithinBudget => match Repetition::begin(&host) {
                Some(repetition) => self.repetition = Some(repetition),
                None => return Err(error),
            },
        }
        host.counters.retried();
        host.tell(|| Event::Retried { error: &error });
        Ok(())
    }

    /// Remembers whether a connection had accepted any of it.
    pub(crate) fn note(&mut self, error: &Error) {
        let evidence = error.evidence();
        self.reached_wire |= evidence.reached_wire;
        self.maybe_processed |= evidence.reached_wire && !evidence.refused;
    }

    /// Keeps nothing of the request any more.
    #[inline]
    pub(crate) fn let_go(&mut self) {
        self.request = None;
        self.failed_at = None;
        self.repetition = None;
    }

    /// Adds to an error what is known of the request as a whole.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
        let unsent = !self.reached_wire;
        let request = self.request.take_if(|_| unsent);
        error.explain(self.attempts, self.reached_wire, self.maybe_processed, request)
    }
}
