//! A caller of the pool under test, over any backend, under watch.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use pool_core::{Body, Builder, Error, Pool};
use tokio::runtime;

use crate::{Address, AnyConnector, Backend, Endpoint, Probe, Server, Watch};

/// The settings of a pool under test.
pub type Settings = Builder<Probe<AnyConnector>>;

/// A pool over a backend, the address of its one server, and the watch over what it opens.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The pool under test.
    pub pool: Pool<Probe<AnyConnector>>,
    /// The one server there is.
    pub address: Address,
    /// Counts the streams of the pool.
    pub watch: Watch,
}

/// What a caller waits for. In a box, so that tokio's tasks are compiled for it once, and not for each request.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A caller with the default settings, and the server that it calls.
pub async fn start(backend: Backend) -> (Caller, Server) {
    start_with(backend, |settings| settings).await
}

/// A caller with settings of its own, and the server that it calls.
pub fn start_with<'a>(
    backend: Backend,
    settings: impl FnOnce(Settings) -> Settings + Send + 'a,
) -> impl Future<Output = (Caller, Server)> + Send + 'a {
    start_as(backend, Box::new(settings))
}

/// In a box, so that this is compiled once, and not for each test.
type Set<'a> = Box<dyn FnOnce(Settings) -> Settings + Send + 'a>;

async fn start_as(backend: Backend, settings: Set<'_>) -> (Caller, Server) {
    let Endpoint { connector, address, acceptor } = backend.start().await;
    let (connector, watch) = Probe::new(connector);
    let pool = settings(Pool::builder(connector)).build().expect("settings that make sense");
    (Caller { pool, address, watch }, Server::new(acceptor))
}

/// A caller whose server follows `script` on a thread and a runtime of its own, so that it goes on while the
/// caller's thread is busy. Its pool has the default settings, but for the quarantine: a server may be out of
/// step here as often as it likes.
pub fn start_elsewhere<F, S>(backend: Backend, script: F) -> (Caller, JoinHandle<()>)
where
    F: FnOnce(Server) -> S + Send + 'static,
    S: Future<Output = ()>,
{
    let (ready, started) = mpsc::channel();
    let server = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let Endpoint { connector, address, acceptor } = backend.start().await;
            ready.send((connector, address)).expect("the caller waits");
            script(Server::new(acceptor)).await;
        });
    });
    let (connector, address) = started.recv().expect("a server that starts");
    let (connector, watch) = Probe::new(connector);
    let pool =
        Pool::builder(connector).quarantine(false).build().expect("settings that make sense");
    (Caller { pool, address, watch }, server)
}

impl Caller {
    /// Sends a request; the body of the response is still to be read.
    pub fn send<Q>(&self, request: Request<Q>) -> Boxed<Result<Response<Body>, Error>>
    where
        Q: http_body::Body<Data = Bytes> + Send + 'static,
        Q::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let pool = self.pool.clone();
        let address = self.address.clone();
        Box::pin(async move { pool.http(&address, request).await })
    }

    /// Sends a request and reads the response to its end.
    pub fn fetch<Q>(&self, request: Request<Q>) -> Boxed<Result<Whole, Error>>
    where
        Q: http_body::Body<Data = Bytes> + Send + 'static,
        Q::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let response = self.send(request);
        Box::pin(async move { Whole::read(response.await?).await })
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Whole {
    /// Its head.
    pub head: Parts,
    /// Its content.
    pub body: Bytes,
    /// What came after the content.
    pub trailers: Option<HeaderMap>,
}

impl Whole {
    /// Reads a response to its end.
    ///
    /// # Errors
    ///
    /// When the body does not arrive whole.
    pub async fn read(response: Response<Body>) -> Result<Self, Error> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self { head, body: body.to_bytes(), trailers })
    }
}

/// A GET without a body.
pub fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(uri).body(Full::default()).expect("a valid URI")
}

/// A POST of this content.
pub fn post(uri: &str, content: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::new(content.into())).expect("a valid URI")
}
