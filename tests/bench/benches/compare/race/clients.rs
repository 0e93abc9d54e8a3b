//! The clients, each set up as its documentation recommends for servers that give connections up.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Method, Request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::client::legacy::Client as LegacyClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pool_core::Pool;
use pool_tcp::TcpConnector;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;

use crate::Error;

/// What a POST carries.
const CONTENT: Bytes = Bytes::from_static(b"content");

/// A client, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Ours,
    /// Without the memory of servers that answer unasked.
    OursUnquarantined,
    NaiveHyper,
    OldCrate,
    HyperUtil,
    Reqwest,
    /// With a policy of retries, in place of its default.
    ReqwestRetrying,
    Pingora,
}

/// What is done with a client, whatever its type.
pub(super) trait Visitor {
    type Output;

    fn visit<F: Fetches>(self, client: F) -> Result<Self::Output, Error>;
}

/// A client that is ready to send requests to one address.
pub(super) trait Fetches: Send + Sync + 'static {
    /// The body of the answer to a GET, or a POST.
    fn fetch(&self, post: bool, path: &str) -> impl Future<Output = Result<Bytes, Error>> + Send;
}

impl Client {
    pub(super) const ALL: &[Self] = &[
        Self::Ours,
        Self::OursUnquarantined,
        Self::NaiveHyper,
        Self::OldCrate,
        Self::HyperUtil,
        Self::Reqwest,
        Self::ReqwestRetrying,
        Self::Pingora,
    ];

    /// Those with which more than one request may be under way.
    pub(super) const FOR_CROWDS: &[Self] = &[
        Self::Ours,
        Self::NaiveHyper,
        Self::HyperUtil,
        Self::Reqwest,
        Self::ReqwestRetrying,
        Self::Pingora,
    ];

    /// Has it made, and visited.
    pub(super) fn visit<V: Visitor>(
        self,
        address: SocketAddr,
        visitor: V,
    ) -> Result<V::Output, Error> {
        match self {
            Self::Ours => visitor.visit((Pool::new(TcpConnector::new()), address)),
            Self::OursUnquarantined => {
                let pool = Pool::builder(TcpConnector::new()).quarantine(false).build()?;
                visitor.visit((pool, address))
            }
            Self::NaiveHyper => visitor.visit(NaiveHyper { address, idle: Mutex::default() }),
            Self::OldCrate => visitor.visit(OldCrate(address)),
            Self::HyperUtil => visitor.visit(hyper_util(address)),
            Self::Reqwest => visitor.visit(ReqwestTo(reqwest()?.build()?, address)),
            Self::ReqwestRetrying => {
                visitor.visit(ReqwestTo(reqwest()?.retry(retries(address)).build()?, address))
            }
            Self::Pingora => visitor.visit(Pingora::new(address)),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "this pool",
            Self::OursUnquarantined => "this pool, quarantine off",
            Self::NaiveHyper => "bare hyper, connections in a list",
            Self::OldCrate => "the old crate",
            Self::HyperUtil => "hyper-util",
            Self::Reqwest => "reqwest",
            Self::ReqwestRetrying => "reqwest, policy that retries GETs",
            Self::Pingora => "pingora-core, retries as its proxy",
        })
    }
}

fn request(post: bool, uri: &str) -> Result<Request<Full<Bytes>>, Error> {
    let (method, body) = if post { (Method::POST, CONTENT) } else { (Method::GET, Bytes::new()) };
    Ok(Request::builder().method(method).uri(uri).body(Full::new(body))?)
}

async fn whole<B>(body: B) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Error>,
{
    Ok(body.collect().await.map_err(Into::into)?.to_bytes())
}

impl Fetches for (Pool<TcpConnector>, SocketAddr) {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        whole(self.0.http(&self.1, request(post, path)?).await?.into_body()).await
    }
}

/// What is written by hand in an afternoon: a stack of connections, of which those that are known to be closed are left out.
struct NaiveHyper {
    address: SocketAddr,
    idle: Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
}

impl NaiveHyper {
    fn pop(&self) -> Option<http1::SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn open(&self) -> Result<http1::SendRequest<Full<Bytes>>, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Fetches for NaiveHyper {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        let mut request = request(post, path)?;
        request.headers_mut().insert(HOST, HeaderValue::try_from(self.address.to_string())?);
        let mut sender = loop {
            let Some(mut idle) = self.pop() else { break self.open().await? };
            if idle.ready().await.is_ok() {
                break idle;
            }
        };
        let body = whole(sender.send_request(request).await?.into_body()).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(body)
    }
}

/// `pooled_fetch` 0.1.11.
struct OldCrate(SocketAddr);

impl Fetches for OldCrate {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        let mut request = request(post, path)?;
        request.headers_mut().insert(HOST, HeaderValue::try_from(self.0.to_string())?);
        whole(old_pooled_fetch::http(self.0, request).await?.into_body()).await
    }
}

/// It sends requests again that hyper gives back unsent, which is its default.
struct HyperUtil(LegacyClient<HttpConnector, Full<Bytes>>, SocketAddr);

fn hyper_util(address: SocketAddr) -> HyperUtil {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = LegacyClient::builder(TokioExecutor::new());
    // Without a timer it does not keep its idle timeout.
    HyperUtil(builder.pool_timer(TokioTimer::new()).build(connector), address)
}

impl Fetches for HyperUtil {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        let request = request(post, &format!("http://{}{path}", self.1))?;
        whole(self.0.request(request).await?.into_body()).await
    }
}

struct ReqwestTo(reqwest::Client, SocketAddr);

fn reqwest() -> Result<reqwest::ClientBuilder, Error> {
    // It wants a configuration in any case, because it is built without a choice of cryptography.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy())
}

/// Its default knows only what HTTP/2 servers refuse. With this each GET may be sent twice more, in all as often again
/// as without.
fn retries(address: SocketAddr) -> reqwest::retry::Builder {
    let policy = reqwest::retry::for_host(address.ip().to_string()).max_extra_load(1.0);
    policy.classify_fn(|exchange| {
        if exchange.error().is_some() && exchange.method() == Method::GET {
            exchange.retryable()
        } else {
            exchange.success()
        }
    })
}

impl Fetches for ReqwestTo {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        let url = format!("http://{}{path}", self.1);
        let request = if post { self.0.post(url).body(CONTENT) } else { self.0.get(url) };
        Ok(request.send().await?.bytes().await?)
    }
}

/// A part of a proxy. What its proxy does with errors is done here: where a reused connection fails in a way that the connector
/// calls worth it, there is another try, whatever the method.
struct Pingora {
    connector: Connector,
    peer: HttpPeer,
    host: String,
}

/// Tries of one request; more than there are connections to fail.
const TRIES: usize = 40;

/// As long as the others keep an idle connection.
const IDLE: Duration = Duration::from_secs(90);

impl Pingora {
    fn new(address: SocketAddr) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(4096))),
            peer: HttpPeer::new(address, false, String::new()),
            host: address.to_string(),
        }
    }

    async fn attempt(&self, post: bool, path: &str) -> pingora_core::Result<Bytes> {
        let (mut session, reused) = self.connector.get_http_session(&self.peer).await?;
        let exchange = async {
            let method = if post { "POST" } else { "GET" };
            let mut request = RequestHeader::build(method, path.as_bytes(), None)?;
            request.insert_header(HOST, &*self.host)?;
            if post {
                request.insert_header(CONTENT_LENGTH, CONTENT.len())?;
            }
            session.write_request_header(Box::new(request)).await?;
            if post {
                session.write_request_body(CONTENT, true).await?;
            }
            session.finish_request_body().await?;
            session.read_response_header().await?;
            let mut body = Vec::new();
            while let Some(data) = session.read_response_body().await? {
                body.extend_from_slice(&data);
            }
            Ok::<_, pingora_core::BError>(Bytes::from(body))
        };
        match exchange.await {
            Ok(body) => {
                self.connector.release_http_session(session, &self.peer, Some(IDLE)).await;
                Ok(body)
            }
            Err(mut error) => {
                error.retry.decide_reuse(reused);
                Err(error)
            }
        }
    }
}

impl Fetches for Pingora {
    async fn fetch(&self, post: bool, path: &str) -> Result<Bytes, Error> {
        let mut tries = 1..=TRIES;
        loop {
            let last = tries.next().is_none();
            match self.attempt(post, path).await {
                Err(error) if error.retry() && !last => {}
                how => return Ok(how?),
            }
        }
    }
}
