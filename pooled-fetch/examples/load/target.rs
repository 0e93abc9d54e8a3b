//! Where requests go, and what they say.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::BodyExt;
use pooled_fetch::pool_tls::TlsConnector;
use pooled_fetch::{Endpoint, EndpointConnector, FullBytes, Http2, NamesConnector, Pool};

use super::BoxError;
use super::options::Options;
use super::tls;

/// A server, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    endpoint: Endpoint,
    uri: Uri,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (socket, path) = rest.split_once(":/").unwrap_or((rest, ""));
            let uri = format!("/{path}").parse().map_err(said)?;
            return Ok(Self { name: text.to_owned(), endpoint: unix(socket)?, uri });
        }
        let name = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = name.parse().map_err(said)?;
        Ok(Self { name, endpoint: Endpoint::of_uri(&uri).map_err(said)?, uri })
    }
}

#[cfg(unix)]
fn unix(path: &str) -> Result<Endpoint, String> {
    match path {
        "" => Err("unix: wants the path of a socket".to_owned()),
        path => Ok(Endpoint::unix(path)),
    }
}

#[cfg(not(unix))]
fn unix(_: &str) -> Result<Endpoint, String> {
    Err("this system has no Unix sockets".to_owned())
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// The request that is sent again and again, and the pool that it goes through.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) pool: Pool<EndpointConnector>,
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// An answer that came whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    /// Of its body.
    pub(crate) bytes: u64,
}

impl Requests {
    pub(crate) fn new(options: &Options) -> Result<Self, BoxError> {
        let Target { endpoint, uri, .. } = options.target.clone();
        let with_body = if options.body.is_some() { Method::POST } else { Method::GET };
        let mut headers = HeaderMap::new();
        for field in &options.headers {
            headers.append(field.name.clone(), field.value.clone());
        }
        Ok(Self {
            pool: pool(options)?,
            endpoint,
            method: options.method.clone().unwrap_or(with_body),
            uri,
            headers,
            body: options.body.clone().unwrap_or_default(),
        })
    }

    /// Sends one, and reads its answer to the end.
    pub(crate) async fn exchange(&self) -> Result<Answer, pooled_fetch::Error> {
        let mut request = Request::new(FullBytes::new(self.body.clone()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        let response = self.pool.http(&self.endpoint, request).await?;
        let (status, version) = (response.status().as_u16(), response.version());
        let (mut body, mut bytes) = (response.into_body(), 0);
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(Answer { status, version, bytes })
    }
}

fn pool(options: &Options) -> Result<Pool<EndpointConnector>, BoxError> {
    let http2 = match (options.http2, options.target.endpoint.is_secure()) {
        (false, _) => Http2::Off,
        (true, false) => Http2::Assumed,
        (true, true) => Http2::Negotiated,
    };
    let connector = match tls::config(options)? {
        None => EndpointConnector::default(),
        Some(config) => EndpointConnector::with_tls(NamesConnector::default(), |tcp| {
            TlsConnector::with_config(tcp, config).with_tickets_by_address()
        }),
    };
    let timeout = Some(options.timeout).filter(|time| *time > Duration::ZERO);
    let pool = Pool::builder(connector)
        .http2(http2)
        .total_timeout(timeout)
        // The timeout of the whole is what was asked for, and a queue is what a load makes.
        .checkout_timeout(None)
        .max_waiters_per_address(None)
        .build()?;
    Ok(pool)
}
