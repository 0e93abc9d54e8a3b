//! A connector of one's own, around any other, that says which connections are opened: `cargo run --example custom_connector`.

use std::{error::Error, io, time::Instant};

use http::{Request, Response};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use pooled_fetch::pool_core::{Resolving, async_trait};
use pooled_fetch::{ConnectOptions, Connected, Connector, FullBytes, Pool, Target, TcpConnector};

struct Told<C>(C);

#[async_trait]
impl<C: Connector> Connector for Told<C> {
    type Address = C::Address;
    type Stream = C::Stream;

    async fn connect(
        &self,
        address: &C::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<C::Stream>> {
        let begun = Instant::now();
        let connected = self.0.connect(address, options).await;
        let how = if connected.is_ok() { "opened" } else { "not opened" };
        println!("{how} in {:?}: {address:?}", begun.elapsed());
        connected
    }

    fn target(&self, address: &C::Address) -> Target {
        self.0.target(address)
    }

    // Optional: without it the inner connector resolves names, and tries one address after the other.
    fn resolve<'a>(&'a self, address: &'a C::Address) -> Option<Resolving<'a>> {
        self.0.resolve(address)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let hello = service_fn(async |_| Ok::<_, hyper::Error>(Response::new(String::new())));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), hello));
        }
    });
    let pool = Pool::new(Told(TcpConnector::new()));
    for _ in 0..3 {
        let request = Request::get("/").body(FullBytes::default())?;
        println!("{}", pool.http(&address, request).await?.status());
    }
    assert_eq!(pool.stats().opened, 1, "the connection is reused");
    Ok(())
}
