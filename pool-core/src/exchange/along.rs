//! What goes along with an exchange, from its request into the body of its response: what bounds it, and who follows it.
//!
//! Most exchanges have neither, so that both stand behind one pointer that is mostly none.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;

use super::bounds::Bounds;
use crate::policy::Host;
use crate::report::{ConnectionInfo, Error, Following, Observed, RequestEvent, ServerInfo};
use crate::request::{Own, RequestBody};

#[derive(Debug, Default)]
pub(crate) struct Along {
    pub(super) bounds: Bounds,
    pub(super) followers: Followers,
}

/// The followers of a request; most requests have none.
#[derive(Debug, Default)]
pub(super) struct Followers(Option<Box<Following>>);

impl Along {
    /// None where neither the request nor the settings want anything.
    #[inline]
    pub(super) fn with(request: Option<&Request<RequestBody>>, host: &Host) -> Option<Box<Self>> {
        let own = request.and_then(|request| Own::of(request.extensions()));
        let settings = host.settings();
        if own.is_none() && !settings.bounds_all() && !settings.observed.is_any() {
            return None;
        }
        Self::begin(own, request, host)
    }

    #[cold]
    fn begin(
        own: Option<Own>,
        request: Option<&Request<RequestBody>>,
        host: &Host,
    ) -> Option<Box<Self>> {
        let settings = host.settings();
        let bounds = Bounds::of(own.unwrap_or_default(), settings);
        let followers = Followers::of(request, host.server(), &settings.observed);
        Some(Box::new(Self { bounds, followers }))
    }

    /// For a request that is refused before it begins.
    #[cold]
    pub(super) fn refused(
        request: Option<&Request<RequestBody>>,
        server: &ServerInfo,
        observed: &Observed,
    ) -> Box<Self> {
        let followers = Followers::of(request, server, observed);
        Box::new(Self { bounds: Bounds::default(), followers })
    }
}

impl Followers {
    fn of(
        request: Option<&Request<RequestBody>>,
        server: &ServerInfo,
        observed: &Observed,
    ) -> Self {
        Self(request.and_then(|request| Following::begin(observed, server, request)))
    }

    #[inline]
    pub(super) fn are_any(&self) -> bool {
        self.0.is_some()
    }

    /// An attempt has failed in this error, and another one follows.
    pub(super) fn retry(&mut self, error: &Error) {
        if let Some(following) = &mut self.0 {
            following.tell(&RequestEvent::Retried { error });
        }
    }

    /// The head of the response has come.
    pub(super) fn answer(&mut self, response: &Response<impl Sized>, connection: &ConnectionInfo) {
        if let Some(following) = &mut self.0 {
            following.tell(&RequestEvent::Answered {
                status: response.status(),
                version: response.version(),
                headers: response.headers(),
                connection,
            });
        }
    }

    /// A frame of the response has come, or its end.
    #[cold]
    pub(super) fn hear(&mut self, frame: &Option<Result<Frame<Bytes>, Error>>) {
        match frame {
            Some(Ok(frame)) => {
                if let Some(following) = &mut self.0 {
                    following.receive(frame.data_ref().map_or(0, Bytes::len));
                }
            }
            Some(Err(error)) => self.fail(error),
            None => self.end(0),
        }
    }

    /// The response is whole, with so many bytes that were not heard of yet.
    pub(super) fn end(&mut self, bytes: usize) {
        if let Some(mut following) = self.0.take() {
            following.receive(bytes);
            following.end();
        }
    }

    /// There is no response, or no whole one.
    pub(super) fn fail(&mut self, error: &Error) {
        if let Some(following) = self.0.take() {
            following.fail(error);
        }
    }
}
