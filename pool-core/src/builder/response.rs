//! What concerns the response: how long it may take, how large it may be, and what becomes of one that no caller reads.

use std::time::Duration;

use super::pool::Builder;
use crate::connector::Connector;
use crate::request::LeastRate;
use crate::settings::DrainLimit;

impl<C: Connector> Builder<C> {
    /// How long the server may take for the head of its response; `None` for ever.
    ///
    /// Counted from the last byte of the request that the stream accepted to the last byte of the head, so
    /// neither a long upload uses it up nor a head that comes a byte a minute renews it. The connection
    /// then closes, over HTTP/2 as soon as no other request is on it, and the request fails with
    /// [`ErrorKind::ResponseTimeout`](crate::ErrorKind::ResponseTimeout). Defaults to `None`, and then no
    /// timer exists: long polls are as legitimate as short answers.
    ///
    /// Over HTTP/1, a path that has forgotten its connections costs one request, and not one for each connection. When
    /// nothing was read before the timeout, and the connection had been idle for a second or more, those that had been
    /// idle at least as long are set aside: one is tried at a time, by a request that may be sent again, while others go
    /// over younger or new connections. An answer clears all that are set aside. If a quarter of the timeout brings no
    /// sign of life, the request goes over another connection. If that one answers sooner, all that are set aside close, for
    /// [`Reason::SiblingFailed`](crate::Reason::SiblingFailed); if not, the server is slow, and they are good. They close at once
    /// where the system itself has given a reused connection up, by a reset or a timeout of its own. While more than eight
    /// are set aside, one closes for each that is opened, so that a server with one slow path sees few connections too many.
    ///
    /// A [total time](Self::total_timeout) of which more than half was spent on such a connection tells as much. A caller that
    /// gives up by itself tells nothing, and a request without either time tries none.
    pub fn response_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.response_timeout = timeout.into();
        self
    }

    /// How long the server may take between two frames of a response body; `None` for ever.
    ///
    /// Counted only while a task waits for the next frame. The connection then closes, over HTTP/2 as soon as no other
    /// request is on it, and the body fails with [`ErrorKind::BodyTimeout`](crate::ErrorKind::BodyTimeout). Defaults to
    /// `None`, as [`response_timeout`](Self::response_timeout), and then no timer exists.
    pub fn body_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.body_timeout = timeout.into();
        self
    }

    /// How long a whole exchange may take: from when its request is sent off by the caller to the end of its response body;
    /// `None` for ever.
    ///
    /// Waiting for a connection, attempts that fail, 1xx answers and the time in which the caller does not read are all part
    /// of it. What is not done by then fails with [`ErrorKind::TotalTimeout`](crate::ErrorKind::TotalTimeout), and its
    /// connection closes; over HTTP/2 its stream is reset. A body of which all has arrived can be read later. The stream of
    /// an upgrade or a tunnel is not bounded. [`total_timeout`](crate::total_timeout()) sets it for one request. Zero is
    /// refused. Defaults to `None`, as in Go, curl and reqwest, and then no timer exists: only the caller knows how large a
    /// response is.
    pub fn total_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.total_timeout = timeout.into();
        self
    }

    /// How many bytes of a response body must come in each period in which they are waited for; `None` for any number.
    ///
    /// A server that sends a byte now and then never runs into the [body timeout](Self::body_timeout). This is curl's
    /// `--speed-limit` and `--speed-time`. Only time in which a task waits for the next frame counts, so a caller that reads
    /// slowly blames no server; content counts, and not its framing. A body that is slower fails with
    /// [`ErrorKind::SlowBody`](crate::ErrorKind::SlowBody), and its connection closes; over HTTP/2 its stream is reset.
    /// [`least_rate`](crate::least_rate()) sets it for one request, such as one for events that are rare. A period of zero is
    /// refused. Defaults to `None`, as in curl, and then no timer exists.
    pub fn least_rate(mut self, rate: impl Into<Option<LeastRate>>) -> Self {
        self.settings.least_rate = rate.into();
        self
    }

    /// How long the body of a request with `Expect: 100-continue` waits for the server's `100`.
    ///
    /// After that the body is sent all the same, since not every server answers. Over HTTP/2 it does not wait: a server
    /// that does not want the body can reset the stream. Defaults to 1 s, as in Go and .NET. Zero: it does not wait.
    pub fn expect_continue_timeout(mut self, timeout: Duration) -> Self {
        self.settings.expect_continue_timeout = timeout;
        self
    }

    /// How large the head of a response may be, in bytes, the 1xx answers before it included; over HTTP/2 with the 32 bytes for each field
    /// that RFC 9113 6.5.2 counts.
    ///
    /// A response beyond it fails with [`ErrorKind::Response`](crate::ErrorKind::Response), and 1xx answers that come to more
    /// with [`ErrorKind::EndlessInformational`](crate::ErrorKind::EndlessInformational). Over HTTP/1, where these are counted
    /// after each turn of the connection, they may be a turn of 128 KiB late, and the connection closes. Over HTTP/2 that
    /// costs its stream alone, unless the head is twice as large or more. Less than 8 KiB is refused. Defaults to 408 KiB, what hyper takes
    /// over HTTP/1: large enough for any set of cookies that browsers keep.
    pub fn max_response_head(mut self, bytes: usize) -> Self {
        self.settings.connection.max_response_head = bytes;
        self
    }

    /// How many fields the head of a response over HTTP/1 may have, and its trailers; `None` for the 100 of hyper.
    ///
    /// A response beyond it fails with [`ErrorKind::Response`](crate::ErrorKind::Response). Over HTTP/2 fields count by their
    /// bytes alone, of which each has 32 more for that; see [`max_response_head`](Self::max_response_head). Zero is refused,
    /// and so is more than the 24,576 that a map of fields holds. Defaults to `None`, because any number has its price: with one set, hyper fills two tables of that size each time that
    /// it parses a head, and beyond 100 it allocates both. It says five in a hundred of its speed.
    pub fn max_response_fields(mut self, fields: impl Into<Option<usize>>) -> Self {
        self.settings.connection.max_response_fields = fields.into();
        self
    }

    /// How much of a response body that was dropped early is read on, in bytes and in time, to save its
    /// connection.
    ///
    /// The bytes are those of the stream, framing included; a connection reads them in pieces of 128 KiB and one buffer at
    /// most, and closes after the piece that goes beyond. A body that announces more is not read at all. Zero bytes close the connection at once, also where only the
    /// request body is still going out. Over HTTP/2 the stream is reset instead. Defaults to 64 KiB and 20 ms, about
    /// what opening a connection to another region costs; Go allows 256 KiB and 50 ms.
    pub fn drain_limit(mut self, bytes: u64, time: Duration) -> Self {
        self.settings.drain_limit = DrainLimit { bytes, time };
        self
    }
}
