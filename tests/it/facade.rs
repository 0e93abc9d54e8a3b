//! A caller that knows only the interface of the old crate, and what it may expect of the one default pool.

use std::error::Error;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Uri};
use pooled_fetch::pool_tls::ServerName;
use pooled_fetch::{ErrorKind, FullBytes, http, https, tls_pool};
use pooled_fetch_tests::{
    Authority, EchoServer, Endpoint, Server, answer, bounded, get, tcp_endpoint, tls_endpoint,
};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// What such a caller writes: a socket address, a request that it can clone, one kind of error.
async fn page(
    server: SocketAddr,
    request: Request<FullBytes>,
) -> Result<(u16, Bytes), Box<dyn Error + Send + Sync>> {
    let response = http(server, request).await?;
    let status = response.status().as_u16();
    let content = response.into_body().collect().await?.to_bytes();
    Ok((status, content))
}

fn greeting() -> Result<Request<FullBytes>, Box<dyn Error + Send + Sync>> {
    let uri: Uri = "/greeting".parse()?;
    Ok(Request::builder().uri(uri).body(FullBytes::new(Bytes::new()))?)
}

#[tokio::test]
async fn a_caller_of_the_old_crate_works_unchanged() -> Result<(), Box<dyn Error + Send + Sync>> {
    bounded(async {
        let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
        let service = EchoServer::start(Server::new(acceptor), |request| answer(request.target()));
        let request = greeting()?;
        for _ in 0..3 {
            let (status, content) = page(address, request.clone()).await?;
            assert_eq!((status, &*content), (200, b"/greeting".as_slice()));
        }
        let connections: Vec<_> = service.served().into_iter().map(|(number, _)| number).collect();
        assert_eq!(connections, [1, 1, 1], "one connection serves them all");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_request_may_run_as_a_task_of_its_own() -> Result<(), Box<dyn Error + Send + Sync>> {
    bounded(async {
        let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
        let _service = EchoServer::start(Server::new(acceptor), |request| answer(request.target()));
        let (_, content) = tokio::spawn(page(address, greeting()?)).await??;
        assert_eq!(content, "/greeting");
        Ok(())
    })
    .await
}

/// A service that outlives the runtimes of its callers.
fn serve_elsewhere() -> (SocketAddr, oneshot::Sender<()>, thread::JoinHandle<usize>) {
    let (ready, started) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel();
    let server = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
            let service =
                EchoServer::start(Server::new(acceptor), |request| answer(request.target()));
            ready.send(address).expect("the test waits");
            // Either way the test is over.
            stopped.await.ok();
            service.served().len()
        })
    });
    (started.recv().expect("a server that starts"), stop, server)
}

#[test]
fn the_one_pool_serves_runtimes_that_come_and_go() {
    let (address, stop, server) = serve_elsewhere();
    for round in 0..20 {
        let mut builder = if round % 2 == 0 {
            Builder::new_current_thread()
        } else {
            Builder::new_multi_thread()
        };
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(bounded(async {
            for _ in 0..3 {
                let request = greeting().expect("a request");
                let (_, content) = page(address, request).await.expect("a response");
                assert_eq!(content, "/greeting");
            }
        }));
    }
    stop.send(()).expect("the server waits");
    assert_eq!(server.join().expect("a server without complaints"), 60, "each is served once");
}

#[tokio::test]
async fn the_default_pool_can_be_looked_at() {
    bounded(async {
        let Endpoint { address, acceptor, .. } = tcp_endpoint().await;
        let _service = EchoServer::start(Server::new(acceptor), |request| answer(request.target()));
        let before = pooled_fetch::pool().stats().opened;
        page(address, greeting().expect("a request")).await.expect("a response");
        assert!(pooled_fetch::pool().stats().opened > before);
    })
    .await;
}

/// Only this test vouches for its server, so the default pool must not speak to it.
#[tokio::test]
async fn https_refuses_a_server_for_which_no_root_vouches() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.server(&["site.test"], &["h2", "http/1.1"]);
        let (address, _acceptor) = tls_endpoint(config).await;
        let name = ServerName::try_from("site.test").expect("a valid name");
        let error = https(address, name, get("/")).await.expect_err("it trusts Mozilla's roots");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let told = format!("connecting to site.test ({address}): TLS handshake with site.test: ");
        assert!(error.to_string().starts_with(&told), "{error}");
        assert!(error.to_string().contains("UnknownIssuer"), "{error}");
        assert!(error.into_request().is_ok());
        assert_eq!(tls_pool().stats().opened, 0);
    })
    .await;
}
