//! What concerns every pool, and how it is built.

use std::time::Duration;

use crate::connector::Connector;
use crate::pool::Pool;
use crate::report::{Observed, Observer};
use crate::request::LeastRate;
use crate::settings::{Backoff, BuildError, DrainLimit, Settings};

/// Sets up a [`Pool`]. Made by [`Pool::builder`].
///
/// # Examples
///
/// ```
/// # use pool_core::{Connector, Pool};
/// # fn build(connector: impl Connector) -> Result<(), pool_core::BuildError> {
/// use std::time::Duration;
///
/// let pool = Pool::builder(connector)
///     .idle_timeout(Duration::from_secs(30))
///     .connect_timeout(Duration::from_secs(3))
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<C> {
    connector: C,
    pub(super) settings: Settings,
}

impl<C: Connector> Pool<C> {
    /// A pool with settings of your own.
    pub fn builder(connector: C) -> Builder<C> {
        Builder { connector, settings: Settings::default() }
    }
}

impl<C: Connector> Builder<C> {
    /// How many connections may exist in all: being opened, lent and idle; `None` for as many as are asked
    /// for.
    ///
    /// Never exceeded. At the limit the connection that has been idle longest, to any address, is closed to make room.
    /// If none is idle, the request waits. Zero is refused. Defaults to `None`, as in every Rust peer: only the program
    /// knows how many file descriptors it has.
    pub fn max_connections(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_connections = limit.into();
        self
    }

    /// How many connections to one address may exist: being opened, lent and idle; `None` for as many as
    /// are asked for.
    ///
    /// Never exceeded; requests wait first in, first out. Zero is refused. Defaults to `None`, as
    /// [`max_connections`](Self::max_connections).
    pub fn max_connections_per_address(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_connections_per_address = limit.into();
        self
    }

    /// How many idle connections are kept in all; `None` for any number.
    ///
    /// Beyond that the connection that has been idle longest, to any address, is closed, as in nginx and Go. Zero keeps
    /// none. Defaults to `None`: the idle timeout bounds them in time.
    pub fn max_idle(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_idle = limit.into();
        self
    }

    /// How many idle connections to one address are kept; `None` for any number.
    ///
    /// Beyond that the connection that has been idle longest is closed. Zero keeps none. Defaults to `None`, as in
    /// reqwest; Go's 2 makes a busy gateway open connections all the time.
    pub fn max_idle_per_address(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_idle_per_address = limit.into();
        self
    }

    /// How many requests may wait for a connection to one address in each runtime, beyond those for which
    /// one is being opened; `None` for any number.
    ///
    /// A further request fails at once with [`ErrorKind::QueueFull`](crate::ErrorKind::QueueFull). Zero: a request that
    /// can have neither an idle connection nor a new one fails at once. Defaults to 1,024, as Envoy has it.
    pub fn max_waiters_per_address(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.max_waiters_per_address = limit.into();
        self
    }

    /// How long a request may wait for a connection, idle or new; `None` for ever.
    ///
    /// After that it fails with [`ErrorKind::CheckoutTimeout`](crate::ErrorKind::CheckoutTimeout). Of the dials of an
    /// address for which no request waits any more, the oldest goes on and serves the next, so that requests of little
    /// patience reach a far address in the end; the others end, and this one too where a limit keeps a request waiting.
    /// Zero: a request for which no connection is idle fails at once. Defaults to 30 s, three times the connect timeout.
    pub fn checkout_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.checkout_timeout = timeout.into();
        self
    }

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
    /// sign of life, all of them close, for [`Reason::SiblingFailed`](crate::Reason::SiblingFailed), and the request goes
    /// over a new connection. The same follows at once where the system itself has given a reused connection up, by a
    /// reset or a timeout of its own. While more than eight are set aside, one closes for each that is opened, so that a
    /// server with one slow path sees few connections too many.
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

    /// How old a connection may become; `None` for any age.
    ///
    /// An older connection serves no further request, but a request is never cut. Each connection draws its own age, by
    /// default between this and a tenth less, so that connections opened together do not end together. Zero: every
    /// connection serves one request. Defaults to `None`; set it where addresses move behind a name.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.settings.connection.max_lifetime = lifetime.into();
        self
    }

    /// The share of the [lifetime](Self::max_lifetime), between 0 and 1, by which a connection may fall short of it.
    ///
    /// Defaults to 0.1: connections that were opened together then close apart. Other numbers are refused.
    pub fn lifetime_jitter(mut self, share: f64) -> Self {
        self.settings.connection.lifetime_jitter = share;
        self
    }

    /// How many requests a connection may serve; `None` for any number.
    ///
    /// Zero is refused. Defaults to `None`: a server that has a limit says so with `Connection: close`.
    pub fn max_uses(mut self, uses: impl Into<Option<u64>>) -> Self {
        self.settings.connection.max_uses = uses.into();
        self
    }

    /// How long a connection may be idle before it is closed; `None` for ever.
    ///
    /// Checked in the background without any traffic, and again at checkout. Zero keeps no connection at
    /// all. Defaults to 90 s, as Go, reqwest and hyper-util have it; a server that closes earlier is
    /// noticed when it does.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = timeout.into();
        self
    }

    /// After how long an idle connection is parked, that is, gives up its HTTP state; `None` for never.
    ///
    /// An idle HTTP connection holds about 27 KiB of heap, a parked one less than 1 KiB. To lend a parked connection
    /// costs about a microsecond and no packet, and its read buffer starts small again. HTTP/2 connections are not
    /// parked. Zero parks at the watcher's next pass. Defaults to 10 s, which a connection in regular use never
    /// reaches.
    pub fn park_after(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.settings.park_after = idle.into();
        self
    }

    /// How long opening a connection may take, every step of the connector included; `None` for as long
    /// as the system tries.
    ///
    /// A dial that fails, or takes longer, fails a request that came before it began, or has waited for this long
    /// itself. A request that came later takes part in the next dial.
    ///
    /// Defaults to 10 s, as OkHttp and undici have it: the system itself tries for about two minutes.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.settings.connect_timeout = timeout.into();
        self
    }

    /// Whether an HTTP/1 connection is checked before it is reused: its stream is read, and the kernel behind it, where
    /// the connector hands over a [`KernelCheck`](crate::KernelCheck). An HTTP/2 connection is read by its task all the
    /// time.
    ///
    /// Costs one system call for each reuse, which is 6 to 9 % of a small request over loopback (`cargo bench --package
    /// pooled-fetch-tests --no-default-features --bench probe`). Without it a connection is trusted until its stream
    /// wakes the pool, and a connection that the server has just closed, or written to unasked, may be taken for a good
    /// one, because a runtime knows only what the kernel last told it. Defaults to true: wrong answers cost more than a
    /// system call.
    pub fn probe(mut self, probe: bool) -> Self {
        self.settings.probe = probe;
        self
    }

    /// Whether an address lends no connection twice for a while after its server has sent bytes that belong to no
    /// request.
    ///
    /// The connection that they came on closes in any case. The quarantine lasts a second, and doubles with every
    /// repetition up to a minute. Defaults to true: such bytes are the mark of a response out of step with its request,
    /// and other connections to the address may be out of step too.
    pub fn quarantine(mut self, quarantine: bool) -> Self {
        self.settings.quarantine = quarantine;
        self
    }

    /// Whether the pool learns after how long the server of an address closes idle connections, and reuses none that
    /// has been idle for longer.
    ///
    /// What a server says itself, in `Keep-Alive: timeout=5`, is obeyed in any case, with a second to spare as in
    /// .NET. Learning takes two idle connections that the server closes one after the other; what was learnt is
    /// tried again after an hour. Defaults to true: most servers do not say.
    pub fn learn_idle_limit(mut self, learn: bool) -> Self {
        self.settings.learn_idle_limit = learn;
        self
    }

    /// What becomes of requests to an address that fails: three dials in a row have, and none has succeeded since.
    ///
    /// One dial at a time is under way then, for all requests that wait, until one succeeds. Another begins 5 ms after
    /// the one before at the earliest, so at most 200 a second where the server refuses; and beside a dial that hangs,
    /// one more every second where the limits have room, because the system's own packets come ever more seldom. A dial
    /// that fails then fails as many of these requests as the limits have room for; those that a limit keeps waiting have
    /// their checkout timeout.
    /// Errors of [this machine](crate::Fault) do not count. Defaults to [`Backoff::Wait`]: a server that comes back
    /// serves the first request that comes then.
    ///
    /// With [`Backoff::Fail`] each failure begins a pause, drawn between nothing and the length of the outage so far, of
    /// 10 s at most. It ends early when [`warm`](Pool::warm), [`sync`](Pool::sync) or [`retain`](Pool::retain) names the
    /// address. Requests that find an idle connection are served meanwhile, and where connections are lent a request
    /// waits for one of them. [`Stats::backing_off`](crate::Stats::backing_off) counts the addresses that fail.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
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
    /// bytes alone, of which each has 32 more for that; see [`max_response_head`](Self::max_response_head). Zero is refused.
    /// Defaults to `None`, because any number has its price: with one set, hyper fills two tables of that size each time that
    /// it parses a head, and beyond 100 it allocates both. It says five in a hundred of its speed.
    pub fn max_response_fields(mut self, fields: impl Into<Option<usize>>) -> Self {
        self.settings.connection.max_response_fields = fields.into();
        self
    }

    /// Whether requests whose URIs are `https` go over connections in the clear.
    ///
    /// What a connector opens is in the clear where its [`Target`](crate::Target) says `http`. A request whose URI is
    /// `https`, or `wss`, is refused there before anything is opened or sent, with
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest): its caller has taken the encryption for granted
    /// (RFC 9110 4.2.2). A request without a scheme, and one whose URI is `http`, goes over any connection.
    ///
    /// Set it in a gateway that ends TLS: each request that it has from a client in HTTP/2 is `https` (RFC 9113 8.3.1),
    /// and goes on in the clear on purpose. Defaults to false, as in curl and Go, where such a request goes over TLS or
    /// not at all.
    pub fn https_over_cleartext(mut self, allowed: bool) -> Self {
        self.settings.https_over_cleartext = allowed;
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

    /// Sends `observer` an event for everything that happens to connections, as it happens.
    ///
    /// Defaults to none, which costs nothing; [`Pool::stats`] counts in any case.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observed = Observed::by(observer);
        self
    }

    /// Builds the pool.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] that names the setting that makes no sense:
    ///
    /// * zero connections, uses or streams, or a connect or total timeout of zero, with which nothing could ever be sent
    /// * a least rate in a period of zero
    /// * an interval of zero between questions for a sign of life, or windows and frames that HTTP/2 does not have
    /// * a response head of less than 8 KiB, or without fields
    /// * more idle connections than connections
    /// * a jitter outside 0 to 1
    pub fn build(self) -> Result<Pool<C>, BuildError> {
        self.settings.check()?;
        Ok(Pool::with_settings(self.connector, self.settings))
    }
}
