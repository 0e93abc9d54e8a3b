//! Code of the caller that panics loses no connection, no permit and no request that waits.
//!
//! Request bodies that panic are in `failing_bodies` and `http2::faults`, connectors in `errors` and `dials::own_faults`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::Request;
use pool_core::{
    ConnectOptions, Connected, Connector, ErrorKind, Event, Fault, Observer, Pool, ReplayableBody,
    ServerInfo, Target, async_trait, on_informational,
};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Address, AnyConnector, Authority, Backend, Caller, Endpoint, Pieces, Probe, Protocol, Server,
    Whole, answer, bounded, ends_idle, for_each_backend, for_each_protocol, get,
    start_hyper_server, start_with, tls_endpoint,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::task::JoinSet;

for_each_protocol! {
    an_observer_that_panics_loses_nothing,
}

for_each_backend! {
    a_callback_that_panics_ends_its_own_request_only,
    a_body_that_panics_when_it_is_made_again_ends_its_own_request_only,
    a_connector_that_panics_over_its_error_fails_one_request_only,
}

/// Panics at whatever it is told, and counts that.
#[derive(Clone, Default)]
struct Panics(Arc<AtomicUsize>);

impl Observer for Panics {
    fn observe(&self, _: &ServerInfo, event: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a mistake of the observer's own, at {event:?}");
    }
}

async fn an_observer_that_panics_loses_nothing(protocol: Protocol) {
    let told = Panics::default();
    let observer = told.clone();
    let (caller, server) = start_hyper_server(protocol, 4, move |settings| {
        settings.observer(observer).max_connections(2)
    })
    .await;
    // More than there is room for, so that some wait for others.
    let mut clients: JoinSet<_> =
        (0..20).map(|number| caller.fetch(get(&format!("/{number}")))).collect();
    while let Some(client) = clients.join_next().await {
        client.expect("no panic").expect("a response");
    }
    server.close_gate();
    let cancelled = tokio::spawn(caller.fetch(get("/held")));
    server.until_held(1).await;
    cancelled.abort();
    assert!(cancelled.await.expect_err("it was aborted").is_cancelled());
    server.open_gate();
    drop(caller.send(get("/bytes/1000000")).await.expect("a response"));
    caller.pool.drain(&caller.address).await;
    assert_eq!((caller.pool.stats().waiting, caller.watch.held()), (0, 0));
    assert!(told.0.load(Ordering::SeqCst) > 20, "it was told");
    ends_idle(caller).await;
}

/// It runs within the poll that reads the answer, so the panic goes to the task of the request.
async fn a_callback_that_panics_ends_its_own_request_only(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.max_connections(1)).await;
    let mut request = get("/panics");
    on_informational(&mut request, |status, _| {
        panic!("a mistake of the caller's own, at {status}")
    });
    let panics = tokio::spawn(caller.fetch(request));
    let mut connection = server.accept().await;
    connection.read_request().await;
    let waits = caller.fetch(get("/waits"));
    connection.write("HTTP/1.1 103 Early Hints\r\n\r\n").await;
    assert!(panics.await.expect_err("the panic goes to the caller").is_panic());
    connection.ends().await;
    server.open(waits, answer("served")).await;
    ends_idle(caller).await;
}

async fn a_body_that_panics_when_it_is_made_again_ends_its_own_request_only(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.max_connections(1)).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let made = AtomicUsize::new(0);
    let body = ReplayableBody::new(move || {
        assert_eq!(made.fetch_add(1, Ordering::SeqCst), 0, "a mistake of the caller's own");
        Pieces::new(["con", "tent"])
    });
    let panics = tokio::spawn(caller.fetch(Request::put("/").body(body).expect("a request")));
    connection.read_request().await;
    // Nothing was read in answer, so the request is made anew.
    drop(connection);
    assert!(panics.await.expect_err("the panic goes to the caller").is_panic());
    server.open(caller.fetch(get("/")), answer("served")).await;
    ends_idle(caller).await;
}

/// Panics when it is asked what an error of its own means.
struct PanicsOverErrors<C> {
    inner: C,
    fails: AtomicBool,
}

#[async_trait]
impl<C: Connector> Connector for PanicsOverErrors<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<Self::Stream>> {
        if self.fails.swap(false, Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.inner.connect(address, options).await
    }

    fn target(&self, address: &Self::Address) -> Target {
        self.inner.target(address)
    }

    fn fault(&self, error: &io::Error) -> Fault {
        panic!("a mistake of the connector's own, at {error}");
    }
}

async fn a_connector_that_panics_over_its_error_fails_one_request_only(backend: Backend) {
    let Endpoint { connector, address, acceptor } = backend.start().await;
    let connector = PanicsOverErrors { inner: connector, fails: AtomicBool::new(true) };
    let settings = Pool::builder(connector).max_connections(1).checkout_timeout(None);
    let pool = settings.build().expect("sensible settings");
    let fetch = async || Whole::read(pool.http(&address, get("/")).await?).await;
    let error = fetch().await.expect_err("nothing was opened");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert_eq!(pool.stats().opening, 0);
    Server::new(acceptor).open(fetch(), answer("next")).await;
}

/// Panics at the first certificate that it is shown, and believes all others.
#[derive(Debug, Default)]
struct PanicsOnce(AtomicBool);

impl ServerCertVerifier for PanicsOnce {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert!(self.0.swap(true, Ordering::SeqCst), "a mistake of the verifier's own");
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn a_verifier_that_panics_fails_one_request_only() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["http/1.1"]);
        let (address, acceptor) = tls_endpoint(config).await;
        let tls = TlsConnector::builder(TcpConnector::new())
            .roots(authority.roots())
            .verifier(Arc::new(PanicsOnce::default()))
            .http2(false)
            .build()
            .expect("a provider that can be used");
        let (connector, watch) = Probe::new(AnyConnector::new(tls));
        // With room for one, whose permit must come back.
        let pool = Pool::builder(connector).max_connections(1).build().expect("sensible settings");
        let name = ServerName::try_from("site.test").expect("a valid name");
        let address = Address::new(TlsAddress::new(address, name));
        let caller = Caller { pool, address, watch };
        let error = caller.fetch(get("/")).await.expect_err("nothing was opened");
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert_eq!((caller.pool.stats().opening, caller.watch.held()), (0, 0));
        Server::new(acceptor).open(caller.fetch(get("/")), answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}
