//! What one connection that fails tells of the idle ones to the same address: of a path that has forgotten its connections
//! one request learns, and not each of them anew.
//!
//! Where time matters the clock is paused, which it can be only in memory.

mod errors;
mod forgotten;
mod healthy;
mod resets;
mod trials;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pool_core::{Builder, Error, ErrorKind, Pool, Reason};
use pooled_fetch_tests::{
    Address, AnyConnector, Backend, EchoServer, Endpoint, OverPath, Path, Probe, Server, Watch,
    Whole, answer, get,
};
use tokio::task::JoinSet;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

type Via = OverPath<Probe<AnyConnector>>;

/// A pool over a path, and its server, which never answers requests to `/slow`.
struct World {
    pool: Pool<Via>,
    address: Address,
    path: Path,
    watch: Watch,
    site: EchoServer,
}

impl World {
    async fn new(backend: Backend, settings: impl FnOnce(Builder<Via>) -> Builder<Via>) -> Self {
        let Endpoint { connector, address, acceptor } = backend.start().await;
        let (connector, watch) = Probe::new(connector);
        let (connector, path) = OverPath::new(connector);
        let settings = settings(Pool::builder(connector));
        let site = EchoServer::start(Server::new(acceptor), |request| match request.target() {
            "/slow" => Bytes::new(),
            "/half" => Bytes::from_static(b"HTTP/1.1 200"),
            target => answer(target),
        });
        let pool = settings.build().expect("settings that make sense");
        Self { pool, address, path, watch, site }
    }

    /// With a response timeout, and connections that have been idle for two seconds.
    async fn resting(idle: usize, limit: Duration) -> Self {
        let world = Self::new(Backend::Memory, |settings| settings.response_timeout(limit)).await;
        world.rest(idle).await;
        advance(2 * SECOND).await;
        world
    }

    /// Has so many connections become idle, in the order of their numbers.
    async fn rest(&self, count: usize) {
        let mut leases = Vec::new();
        for _ in 0..count {
            leases.push(self.pool.lease(&self.address).await.expect("a connection"));
        }
        for lease in leases {
            let response = lease.http(get("/first")).await.expect("nothing is lost yet");
            Whole::read(response).await.expect("nothing is lost yet");
        }
        assert_eq!(self.idle(), count);
    }

    fn fetch(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Whole, Error>> + Send + 'static {
        let (pool, address) = (self.pool.clone(), self.address.clone());
        async move { Whole::read(pool.http(&address, request).await?).await }
    }

    /// Sends requests at once; gives how many failed.
    async fn at_once(&self, requests: impl IntoIterator<Item = Request<Full<Bytes>>>) -> usize {
        let mut tasks: JoinSet<_> = requests.into_iter().map(|one| self.fetch(one)).collect();
        let mut failed = 0;
        while let Some(done) = tasks.join_next().await {
            failed += usize::from(done.expect("no panic").is_err());
        }
        failed
    }

    async fn times_out(&self, request: Request<Full<Bytes>>) {
        let error = self.fetch(request).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
    }

    fn idle(&self) -> usize {
        let stats = self.pool.stats();
        stats.idle + stats.parked
    }

    fn closed(&self, reason: Reason) -> usize {
        usize::try_from(self.pool.stats().closed(reason)).expect("a small number")
    }
}
