//! A request body that can be replayed, because the caller can make it anew.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

/// What a body may fail with.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, BoxError>;
type Make = Arc<dyn Fn() -> AnyBody + Send + Sync>;

/// A streaming request body that the pool may send a second time.
///
/// A request whose connection the server had just closed is sent again where HTTP allows it and its body can be
/// replayed. `Full`, `Empty` and strings can; a body that streams can only if the caller makes it anew, for example
/// from a file that is opened again.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use pool_core::ReplayableBody;
///
/// let body = ReplayableBody::new(|| Full::new(Bytes::from_static(b"made anew for each attempt")));
/// let request = http::Request::put("/").body(body)?;
/// # Ok::<(), http::Error>(())
/// ```
pub struct ReplayableBody {
    make: Make,
    made: Option<AnyBody>,
    begun: bool,
}

impl ReplayableBody {
    /// A body that `make` makes, once for each attempt. What it makes must be the same each time.
    pub fn new<B>(make: impl Fn() -> B + Send + Sync + 'static) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let make = move || make().map_err(Into::into).boxed_unsync();
        Self { make: Arc::new(make), made: None, begun: false }
    }

    /// The same body from its beginning, not made yet; none if this one has been read already, by a caller that may
    /// want to send only the rest.
    pub(super) fn unread(&self) -> Option<Self> {
        (!self.begun).then(|| Self { make: Arc::clone(&self.make), made: None, begun: false })
    }

    /// Makes the body, so that its length is known.
    pub(super) fn make(&mut self) -> &mut AnyBody {
        let Self { make, made, .. } = self;
        made.get_or_insert_with(|| make())
    }
}

impl Body for ReplayableBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.begun = true;
        Pin::new(self.make()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.made.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.made.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl fmt::Debug for ReplayableBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayableBody").finish_non_exhaustive()
    }
}
