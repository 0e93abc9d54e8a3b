//! What a measured process is to do, as its arguments say it.

use std::net::SocketAddr;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

use crate::kind::Kind;
use crate::server::{BODY, LARGEST};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 over TCP.
    Http1,
    /// HTTP/1.1 over TLS.
    #[cfg(feature = "peers")]
    Http1OverTls,
    /// HTTP/2 over TCP, known beforehand.
    Http2,
    /// HTTP/2 over TLS, as ALPN agrees upon it.
    #[cfg(feature = "peers")]
    Http2OverTls,
}

impl Protocol {
    const ALL: &[Self] = &[
        Self::Http1,
        #[cfg(feature = "peers")]
        Self::Http1OverTls,
        Self::Http2,
        #[cfg(feature = "peers")]
        Self::Http2OverTls,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            #[cfg(feature = "peers")]
            Self::Http1OverTls => "http1-over-tls",
            Self::Http2 => "http2",
            #[cfg(feature = "peers")]
            Self::Http2OverTls => "http2-over-tls",
        }
    }

    pub(crate) fn is_http2(self) -> bool {
        match self {
            Self::Http2 => true,
            #[cfg(feature = "peers")]
            Self::Http2OverTls => true,
            _ => false,
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|protocol| protocol.name() == name);
        found.copied().ok_or_else(|| format!("nothing in this build speaks `{name}`"))
    }
}

/// What a request and its response carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// No body, and one of a few bytes.
    Small,
    /// No body, and one of so many bytes.
    Down(usize),
    /// A body of so many bytes, and one of a few.
    Up(usize),
}

/// How those at once take their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Each sends its next request when it has read the last response.
    Steady,
    /// All send, and all wait until every response was read: all connections are at rest between two bursts.
    Bursts,
    /// As `Steady`, but each request asks the server to close, and so opens a connection.
    Opening,
    /// One burst, and then what the connections hold at rest.
    Rest,
}

/// What one process is to measure.
#[derive(Clone, Debug)]
pub struct Task {
    /// The client.
    pub client: Kind,
    /// What it speaks.
    pub protocol: Protocol,
    /// What each request carries.
    pub payload: Payload,
    /// How many requests are under way at every moment.
    pub at_once: usize,
    /// How many requests are measured, in all.
    pub requests: usize,
    /// The worker threads; zero for a runtime on the current thread.
    pub workers: usize,
    /// How many addresses take turns.
    pub addresses: usize,
    /// How many connections to the first address are opened beforehand; only ours can.
    pub idle: usize,
    /// How those at once take their turns.
    pub way: Way,
    /// Whether the time of each request is taken, which costs two looks at the clock.
    pub latency: bool,
    /// Where the server is; without it, one is started.
    pub server: Option<SocketAddr>,
}

impl Task {
    /// A small task: one request at a time, on the current thread.
    pub fn new(client: Kind, requests: usize) -> Self {
        Self {
            client,
            protocol: Protocol::Http1,
            payload: Payload::Small,
            at_once: 1,
            requests,
            workers: 0,
            addresses: 1,
            idle: 0,
            way: Way::Steady,
            latency: false,
            server: None,
        }
    }

    /// Requests that go first: every connection is open, every buffer has its size, and every branch was taken.
    pub(crate) fn warm_up(&self) -> usize {
        let least = if self.payload == Payload::Small { 200 } else { 20 };
        least.max(4 * self.at_once).max(2 * self.addresses)
    }

    /// Whether each request asks the server to close.
    pub(crate) fn opens(&self) -> bool {
        self.way == Way::Opening
    }

    /// How long the body of each response is.
    pub(crate) fn expected(&self) -> usize {
        match self.payload {
            Payload::Down(length) => length,
            Payload::Small | Payload::Up(_) => BODY.len(),
        }
    }

    /// How often each of those at once asks, for at least so many in all.
    pub(crate) fn turns(&self, requests: usize) -> usize {
        requests.div_ceil(self.at_once)
    }

    pub(crate) fn from_arguments(mut arguments: Parser) -> Result<Self, lexopt::Error> {
        let mut task = Self::new(Kind::Ours, 10_000);
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("client") => task.client = arguments.value()?.parse()?,
                Arg::Long("protocol") => task.protocol = arguments.value()?.parse()?,
                Arg::Long("down") => task.payload = Payload::Down(arguments.value()?.parse()?),
                Arg::Long("up") => task.payload = Payload::Up(arguments.value()?.parse()?),
                Arg::Long("at-once") => task.at_once = arguments.value()?.parse()?,
                Arg::Long("requests") => task.requests = arguments.value()?.parse()?,
                Arg::Long("workers") => task.workers = arguments.value()?.parse()?,
                Arg::Long("addresses") => task.addresses = arguments.value()?.parse()?,
                Arg::Long("idle") => task.idle = arguments.value()?.parse()?,
                Arg::Long("bursts") => task.way = Way::Bursts,
                Arg::Long("opening") => task.way = Way::Opening,
                Arg::Long("rest") => task.way = Way::Rest,
                Arg::Long("latency") => task.latency = true,
                Arg::Long("server") => task.server = Some(arguments.value()?.parse()?),
                other => return Err(other.unexpected()),
            }
        }
        if task.at_once == 0 || task.requests == 0 || task.addresses == 0 {
            return Err("nothing is measured with none at all".into());
        }
        if matches!(task.payload, Payload::Down(length) | Payload::Up(length) if length > LARGEST) {
            return Err(format!("the server sends and reads {LARGEST} bytes at most").into());
        }
        if task.protocol != Protocol::Http1 && (task.addresses > 1 || task.idle > 0) {
            return Err("the server has one address for each other protocol".into());
        }
        if task.protocol.is_http2() && task.opens() {
            return Err("HTTP/2 closes no connection for a request".into());
        }
        Ok(task)
    }

    /// What [`from_arguments`](Self::from_arguments) reads.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec![format!("--client={}", self.client)];
        words.push(format!("--protocol={}", self.protocol.name()));
        match self.payload {
            Payload::Small => {}
            Payload::Down(length) => words.push(format!("--down={length}")),
            Payload::Up(length) => words.push(format!("--up={length}")),
        }
        for (name, number) in [
            ("at-once", self.at_once),
            ("requests", self.requests),
            ("workers", self.workers),
            ("addresses", self.addresses),
            ("idle", self.idle),
        ] {
            words.push(format!("--{name}={number}"));
        }
        words.extend(self.server.map(|address| format!("--server={address}")));
        words.extend(self.latency.then(|| "--latency".to_owned()));
        match self.way {
            Way::Steady => {}
            Way::Bursts => words.push("--bursts".to_owned()),
            Way::Opening => words.push("--opening".to_owned()),
            Way::Rest => words.push("--rest".to_owned()),
        }
        words
    }
}
