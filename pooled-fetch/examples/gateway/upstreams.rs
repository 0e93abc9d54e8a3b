//! The addresses that requests go to, and the pool that reaches them.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use pooled_fetch::pool_core::Backoff;
use pooled_fetch::pool_tls::TlsConnector;
use pooled_fetch::pool_tls::rustls::RootCertStore;
use pooled_fetch::{Endpoint, EndpointConnector, Http2, Name, NamesConnector, Pool};

use super::BoxError;
use super::options::{Options, limit};
use super::tally::{Dials, Tally};
use super::tls;

/// One of them, as it was named.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) endpoint: Endpoint,
    assumes_http2: bool,
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let assumes_http2 = text.starts_with("h2c://");
        let endpoint = if let Some(path) = text.strip_prefix("unix:") {
            unix(path)?
        } else if text.contains("://") {
            let uri: Uri = text.replacen("h2c://", "http://", 1).parse().map_err(said)?;
            if uri.path() != "/" || uri.query().is_some() {
                return Err("an upstream is a server, and has no path".to_owned());
            }
            Endpoint::of_uri(&uri).map_err(said)?
        } else {
            Endpoint::http(text.parse::<Name>().map_err(said)?)
        };
        Ok(Self { name: text.to_owned(), endpoint, assumes_http2 })
    }
}

#[cfg(unix)]
fn unix(path: &str) -> Result<Endpoint, String> {
    Ok(Endpoint::unix(path))
}

#[cfg(not(unix))]
fn unix(_: &str) -> Result<Endpoint, String> {
    Err("this system has no Unix sockets".to_owned())
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// The upstreams, their pool, and what is counted beside it.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) pool: Pool<EndpointConnector>,
    pub(crate) all: Vec<(Upstream, Arc<Tally>)>,
}

impl Upstreams {
    pub(crate) fn new(options: &Options) -> Result<Self, BoxError> {
        let all: Vec<_> =
            options.to.iter().map(|upstream| (upstream.clone(), Arc::default())).collect();
        let of_address = |(upstream, tally): &(Upstream, _)| {
            (format!("{:?}", upstream.endpoint), Arc::clone(tally))
        };
        let dials = Dials::new(all.iter().map(of_address));
        if dials.count() < all.len() {
            return Err("an upstream is named twice".into());
        }
        let http2: HashSet<_> = options
            .to
            .iter()
            .filter(|upstream| upstream.assumes_http2)
            .map(|upstream| upstream.endpoint.clone())
            .collect();
        let pool = Pool::builder(connector(options)?)
            // Another upstream may be up, and clients are better off with an answer at once.
            .backoff(Backoff::Fail)
            .connect_timeout(limit(options.connect_timeout))
            .checkout_timeout(limit(options.queue_timeout))
            .response_timeout(limit(options.response_timeout))
            .body_timeout(limit(options.body_timeout))
            .max_connections_per_address(options.max_connections.map(|count| count.get()))
            .max_waiters_per_address(options.max_waiting)
            .observer(dials)
            .settings_by_address(move |endpoint, settings| {
                if http2.contains(endpoint) { settings.http2(Http2::Assumed) } else { settings }
            })
            .build()?;
        Ok(Self { pool, all })
    }
}

fn connector(options: &Options) -> Result<EndpointConnector, BoxError> {
    let Some(file) = &options.ca else { return Ok(EndpointConnector::default()) };
    let mut roots = RootCertStore::empty();
    for root in tls::certificates(file)? {
        roots.add(root).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let tls = |tcp| TlsConnector::with_roots(tcp, roots);
    Ok(EndpointConnector::with_tls(NamesConnector::default(), tls))
}
