//! What can be set, and why the defaults are what they are.

use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{HeaderName, HeaderValue, Method};

use super::target::Target;

const MEASURED: &str = "\
What is measured:

Latency goes to the end of the answer's body. Without --rate it counts from when a request was sent: as many as -c says \
are under way, and each is followed by the next. A server that stalls then gets fewer requests, and the percentiles hide \
what users would have felt.

With --rate requests are due at even intervals, whatever the server does, and latency counts from when a request was due, \
not from when it was sent: one that finds all of -c busy has waited, and that counts. What is due is sent, however late, up to \
--timeout after the end.

Percentiles are those of requests that got a whole answer, whatever its status. Opening connections is part of the \
first requests, unless --warm opens them before. A request that the pool has sent again counts once.

It ends with 0 when all requests got a whole answer, with 1 when one did not, and with 2 when an argument makes no sense. \
Ctrl-C ends it early, and it reports all the same.";

/// Drives a server through a pool of connections, and tells how fast it answered and what its connections went
/// through.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", max_term_width = 110, after_help = MEASURED)]
pub(crate) struct Options {
    /// Where requests go: http://127.0.0.1:8080/path or https://name/path, or 127.0.0.1:8080 alone;
    /// unix:/socket, and unix:/socket:/path for another path than /.
    #[arg(value_name = "URL")]
    pub(crate) target: Target,

    /// Requests at once; over HTTP/1 as many connections at most, over HTTP/2 one for as many as the
    /// server allows.
    #[arg(short = 'c', long, value_name = "COUNT", default_value = "50")]
    pub(crate) concurrency: NonZero<usize>,

    /// For how long requests are sent: 10s, 500ms, 2m. 10s if neither this nor -n is given.
    #[arg(short = 'd', long, value_name = "TIME", value_parser = time)]
    pub(crate) duration: Option<Duration>,

    /// How many requests are sent at most.
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) requests: Option<NonZero<u64>>,

    /// Requests a second, at even intervals, by all workers together; without it as many as the server answers.
    #[arg(long, value_name = "COUNT")]
    pub(crate) rate: Option<NonZero<u32>>,

    /// Speaks HTTP/2: without asking to http:// and unix:, and to https:// where the server agrees. Without it
    /// HTTP/1.1 is spoken.
    #[arg(long)]
    pub(crate) http2: bool,

    /// The method; GET if it is not given, and POST with --body.
    #[arg(short = 'm', long, value_name = "METHOD")]
    pub(crate) method: Option<Method>,

    /// A field of each request; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<Field>,

    /// The body of each request: a text, or @file.
    #[arg(long, value_name = "TEXT|@FILE", value_parser = body)]
    pub(crate) body: Option<Bytes>,

    /// How long a request may take in all; 0 for as long as it likes. A run that
    /// waits for ever tells nothing, so there is a default.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(crate) timeout: Duration,

    /// Opens the connections before the clock starts.
    #[arg(long)]
    pub(crate) warm: bool,

    /// Roots to believe the certificate of an https server by, as PEM, in place of Mozilla's.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Believes any certificate.
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Threads; one for each processor if it is not said.
    #[arg(long, value_name = "COUNT")]
    pub(crate) threads: Option<NonZero<usize>>,

    /// Prints one object of JSON, and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A field of a request.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderValue,
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("a field is `name: value`")?;
        let name = name.trim().parse().map_err(|_| format!("{name:?} is no name of a field"))?;
        let value = value.trim().parse().map_err(|_| format!("{value:?} can be no value"))?;
        Ok(Self { name, value })
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let end = text.find(char::is_alphabetic).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time; ms, s, m and h are")),
    };
    let number: f64 = number.parse().map_err(|_| "a time is a number with a unit, as 10s")?;
    Duration::try_from_secs_f64(number * scale).map_err(|error| error.to_string())
}

fn body(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix('@') {
        Some(file) => {
            std::fs::read(file).map(Bytes::from).map_err(|error| format!("{file}: {error}"))
        }
        None => Ok(text.to_owned().into()),
    }
}
