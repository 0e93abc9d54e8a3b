//! A small crawler: by name, over HTTPS or in the clear, with redirects, and at most two connections to each host.
//! `cargo run --features tls --example names` asks a server of its own; `-- https://example.com/ http://example.org/` others.

use http::{Request, Response, Uri, header::LOCATION};
use hyper::{server::conn::http1, service::service_fn};
use pooled_fetch::{Endpoint, EndpointConnector, FullBytes, Pool};
use tokio::{net::TcpListener, task::JoinSet};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut uris: Vec<_> = std::env::args().skip(1).collect();
    if uris.is_empty() {
        let port = serve(TcpListener::bind("127.0.0.1:0").await?)?;
        uris = (0..8).map(|number| format!("http://localhost:{port}/moved/{number}")).collect();
    }
    let pool =
        Pool::builder(EndpointConnector::default()).max_connections_per_address(2).build()?;
    let mut pages: JoinSet<_> = uris.into_iter().map(|uri| crawl(pool.clone(), uri)).collect();
    while let Some(page) = pages.join_next().await {
        println!("{}", page??);
    }
    println!("connections opened: {}", pool.stats().opened);
    Ok(())
}

async fn crawl(pool: Pool<EndpointConnector>, uri: String) -> Result<String, BoxError> {
    let mut uri: Uri = uri.parse()?;
    for _ in 0..10 {
        let request = Request::get(&uri).body(FullBytes::default())?;
        let response = pool.http(&Endpoint::of_uri(&uri)?, request).await?;
        if !response.status().is_redirection() {
            return Ok(format!("{} {uri}", response.status()));
        }
        let location = response.headers().get(LOCATION).ok_or("moved to nowhere")?;
        let mut next = location.to_str()?.parse::<Uri>()?.into_parts();
        next.scheme = next.scheme.or(uri.scheme().cloned());
        next.authority = next.authority.or(uri.authority().cloned());
        uri = Uri::from_parts(next)?;
    }
    Err(format!("{uri}: too many redirects").into())
}

fn serve(listener: TcpListener) -> std::io::Result<u16> {
    let port = listener.local_addr()?.port();
    let answer = service_fn(async |request: Request<_>| {
        let to = request.uri().path().strip_prefix("/moved").unwrap_or_default().to_owned();
        let status = if to.is_empty() { 200 } else { 308 };
        Response::builder().status(status).header(LOCATION, to).body(FullBytes::default())
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(http1::Builder::new().serve_connection(stream, answer));
        }
    });
    Ok(port)
}
