//! What a measured process is to do, as its arguments say it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

/// A client that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No client at all: what the loop around it costs.
    Loop,
    /// Bytes over a socket, without HTTP.
    BareSocket,
    /// One connection of hyper's for each of those at once; its task spawned, no pool.
    BareHyper,
    /// Our pool without the question to the kernel.
    OursUnprobed,
    /// Our pool as it is by default.
    Ours,
    /// hyper-util's legacy client.
    #[cfg(feature = "peers")]
    HyperUtil,
    /// reqwest.
    #[cfg(feature = "peers")]
    Reqwest,
    /// pingora-core's connector.
    #[cfg(feature = "peers")]
    Pingora,
    /// `pooled_fetch` 0.1.11.
    #[cfg(feature = "peers")]
    OldCrate,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Loop,
        Self::BareSocket,
        Self::BareHyper,
        Self::OursUnprobed,
        Self::Ours,
        #[cfg(feature = "peers")]
        Self::HyperUtil,
        #[cfg(feature = "peers")]
        Self::Reqwest,
        #[cfg(feature = "peers")]
        Self::Pingora,
        #[cfg(feature = "peers")]
        Self::OldCrate,
    ];

    /// As arguments and tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loop => "loop",
            Self::BareSocket => "socket",
            Self::BareHyper => "hyper",
            Self::OursUnprobed => "ours-unprobed",
            Self::Ours => "ours",
            #[cfg(feature = "peers")]
            Self::HyperUtil => "hyper-util",
            #[cfg(feature = "peers")]
            Self::Reqwest => "reqwest",
            #[cfg(feature = "peers")]
            Self::Pingora => "pingora",
            #[cfg(feature = "peers")]
            Self::OldCrate => "old-crate",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| format!("there is no client `{name}` in this build"))
    }
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
    /// As `Opening`, over TLS.
    #[cfg(feature = "peers")]
    OpeningOverTls,
    /// One burst, and then what the connections hold at rest.
    Rest,
}

/// What one process is to measure.
#[derive(Clone, Debug)]
pub struct Task {
    /// The client.
    pub client: Kind,
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
        200.max(4 * self.at_once).max(2 * self.addresses)
    }

    /// Whether each request asks the server to close.
    pub(crate) fn opens(&self) -> bool {
        match self.way {
            Way::Opening => true,
            #[cfg(feature = "peers")]
            Way::OpeningOverTls => true,
            Way::Steady | Way::Bursts | Way::Rest => false,
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
                Arg::Long("at-once") => task.at_once = arguments.value()?.parse()?,
                Arg::Long("requests") => task.requests = arguments.value()?.parse()?,
                Arg::Long("workers") => task.workers = arguments.value()?.parse()?,
                Arg::Long("addresses") => task.addresses = arguments.value()?.parse()?,
                Arg::Long("idle") => task.idle = arguments.value()?.parse()?,
                Arg::Long("bursts") => task.way = Way::Bursts,
                Arg::Long("opening") => task.way = Way::Opening,
                #[cfg(feature = "peers")]
                Arg::Long("opening-over-tls") => task.way = Way::OpeningOverTls,
                Arg::Long("rest") => task.way = Way::Rest,
                Arg::Long("latency") => task.latency = true,
                Arg::Long("server") => task.server = Some(arguments.value()?.parse()?),
                other => return Err(other.unexpected()),
            }
        }
        if task.at_once == 0 || task.requests == 0 || task.addresses == 0 {
            return Err("nothing is measured with none at all".into());
        }
        Ok(task)
    }

    /// What [`from_arguments`](Self::from_arguments) reads.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec![format!("--client={}", self.client)];
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
            #[cfg(feature = "peers")]
            Way::OpeningOverTls => words.push("--opening-over-tls".to_owned()),
            Way::Rest => words.push("--rest".to_owned()),
        }
        words
    }
}
