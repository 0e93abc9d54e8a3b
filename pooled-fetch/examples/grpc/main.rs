//! Asks a gRPC server for its health, once and then as it changes, by a client of tonic over the pool.
//!
//! `cargo run --features tonic --example grpc` asks a server of its own; `-- 127.0.0.1:50051 my.Service` one that already
//! runs.

mod health;
pub(crate) mod serve;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::Duration;

use pooled_fetch::{Error, GrpcChannel, Http2, Pool, TcpConnector};
use tonic::Status;

use self::health::HealthClient;

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let address = match arguments.next() {
        Some(text) => text.parse()?,
        None => serve::serve().await?,
    };
    for line in report(address, &arguments.next().unwrap_or_default()).await? {
        println!("{line}");
    }
    Ok(())
}

/// What is to be told of a server.
pub(crate) async fn report(
    address: SocketAddr,
    service: &str,
) -> Result<Vec<String>, Box<dyn StdError + Send + Sync>> {
    let pool = Pool::builder(TcpConnector::new())
        // In the clear nothing is negotiated.
        .http2(Http2::Assumed)
        .total_timeout(Duration::from_secs(60))
        .build()?;
    let mut client = HealthClient::new(GrpcChannel::new(pool.to(address)));
    let mut lines = vec![format!("it is {:?}", client.check(service).await.map_err(explain)?)];
    let mut changes = client.watch(service).await?;
    while let Some(health) = changes.message().await? {
        lines.push(format!("now it is {health:?}"));
    }
    lines.push(format!("connections opened: {}", pool.stats().opened));
    Ok(lines)
}

/// Whether it is safe to try again is in the evidence, and not in the code.
fn explain(status: Status) -> String {
    let error = StdError::source(&status).and_then(|source| source.downcast_ref::<Error>());
    let again = error.is_some_and(|error| error.evidence().is_unprocessed());
    format!(
        "{:?}: {}{}",
        status.code(),
        status.message(),
        if again { ", not processed" } else { "" }
    )
}
