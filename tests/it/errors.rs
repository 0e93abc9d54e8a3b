//! An error names the step and the address, and leaves the pool as good as before.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pool_core::{ConnectOptions, Connected, Connector, ErrorKind, Pool, Target, async_trait};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{
    Backend, Endpoint, Server, Whole, answer, bounded, ends_idle, for_each_backend, get, start,
    start_with,
};
use tokio::net::TcpSocket;
use tokio::time::Instant;

for_each_backend! {
    a_failed_connect_fails_one_request_only,
    a_connector_that_panics_fails_one_request_only,
    an_error_tells_every_cause_of_it_once,
    an_answer_that_is_not_http_is_an_error,
    a_connection_cut_within_the_head_is_an_error,
    a_connection_cut_within_the_body_is_an_error_of_the_body,
}

#[tokio::test]
async fn a_refused_connection_is_told_with_step_and_address() {
    bounded(async {
        // Bound but not listening: the port is taken, and refuses.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let address = socket.local_addr().expect("an address");
        let pool = Pool::new(TcpConnector::new());
        let error = pool.http(&address, get("/")).await.expect_err("no server listens");
        assert_eq!(error.to_string(), format!("connecting to {address}: connection refused"));
        assert_eq!(error.kind(), ErrorKind::Connect);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::ConnectionRefused));
    })
    .await;
}

async fn a_failed_connect_fails_one_request_only(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    caller.watch.fail_next(io::ErrorKind::HostUnreachable);
    let error = caller.fetch(get("/")).await.expect_err("no route");
    assert_eq!(error.kind(), ErrorKind::Connect);
    let told = format!("connecting to {:?}: host unreachable", caller.address);
    assert_eq!(error.to_string(), told);
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

/// Panics at its first connect.
struct PanicsOnce<C> {
    inner: C,
    has_panicked: AtomicBool,
}

#[async_trait]
impl<C: Connector> Connector for PanicsOnce<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        assert!(self.has_panicked.swap(true, Ordering::Relaxed), "as the test wants it");
        self.inner.connect(address, options).await
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }
}

async fn a_connector_that_panics_fails_one_request_only(backend: Backend) {
    let Endpoint { connector, address, acceptor } = backend.start().await;
    let connector = PanicsOnce { inner: connector, has_panicked: AtomicBool::new(false) };
    // With room for one, whose permit must come back.
    let settings = Pool::builder(connector).max_connections(1).checkout_timeout(None);
    let pool = settings.build().expect("sensible settings");
    let fetch = async || Whole::read(pool.http(&address, get("/")).await?).await;
    let error = fetch().await.expect_err("nothing was opened");
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(error.to_string(), format!("connecting to {address:?}: the connector panicked"));
    assert_eq!(pool.stats().opening, 0);
    Server::new(acceptor).open(fetch(), answer("next")).await;
}

/// A step of a connector that leaves its cause out of its text.
#[derive(Debug)]
struct Step(&'static str, Option<Box<Self>>);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Step {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|step| step as &(dyn StdError + 'static))
    }
}

/// Fails with an error that has a cause, which has one too.
struct InSteps<C>(C);

#[async_trait]
impl<C: Connector> Connector for InSteps<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        _: &Self::Address,
        _: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        let route = Step("no route", Some(Box::new(Step("link down", None))));
        Err(io::Error::other(Step("tcp connect error", Some(Box::new(route)))))
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.0.target(address)
    }
}

async fn an_error_tells_every_cause_of_it_once(backend: Backend) {
    let Endpoint { connector, address, .. } = backend.start().await;
    let pool = Pool::new(InSteps(connector));
    let error = pool.http(&address, get("/")).await.expect_err("nothing was opened");
    let told = format!("connecting to {address:?}: tcp connect error: no route: link down");
    assert_eq!(error.to_string(), told);
    let first: &dyn StdError = error.source().expect("a cause");
    let chain = std::iter::successors(Some(first), |error| (*error).source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    assert_eq!(chain, ["tcp connect error", "no route", "link down"]);
}

async fn an_answer_that_is_not_http_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    for nonsense in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let client = tokio::spawn(caller.fetch(get("/")));
        let mut connection = server.accept().await;
        connection.read_request().await;
        connection.write(nonsense).await;
        let error = client.await.expect("no panic").expect_err(nonsense);
        assert_eq!(error.kind(), ErrorKind::Response, "{error}");
        let told = format!("waiting for the response of {:?}: ", caller.address);
        assert!(error.to_string().starts_with(&told), "{error}");
        connection.ends().await;
    }
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_connection_cut_within_the_head_is_an_error(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    connection.write("HTTP/1.1 200 OK\r\ncontent-").await;
    drop(connection);
    let error = client.await.expect("no panic").expect_err("half a head");
    assert_eq!(error.kind(), ErrorKind::Response, "{error}");
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

async fn a_connection_cut_within_the_body_is_an_error_of_the_body(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    for half in [
        "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let (connection, _, response) = server.open(caller.send(get("/")), half).await;
        drop(connection);
        let error = Whole::read(response).await.expect_err("half a body");
        assert_eq!(error.kind(), ErrorKind::ResponseBody, "{error}");
        let told = format!("reading the response body from {:?}: ", caller.address);
        assert!(error.to_string().starts_with(&told), "{error}");
    }
    server.open(caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}

#[test]
fn a_request_outside_a_runtime_is_an_error_and_no_panic() {
    let pool = Pool::new(TcpConnector::new());
    let address = "127.0.0.1:1".parse().expect("an address");
    let request = pin!(pool.http(&address, get("/")));
    let Poll::Ready(result) = request.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("nothing would ever wake it");
    };
    let error = result.expect_err("no runtime");
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert!(error.to_string().contains("127.0.0.1:1: there is no tokio runtime"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_takes_too_long_is_an_error_of_its_own() {
    bounded(async {
        let timeout = Duration::from_secs(3);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.connect_timeout(timeout)).await;
        caller.watch.close_gate();
        let start = Instant::now();
        let error = caller.fetch(get("/")).await.expect_err("the gate is closed");
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        assert!(error.to_string().starts_with("connecting to \"memory.test\": "), "{error}");
        assert!(error.to_string().contains("3s"), "{error}");
        assert!((timeout..timeout * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
        caller.watch.until_waiting(0).await;

        caller.watch.open_gate();
        server.open(caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}
