//! What goes along with an exchange, from its request into the body of its response: what bounds it, and who follows it.
//!
//! Most exchanges have neither, so that both stand behind one pointer that is mostly none.

use http::{Request, Response};

use super::bounds::Bounds;
use crate::policy::Host;
use crate::report::{ConnectionInfo, Error, Following, Observed, RequestEvent};
use crate::request::{Own, RequestBody};

#[derive(Debug, Default)]
pub(crate) struct Along {
    pub(super) bounds: Bounds,
    pub(super) following: Option<Box<Following>>,
}

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
        let follow = |request| Following::begin(&settings.observed, host.name(), request);
        let following = request.and_then(follow);
        Some(Box::new(Self { bounds, following }))
    }

    /// For a request that is refused before it begins.
    #[cold]
    pub(super) fn refused(
        request: Option<&Request<RequestBody>>,
        address: &str,
        observed: &Observed,
    ) -> Box<Self> {
        let follow = |request| Following::begin(observed, address, request);
        Box::new(Self { bounds: Bounds::default(), following: request.and_then(follow) })
    }

    /// An attempt has failed in this error, and another one follows.
    pub(super) fn retry(&mut self, error: &Error) {
        if let Some(following) = &mut self.following {
            following.tell(&RequestEvent::Retried { error });
        }
    }

    /// There is no response.
    pub(super) fn fail(&mut self, error: &Error) {
        if let Some(following) = self.following.take() {
            following.fail(error);
        }
    }

    /// The head of the response has come.
    pub(super) fn answer(&mut self, response: &Response<impl Sized>, connection: &ConnectionInfo) {
        if let Some(following) = &mut self.following {
            following.tell(&RequestEvent::Answered {
                status: response.status(),
                version: response.version(),
                headers: response.headers(),
                connection,
            });
        }
    }
}
