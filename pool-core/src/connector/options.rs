//! What the pool wants of a stream that it has opened.

/// What the pool wants of one new stream.
///
/// A connector over another one passes it on as it is. It may tell more in later versions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Whether HTTP/2 may be agreed upon with the server. Where it may not, a connector that comes back with
    /// [`Protocol::Http2`](crate::Protocol::Http2) has failed.
    pub http2: bool,
}

impl ConnectOptions {
    /// Without any wishes: the connector may agree upon what it likes.
    pub fn new() -> Self {
        Self { http2: true }
    }

    /// Says whether HTTP/2 may be agreed upon.
    #[must_use]
    pub fn with_http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}
