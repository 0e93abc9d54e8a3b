//! Fetches over a Unix socket: `cargo run --example unix`, from a small server of its own, or, for instance, with
//! `-- /run/docker.sock /version`.

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use http_body_util::BodyExt;
    use pooled_fetch::{FullBytes, Pool, UnixAddress, UnixConnector};

    let own = std::env::temp_dir().join(format!("unix-{}.sock", std::process::id()));
    serve(tokio::net::UnixListener::bind(&own)?);
    let mut arguments = std::env::args().skip(1);
    let socket = arguments.next().map_or(own.clone(), Into::into);
    let path = arguments.next().unwrap_or_else(|| "/".to_owned());

    let pool = Pool::new(UnixConnector::new());
    let address = UnixAddress::new(socket);
    for _ in 0..2 {
        let request = http::Request::get(&*path).body(FullBytes::default())?;
        let response = pool.http(&address, request).await?;
        let (status, reused) = (response.status(), response.body().connection().is_reused());
        let body = response.into_body().collect().await?.to_bytes();
        println!("{status} from {address:?}, {} bytes, reused: {reused}", body.len());
    }
    std::fs::remove_file(own)?;
    Ok(())
}

#[cfg(unix)]
fn serve(listener: tokio::net::UnixListener) {
    use hyper::{Response, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;

    let hello = service_fn(async |_| Ok::<_, hyper::Error>(Response::new("hello".to_owned())));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), hello));
        }
    });
}

#[cfg(not(unix))]
fn main() {
    println!("this system has no Unix sockets");
}
