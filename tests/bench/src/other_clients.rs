//! Other clients that pool connections, set up as their documentation recommends and without a limit that the
//! load would reach.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Uri};
use http_body_util::{Empty, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as LegacyClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use reqwest::Url;
use rustls::RootCertStore;

use crate::client::{CLOSE, Client, Error, length};
use crate::task::{Task, Way};
use crate::tls;

/// hyper-util's legacy client.
pub(crate) struct HyperUtil {
    client: Legacy,
    uris: Arc<[Uri]>,
    closes: bool,
}

#[derive(Clone)]
enum Legacy {
    Plain(LegacyClient<HttpConnector, Empty<Bytes>>),
    Tls(LegacyClient<HttpsConnector<HttpConnector>, Empty<Bytes>>),
}

impl Client for HyperUtil {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let builder = LegacyClient::builder(TokioExecutor::new());
        let (client, uris) = if task.way == Way::OpeningOverTls {
            let (address, roots) = tls::ask_for_tls(addresses[0])?;
            connector.enforce_http(false);
            let connector = HttpsConnectorBuilder::new()
                .with_tls_config(tls::config(roots)?)
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            (Legacy::Tls(builder.build(connector)), vec![format!("https://{address}/")])
        } else {
            let uris = addresses.iter().map(|address| format!("http://{address}/"));
            (Legacy::Plain(builder.build(connector)), uris.collect())
        };
        let uris: Arc<[_]> = uris.into_iter().map(Uri::try_from).collect::<Result<_, _>>()?;
        let closes = task.opens();
        let one = |_| Self { client: client.clone(), uris: uris.clone(), closes };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let mut request = Request::get(self.uris[address].clone());
        if self.closes {
            request = request.header(CONNECTION, CLOSE);
        }
        let request = request.body(Empty::new())?;
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
    closes: bool,
}

impl Client for Reqwest {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let (roots, urls) = if task.way == Way::OpeningOverTls {
            let (address, roots) = tls::ask_for_tls(addresses[0])?;
            (roots, vec![format!("https://{address}/")])
        } else {
            let urls = addresses.iter().map(|address| format!("http://{address}/"));
            (RootCertStore::empty(), urls.collect())
        };
        // It wants a configuration in any case, because it is built without a choice of cryptography.
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls::config(roots)?);
        let client = builder.no_proxy().build()?;
        let urls: Arc<[_]> = urls.iter().map(|url| Url::parse(url)).collect::<Result<_, _>>()?;
        let closes = task.opens();
        let one = |_| Self { client: client.clone(), urls: urls.clone(), closes };
        Ok((0..task.at_once).map(one).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let mut request = self.client.get(self.urls[address].clone());
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
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
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
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        if task.at_once > 1 {
            return Err("it keeps one connection for each address, and loses the others".into());
        }
        let host = HeaderValue::try_from(addresses[0].to_string())?;
        Ok(vec![Self { addresses: addresses.to_vec(), host }])
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let request = Request::get("/").header(HOST, self.host.clone()).body(Full::default())?;
        length(old_pooled_fetch::http(self.addresses[address], request).await?.into_body()).await
    }
}
