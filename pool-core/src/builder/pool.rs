//! What concerns every pool, and how it is built.

use std::fmt;
use std::time::Duration;

use crate::connector::Connector;
use crate::pool::Pool;
use crate::report::Observer;
use crate::settings::{Backoff, BuildError, ByAddress, Settings};

use super::address::AddressSettings;

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
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<C: Connector> {
    connector: C,
    pub(super) settings: Settings,
    by_address: Option<ByAddress<C::Address>>,
}

impl<C: Connector + fmt::Debug> fmt::Debug for Builder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("connector", &self.connector)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl<C: Connector> Pool<C> {
    /// A pool with settings of your own.
    pub fn builder(connector: C) -> Builder<C> {
        Builder { connector, settings: Settings::default(), by_address: None }
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

    /// How many connections are kept idle to each address that is known, in each runtime that uses it; missing ones are opened.
    ///
    /// They are opened one at a time, a second or so apart, and at times that differ from pool to pool; not while the address
    /// fails, nor beyond a limit, nor in the place of another connection. An address is known from its first request, or
    /// from [`warm`](Pool::warm), until the pool forgets it because nothing is open there. Over HTTP/2 one connection is enough. Defaults to 0: a
    /// connection that carries no request costs its server too. For single addresses there is [`AddressSettings::min_idle`].
    pub fn min_idle(mut self, count: usize) -> Self {
        self.settings.min_idle = count;
        self
    }

    /// After how long idle connections close little by little, because fewer were needed all the time; `None` for not at
    /// all.
    ///
    /// The connection that was checked in last is used first, so those that have been idle for so long are beyond the
    /// recent peak of an address. In each pass over them, several times in that period, half of these close, down to
    /// [`min_idle`](Self::min_idle), as in HAProxy. Defaults to `None`: the idle timeout closes them in the end. 5 s is what HAProxy has.
    pub fn shrink_idle_after(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.shrink_idle_after = time.into();
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

    /// Gives addresses settings of their own: `choose` has those of the pool, and returns those for its address.
    ///
    /// The pool calls it when it first sees an address, or sees it again after it has forgotten it; two first requests at one
    /// moment may call it twice. What it returns is plain data from then on. It must not call the pool. Settings that make no
    /// sense fail the requests to the address with [`ErrorKind::Settings`](crate::ErrorKind::Settings), and each of these asks
    /// again.
    ///
    /// # Which setting wins
    ///
    /// | what | one request | one address | the pool |
    /// | --- | --- | --- | --- |
    /// | response, body and total timeout, least rate | [`response_timeout`](crate::response_timeout()), [`body_timeout`](crate::body_timeout()), [`total_timeout`](crate::total_timeout()), [`least_rate`](crate::least_rate()) | else here | else by this builder |
    /// | version of HTTP | [`http1_only`](crate::http1_only()), [`Http10`](crate::Http10) | else [`http2`](AddressSettings::http2) | else [`http2`](Self::http2) |
    /// | reuse | [`reuse`](crate::reuse()), else [`Reuse::Always`](crate::Reuse::Always) | | |
    /// | limits for an address, other times | | [`AddressSettings`] | else by this builder |
    /// | limits in all, observers, windows | | | by this builder |
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use pool_core::{Connector, Pool};
    /// # fn build(connector: impl Connector<Address = SocketAddr>) -> Result<(), pool_core::BuildError> {
    /// use pool_core::Http2;
    ///
    /// let pool = Pool::builder(connector)
    ///     .settings_by_address(|address, settings| match address.port() {
    ///         50_051 => settings.http2(Http2::Assumed).max_connections(2),
    ///         _ => settings,
    ///     })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn settings_by_address(
        mut self,
        choose: impl Fn(&C::Address, AddressSettings) -> AddressSettings + Send + Sync + 'static,
    ) -> Self {
        self.by_address = Some(Box::new(move |address, settings| {
            choose(address, AddressSettings::of_pool(settings)).into_own()
        }));
        self
    }

    /// Sends `observer` an event for everything that happens to connections, as it happens, and has it follow requests if it
    /// wants to. Each call adds one more; they are told in the order in which they came.
    ///
    /// Defaults to none, which costs nothing; [`Pool::stats`] counts in any case.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observed = self.settings.observed.and(observer);
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
        Ok(Pool::with_settings(self.connector, self.settings, self.by_address))
    }
}
