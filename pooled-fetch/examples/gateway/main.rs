//! A reverse proxy that never answers `502` for a request that its client may send again.
//!
//! `cargo run --example gateway` starts a backend that loses requests on purpose, a gateway before it, and
//! shows what clients in HTTP/1 and HTTP/2 are told; `-- 127.0.0.1:8080` is a gateway before a real backend.
//!
//! A WebSocket goes through as well. It stands behind what ends TLS, or ends it itself: a client in HTTP/2 then names `https` in each request, and the pool
//! is told that such requests go on to the backend in the clear.

mod forward;

use std::error::Error as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use pooled_fetch::{BuildError, Pool, TcpConnector};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::forward::{BoxError, forward};

/// The pool of the gateway.
fn upstream() -> Result<Pool<TcpConnector>, BuildError> {
    Pool::builder(TcpConnector::new()).https_over_cleartext(true).build()
}

async fn gateway(listener: TcpListener, backend: SocketAddr) -> Result<(), BoxError> {
    let pool = upstream()?;
    loop {
        let stream = TokioIo::new(listener.accept().await?.0);
        let pool = pool.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(pool.clone(), backend, request));
            let server = auto::Builder::new(TokioExecutor::new());
            // A connection that ends in an error has told its client so.
            server.serve_connection_with_upgrades(stream, service).await.ok();
        });
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match std::env::args().nth(1) {
        Some(backend) => serve(&backend).await,
        None => show().await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(backend: &str) -> Result<(), BoxError> {
    let backend =
        backend.parse().map_err(|_| format!("{backend} is no address like 127.0.0.1:80"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{} leads to http://{backend}", listener.local_addr()?);
    gateway(listener, backend).await
}

async fn show() -> Result<(), BoxError> {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let backend = TcpListener::bind("127.0.0.1:0").await?;
        let front = TcpListener::bind("127.0.0.1:0").await?;
        let (to, at) = (backend.local_addr()?, front.local_addr()?);
        let losing = tokio::spawn(lose_second_requests(backend));
        let proxying = tokio::spawn(gateway(front, to));
        println!("{version:?}");
        println!("  first request          {}", told(at, version, "GET").await?);
        println!("  GET that was lost      {}", told(at, version, "GET").await?);
        println!("  POST that was lost     {}", told(at, version, "POST").await?);
        losing.abort();
        losing.await.ok();
        println!("  backend is down        {}", told(at, version, "GET").await?);
        proxying.abort();
    }
    Ok(())
}

/// Answers the first request of each connection and closes it upon the second.
async fn lose_second_requests(listener: TcpListener) -> Result<(), BoxError> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut head = [0; 1024];
        if stream.read(&mut head).await? > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            let lost = stream.read(&mut head).await?;
            println!("  (the backend loses {lost} bytes)");
        }
    }
}

/// What a client is told that has no pool and sends nothing again.
async fn told(at: SocketAddr, version: Version, method: &str) -> Result<String, BoxError> {
    let stream = TokioIo::new(TcpStream::connect(at).await?);
    // What ends TLS before the gateway passes the scheme on, which HTTP/1 does not tell.
    let scheme = if version == Version::HTTP_2 { "https" } else { "http" };
    let uri = format!("{scheme}://{at}/");
    let request = Request::builder().method(method).uri(uri).header("host", "h");
    let request = request.body(Full::<Bytes>::default())?;
    let response = if version == Version::HTTP_2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    Ok(match response {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            format!("{} {}", head.status, String::from_utf8_lossy(&body))
        }
        Err(error) => match error.source() {
            Some(reason) => format!("no answer: {reason}"),
            None => format!("no answer: {error}"),
        },
    })
}
