//! Extended CONNECT, RFC 8441: a stream of HTTP/2 that speaks another protocol, such as WebSocket.

use http::{Extensions, Method, Request};

#[derive(Clone, Debug)]
pub(crate) struct ExtendedConnect(String);

/// Makes `request` ask for a stream that speaks `protocol` from there on, such as `websocket` (RFC 8441 4).
///
/// Its method becomes `CONNECT`, and its URI is written as that of any other request. It goes over HTTP/2 only, and only
/// where the server has allowed it by `SETTINGS_ENABLE_CONNECT_PROTOCOL`; else it fails with
/// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) before anything is sent. A successful answer opens
/// the stream, which [`upgrade::on`](crate::upgrade::on) gives.
///
/// # Examples
///
/// ```
/// let mut request = http::Request::get("/chat")
///     .header("sec-websocket-version", "13")
///     .body(String::new())?;
/// pool_core::extended_connect(&mut request, "websocket");
/// assert_eq!(request.method(), "CONNECT");
/// # Ok::<(), http::Error>(())
/// ```
pub fn extended_connect<B>(request: &mut Request<B>, protocol: impl Into<String>) {
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(ExtendedConnect(protocol.into()));
}

impl ExtendedConnect {
    pub(super) fn is_in(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// The protocol that is asked for.
    pub(crate) fn take(extensions: &mut Extensions) -> Option<String> {
        extensions.remove::<Self>().map(|Self(protocol)| protocol)
    }
}
