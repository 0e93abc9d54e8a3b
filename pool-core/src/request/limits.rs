//! How long a whole response may take, and how fast its body must come: of a pool, or of one request.

use std::time::Duration;

use http::{Extensions, Request};
use tokio::time::Instant;

/// How much of a response body must come in each period in which it is waited for; see
/// [`Builder::least_rate`](crate::Builder::least_rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeastRate {
    pub(crate) bytes: u64,
    pub(crate) period: Duration,
}

impl LeastRate {
    /// So many bytes in each `period`.
    pub const fn new(bytes: u64, period: Duration) -> Self {
        Self { bytes, period }
    }
}

/// What one request says for itself, in place of the settings of its address and of the pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    pub(crate) deadline: Option<Instant>,
    pub(crate) total: Option<Option<Duration>>,
    pub(crate) response: Option<Option<Duration>>,
    pub(crate) body: Option<Option<Duration>>,
    pub(crate) rate: Option<Option<LeastRate>>,
}

impl Own {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }
}

/// How long the whole exchange of `request` may take, in place of
/// [`Builder::total_timeout`](crate::Builder::total_timeout); `None` for ever.
///
/// # Examples
///
/// ```
/// let mut download = http::Request::get("/large").body(String::new())?;
/// pool_core::total_timeout(&mut download, None);
/// # Ok::<(), http::Error>(())
/// ```
pub fn total_timeout<B>(request: &mut Request<B>, timeout: impl Into<Option<Duration>>) {
    own(request).total = Some(timeout.into());
}

/// When the whole exchange of `request` has to be over, the end of its response body included. A total timeout that ends earlier
/// holds beside it.
///
/// For a caller that has a deadline of its own, as a gRPC server has that of its client.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let mut request = http::Request::get("/").body(String::new())?;
/// let now = tokio::time::Instant::now();
/// pool_core::deadline(&mut request, now + Duration::from_millis(300));
/// # Ok::<(), http::Error>(())
/// ```
pub fn deadline<B>(request: &mut Request<B>, at: Instant) {
    own(request).deadline = Some(at);
}

/// How long the server may take for the head of the response to `request`, in place of
/// [`Builder::response_timeout`](crate::Builder::response_timeout); `None` for as long as it likes.
///
/// # Examples
///
/// ```
/// let mut poll = http::Request::get("/wait-for-news").body(String::new())?;
/// pool_core::response_timeout(&mut poll, None);
/// # Ok::<(), http::Error>(())
/// ```
pub fn response_timeout<B>(request: &mut Request<B>, timeout: impl Into<Option<Duration>>) {
    own(request).response = Some(timeout.into());
}

/// How long the next piece of the response body to `request` may take, in place of
/// [`Builder::body_timeout`](crate::Builder::body_timeout); `None` for ever.
///
/// # Examples
///
/// ```
/// let mut events = http::Request::get("/events").body(String::new())?;
/// pool_core::body_timeout(&mut events, None);
/// # Ok::<(), http::Error>(())
/// ```
pub fn body_timeout<B>(request: &mut Request<B>, timeout: impl Into<Option<Duration>>) {
    own(request).body = Some(timeout.into());
}

/// How fast the body of the response to `request` must come, in place of
/// [`Builder::least_rate`](crate::Builder::least_rate); `None` for any rate.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use pool_core::{LeastRate, least_rate};
///
/// let mut events = http::Request::get("/events").body(String::new())?;
/// least_rate(&mut events, LeastRate::new(1, Duration::from_secs(60)));
/// # Ok::<(), http::Error>(())
/// ```
pub fn least_rate<B>(request: &mut Request<B>, rate: impl Into<Option<LeastRate>>) {
    own(request).rate = Some(rate.into());
}

fn own<B>(request: &mut Request<B>) -> &mut Own {
    request.extensions_mut().get_or_insert_default()
}
