//! Balances requests over servers that come and go: `cargo run --features tower --example balance`.
//!
//! Everything but the pool is tower's. Of two services that are ready, chosen at random, the one with fewer requests gets the next; a
//! request that no server has acted upon is sent again, to whichever is chosen then; so many requests go at once, and each has so long.
//! One of three servers stops on the way, another comes, and no request fails.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pooled_fetch::{Body, Error, FullBytes, Pool, TcpConnector, ToAddress};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::retry::Policy;
use tower::{Service, ServiceBuilder, ServiceExt};

type BoxError = Box<dyn StdError + Send + Sync>;
type Get = Request<FullBytes>;
type Found = Change<SocketAddr, ToAddress<TcpConnector>>;

const CALLERS: usize = 16;
const REQUESTS: usize = 50;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    for (server, requests) in run().await? {
        println!("{server} has served {requests}");
    }
    Ok(())
}

/// How many requests each server has served.
pub(crate) async fn run() -> Result<BTreeMap<String, usize>, BoxError> {
    // A limit for each address, so that a server that falls behind is not ready, and the others are chosen.
    let pool = Pool::builder(TcpConnector::new()).max_connections_per_address(4).build()?;
    let (changes, found) = mpsc::unbounded_channel::<Found>();
    let found = stream::unfold(found, async |mut found| {
        found.recv().await.map(|change| (Ok::<_, Infallible>(change), found))
    });
    let service = ServiceBuilder::new()
        .buffer(64)
        .concurrency_limit(8)
        .timeout(Duration::from_secs(10))
        .retry(Unprocessed)
        // The balancer itself is no clone; each request borrows it for as long as it takes to choose.
        .buffer(64)
        .service(Balance::new(Box::pin(found.chain(stream::pending()))));

    let mut servers = BTreeMap::new();
    for name in ["first", "second", "third"] {
        servers.insert(name, arrive(name, &pool, &changes).await?);
    }
    let mut served = call(&service).await?;

    // It stops before anybody is told, as servers do.
    let second = servers.remove("second").ok_or("it was started")?;
    let address = second.stop().await?;
    let without = call(&service).await?;
    changes.send(Change::Remove(address))?;
    servers.insert("fourth", arrive("fourth", &pool, &changes).await?);
    for (name, count) in without.into_iter().chain(call(&service).await?) {
        *served.entry(name).or_default() += count;
    }
    Ok(served)
}

/// All callers at once, one request after the other each; which server has answered how often.
async fn call<S>(service: &S) -> Result<BTreeMap<String, usize>, BoxError>
where
    S: Service<Get, Response = Response<Body>, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut service = service.clone();
        callers.spawn(async move {
            let mut names = Vec::with_capacity(REQUESTS);
            for _ in 0..REQUESTS {
                let request = Request::get("/").body(FullBytes::default())?;
                let response = service.ready().await?.call(request).await?;
                let name = response.into_body().collect().await?.to_bytes();
                names.push(String::from_utf8_lossy(&name).into_owned());
            }
            Ok::<_, BoxError>(names)
        });
    }
    let mut served = BTreeMap::new();
    while let Some(names) = callers.join_next().await {
        for name in names?? {
            *served.entry(name).or_default() += 1;
        }
    }
    Ok(served)
}

/// Sends a request again that no server has acted upon: nobody can have seen it twice.
///
/// It counts nothing and makes no pause. A server that refuses is ready again only when the pool dials it next, and the
/// timeout is for all attempts together.
#[derive(Clone, Debug)]
struct Unprocessed;

impl Policy<Get, Response<Body>, BoxError> for Unprocessed {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Get,
        result: &mut Result<Response<Body>, BoxError>,
    ) -> Option<Ready<()>> {
        let error = result.as_ref().err()?.downcast_ref::<Error>()?;
        error.evidence().is_unprocessed().then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Get) -> Option<Get> {
        Some(request.clone())
    }
}

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Closes its door and its connections.
    async fn stop(self) -> Result<SocketAddr, BoxError> {
        drop(self.stop);
        self.task.await?;
        Ok(self.address)
    }
}

/// Starts a server that answers with its name, and has it be found.
async fn arrive(
    name: &'static str,
    pool: &Pool<TcpConnector>,
    changes: &mpsc::UnboundedSender<Found>,
) -> Result<Server, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                Ok((stream, _)) = listener.accept() => stream,
                _ = &mut stopped => break,
            };
            let answer = service_fn(async |_| Ok::<_, Infallible>(Response::new(name.to_owned())));
            connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
        drop(listener);
        connections.shutdown().await;
    });
    changes.send(Change::Insert(address, pool.to(address)))?;
    Ok(Server { address, stop, task })
}
