//! The steps at which a request can fail.

/// The step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request contradicts itself or cannot be written; it never left.
    InvalidRequest,
    /// The settings for this address make no sense; see
    /// [`Builder::settings_by_address`](crate::Builder::settings_by_address). Nothing was opened.
    Settings,
    /// There is no tokio runtime to open a connection on, it has shut down, or it lacks what is needed: timers, which
    /// every pool needs, or what its connector needs, as `pool-tcp` the I/O driver. Nothing was opened. tokio says so by a
    /// panic, which is caught where a runtime is used first.
    NoRuntime,
    /// The pool was closed.
    Closed,
    /// The address was retired by `drain`, `retain` or `sync`.
    Retired,
    /// As many requests as may wait for this address already do.
    QueueFull,
    /// No connection came free, and none could be opened, within the checkout timeout.
    CheckoutTimeout,
    /// No connection could be opened.
    Connect,
    /// No connection was open within the connect timeout.
    ConnectTimeout,
    /// No connection could be opened several times in a row, so the address is not tried for a while; only with
    /// [`Backoff::Fail`](crate::Backoff::Fail).
    BackingOff,
    /// A connection was open, but closed before the request was written: it is proven unsent.
    Unsent,
    /// An HTTP/2 server has said that it did not process the request, which cannot be sent again, or was refused each
    /// time.
    Refused,
    /// The caller's request body failed, or broke the promise of its length.
    RequestBody,
    /// The request may have reached the server, but no response came back, or none that can be believed: its head is no
    /// HTTP, contradicts itself about the length of its body, or switches protocols unasked.
    Response,
    /// The head of the response was not complete within the response timeout.
    ResponseTimeout,
    /// The server sent 1xx answers without end, and no final one.
    EndlessInformational,
    /// The response was not whole within the total timeout.
    TotalTimeout,
    /// The next frame of the response body did not come within the body timeout.
    BodyTimeout,
    /// The response body came more slowly than the least rate.
    SlowBody,
    /// The response came, but its body did not arrive whole, or its trailers are none that may follow it.
    ResponseBody,
}

impl ErrorKind {
    pub(super) fn step(self) -> &'static str {
        match self {
            Self::InvalidRequest => "checking the request to",
            Self::Settings => "choosing the settings for",
            Self::NoRuntime
            | Self::Closed
            | Self::Retired
            | Self::QueueFull
            | Self::CheckoutTimeout => "checking out a connection to",
            Self::Connect | Self::ConnectTimeout | Self::BackingOff => "connecting to",
            Self::Unsent | Self::Refused => "sending the request to",
            Self::RequestBody => "sending the request body to",
            Self::Response | Self::ResponseTimeout | Self::EndlessInformational => {
                "waiting for the response of"
            }
            Self::TotalTimeout => "waiting for the whole response of",
            Self::ResponseBody | Self::BodyTimeout | Self::SlowBody => {
                "reading the response body from"
            }
        }
    }
}
