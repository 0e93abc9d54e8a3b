//! Other clients that pool connections, set up as their documentation recommends and without a limit that the
//! load would reach.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as LegacyClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use reqwest::Url;

use crate::client::{
    CLOSE, Client, Error, Outgoing, Template, length, only_small_over_http1, uploaded,
};
use crate::place::Place;
use crate::task::{Protocol, Task};
use crate::tls;

/// hyper-util's legacy client.
pub(crate) struct HyperUtil<B> {
    client: Legacy<B>,
    uris: Arc<[Uri]>,
    template: Template<B>,
}

#[derive(Clone)]
enum Legacy<B> {
    Plain(LegacyClient<HttpConnector, B>),
    Tls(LegacyClient<HttpsConnector<HttpConnector>, B>),
}

impl<B: Outgoing> Client for HyperUtil<B> {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = LegacyClient::builder(TokioExecutor::new());
        builder.http2_only(task.protocol.is_http2());
        let client = if place.certificate.is_some() {
            connector.enforce_http(false);
            let builds = HttpsConnectorBuilder::new().with_tls_config(tls::config(place)?);
            let builds = builds.https_only();
            Legacy::Tls(builder.build(if task.protocol.is_http2() {
                builds.enable_http2().wrap_connector(connector)
            } else {
                builds.enable_http1().wrap_connector(connector)
            }))
        } else {
            Legacy::Plain(builder.build(connector))
        };
        let (uris, template): (Arc<[_]>, _) = (place.uris()?.into(), Template::new(task));
        let one =
            |_| Self { client: client.clone(), uris: uris.clone(), template: template.clone() };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let request = self.template.request(self.uris[address].clone())?;
        let response = match &self.client {
            Legacy::Plain(client) => client.request(request).await?,
            Legacy::Tls(client) => client.request(request).await?,
        };
        length(response.into_body()).await
    }
}

/// reqwest.
pub(crate) struct Reqwest {
    client: reqwest::Client,
    urls: Arc<[Url]>,
    upload: Option<Bytes>,
    closes: bool,
}

impl Client for Reqwest {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        // It wants a configuration in any case, because it is built without a choice of cryptography.
        let config = tls::config_of(task, place)?;
        let mut builder = reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy();
        if task.protocol == Protocol::Http2 {
            builder = builder.http2_prior_knowledge();
        }
        let client = builder.build()?;
        let url = |uri: &Uri| Ok(Url::parse(&uri.to_string())?);
        let urls: Arc<[_]> = place.uris()?.iter().map(url).collect::<Result<_, Error>>()?;
        let (upload, closes) = (uploaded(task.payload), task.opens());
        let one =
            |_| Self { client: client.clone(), urls: urls.clone(), upload: upload.clone(), closes };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let url = self.urls[address].clone();
        let mut request = match &self.upload {
            None => self.client.get(url),
            Some(body) => self.client.post(url).body(body.clone()),
        };
        if self.closes {
            request = request.header(CONNECTION, CLOSE);
        }
        let response = request.send().await?;
        length(reqwest::Body::from(response)).await
    }
}

/// pingora-core's connector, which is a part of a proxy and has no client of its own around it.
pub(crate) struct Pingora {
    connector: Arc<Connector>,
    peers: Arc<[HttpPeer]>,
    host: Arc<str>,
    closes: bool,
}

impl Client for Pingora {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        only_small_over_http1(task)?;
        let addresses = &place.addresses;
        // Its default of 128 would close most connections of a larger crowd.
        let pool_size = 4096.max(addresses.len());
        let connector = Arc::new(Connector::new(Some(ConnectorOptions::new(pool_size))));
        let peer = |address| HttpPeer::new(address, false, String::new());
        let peers: Arc<[_]> = addresses.iter().map(peer).collect();
        let host: Arc<str> = addresses[0].to_string().into();
        let one = |_| Self {
            connector: connector.clone(),
            peers: peers.clone(),
            host: host.clone(),
            closes: task.opens(),
        };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let peer = &self.peers[address];
        let (mut session, _) = self.connector.get_http_session(peer).await?;
        let mut request = RequestHeader::build("GET", b"/", None)?;
        request.insert_header("host", &*self.host)?;
        if self.closes {
            request.insert_header("connection", "close")?;
        }
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let mut length = 0;
        while let Some(data) = session.read_response_body().await? {
            length += data.len();
        }
        self.connector.release_http_session(session, peer, None).await;
        Ok(length)
    }
}

/// `pooled_fetch` 0.1.11, whose only pool is one for the process.
pub(crate) struct OldCrate {
    addresses: Vec<SocketAddr>,
    host: HeaderValue,
}

impl Client for OldCrate {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        only_small_over_http1(task)?;
        let addresses = &place.addresses;
        if task.at_once > 1 {
            return Err("it keeps one connection for each address, and loses the others".into());
        }
        let host = HeaderValue::try_from(addresses[0].to_string())?;
        Ok(vec![Self { addresses: addresses.clone(), host }])
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let request = Request::get("/").header(HOST, self.host.clone()).body(Full::default())?;
        length(old_pooled_fetch::http(self.addresses[address], request).await?.into_body()).await
    }
}
