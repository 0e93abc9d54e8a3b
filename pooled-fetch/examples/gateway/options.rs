//! What can be set, and why the defaults are what they are.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::upstreams::Upstream;

/// A reverse proxy over a pool of connections, with a live page of what the pool does.
///
/// It balances by what the pool knows: of two upstreams that it draws it takes the one with less to do, and it
/// leaves those out that cannot be reached, which it dials once a second until they are back.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway", max_term_width = 100)]
pub(crate) struct Options {
    /// Where clients come in, over HTTP/1 and HTTP/2. Port 0 lets the system choose; the choice is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Where requests go, separated by commas: 127.0.0.1:9001 or name:80 or http://name (in the clear),
    /// https://name, h2c://name (HTTP/2 in the clear, as gRPC servers speak it), unix:/path.
    #[arg(long, value_name = "UPSTREAM", required = true, value_delimiter = ',')]
    pub(crate) to: Vec<Upstream>,

    /// Where the page, /metrics for Prometheus and /healthy are served. Not to be open to clients: it shows the
    /// upstreams.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,

    /// The certificates to show to clients, as PEM; then they come in over TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The key of the certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Roots to believe the certificates of https upstreams by, as PEM, in place of Mozilla's.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Another proxy stands before this one: its X-Forwarded-* fields are believed and added to. Without it they
    /// are replaced, because any client can write them.
    #[arg(long)]
    pub(crate) behind_proxy: bool,

    /// The name of this proxy in Via.
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    pub(crate) via: String,

    /// Seconds in which an upstream has to be connected.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,

    /// Seconds for which a request waits for a connection.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) queue_timeout: Duration,

    /// Seconds in which an upstream has to begin its answer; 0 for as long as it likes. A minute is what nginx has.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) response_timeout: Duration,

    /// Seconds for which an answer may pause; 0 for as long as it likes, as events and streams of gRPC do.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(crate) body_timeout: Duration,

    /// Seconds in which a client has to send the head of a request.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) client_timeout: Duration,

    /// Connections to each upstream at most; without it as many as are needed.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_connections: Option<NonZero<usize>>,

    /// Requests that may wait for each upstream; one more is answered with 503.
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub(crate) max_waiting: usize,

    /// Seconds that requests under way have to end in after SIGTERM.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) grace: Duration,

    /// Threads among which clients are divided; one for each processor if it is not said. Each has connections of its own to the
    /// upstreams.
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZero<usize>>,

    /// Prints a line for each request.
    #[arg(long)]
    pub(crate) access_log: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Zero is no limit.
pub(crate) fn limit(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}
