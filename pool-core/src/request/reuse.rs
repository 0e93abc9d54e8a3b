//! Which connections a request may go over: choices of its caller's.

use http::{Extensions, Request};

/// Whether a request may go over a connection that has served others.
///
/// A server may close an idle connection at the moment when a request is on its way to it. Such a request is
/// sent again if HTTP allows it; if not, it fails. HAProxy's `http-reuse` offers the same choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reuse {
    /// Over a new connection, whatever there is.
    Never,
    /// Over an idle one only if the request can be sent again should the server just have closed it: it is idempotent,
    /// or carries an `Idempotency-Key`, and its body can be replayed. Other requests pay for a new connection, and
    /// cannot be lost with an old one.
    Safe,
    /// Over whatever connection is best. The default, as in every client: connections that their server has
    /// closed are nearly always found out before anything is written.
    #[default]
    Always,
}

/// Chooses which connections `request` may go over.
///
/// # Examples
///
/// ```
/// use pool_core::{Reuse, reuse};
///
/// let mut payment = http::Request::post("/pay").body(String::from("once"))?;
/// reuse(&mut payment, Reuse::Safe);
/// # Ok::<(), http::Error>(())
/// ```
pub fn reuse<B>(request: &mut Request<B>, policy: Reuse) {
    request.extensions_mut().insert(policy);
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Http1Only;

/// Has `request` go over HTTP/1.1, also to a server that would speak HTTP/2.
///
/// It goes over a connection that offers nothing else, kept beside that for other requests. A request with an `Upgrade`
/// field does so by itself, because HTTP/2 knows no upgrades. With [`Http2::Assumed`](crate::Http2::Assumed) it fails with
/// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest).
pub fn http1_only<B>(request: &mut Request<B>) {
    request.extensions_mut().insert(Http1Only);
}

impl Http1Only {
    #[inline]
    pub(crate) fn is_in(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }
}

impl Reuse {
    #[inline]
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }
}
