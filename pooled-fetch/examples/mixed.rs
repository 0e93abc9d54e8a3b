//! One pool for servers of every kind: by number, by name, over TLS, behind a Unix socket; one limit holds for all.
//! `cargo run --features tls --example mixed` asks two servers of its own; `-- https://example.com/` others beside them.

use std::{env, error::Error, time::Duration};

use http::{Request, Response};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pooled_fetch::{Endpoint, EndpointConnector, FullBytes, Pool};
use tokio::io::{AsyncRead, AsyncWrite};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let number = tcp.local_addr()?;
    let name = format!("http://localhost:{}", number.port());
    let mut servers = vec![Endpoint::from(number), Endpoint::of_uri(&name.parse()?)?];
    tokio::spawn(async move {
        while let Ok((stream, _)) = tcp.accept().await {
            serve(stream);
        }
    });
    #[cfg(unix)]
    {
        let path = env::temp_dir().join(format!("mixed-{}.sock", std::process::id()));
        let unix = tokio::net::UnixListener::bind(&path)?;
        servers.push(Endpoint::unix(&*path));
        tokio::spawn(async move {
            let accepted = unix.accept().await;
            std::fs::remove_file(path)?;
            accepted.map(|(stream, _)| serve(stream))
        });
    }
    for uri in env::args().skip(1) {
        servers.push(Endpoint::of_uri(&uri.parse()?)?);
    }

    let patience = Duration::from_secs(10);
    let pool = Pool::builder(EndpointConnector::default())
        .max_connections(2)
        .settings_by_address(move |address, settings| match address.is_secure() {
            true => settings.response_timeout(patience),
            false => settings,
        })
        .build()?;
    for server in &servers {
        let request = Request::get("/").body(FullBytes::default())?;
        println!("{server:?}: {}", pool.http(server, request).await?.status());
    }
    let stats = pool.stats();
    assert!(stats.idle + stats.leased <= 2, "one limit for all: {stats:?}");
    Ok(())
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let hello = service_fn(async |_| Ok::<_, hyper::Error>(Response::new(String::new())));
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), hello));
}
