//! Asks a gRPC server for its health, once and then as it changes: `cargo run --example grpc -- 127.0.0.1:50051`.
//!
//! The service is the one that every gRPC implementation brings, `grpc.health.v1.Health`. Its messages are short
//! enough to be written by hand; a real client would have them generated.

mod call;

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::call::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().ok_or("host:port is missing")?.parse()?;
    let service = arguments.next().unwrap_or_default();
    let client = Client::new(address)?;
    let answer = client.unary("/grpc.health.v1.Health/Check", question(&service)).await?;
    println!("it is {}", health(&answer));
    let mut changes = client.streaming("/grpc.health.v1.Health/Watch", question(&service)).await?;
    while let Some(change) = changes.next().await? {
        println!("now it is {}", health(&change));
    }
    println!("{} connection was opened", client.pool().stats().opened);
    Ok(())
}

/// `HealthCheckRequest { service = 1 }`, for names of up to 127 bytes.
fn question(service: &str) -> Bytes {
    let length = u8::try_from(service.len()).unwrap_or(127).min(127);
    let name = &service.as_bytes()[..length.into()];
    if name.is_empty() { Bytes::new() } else { [&[0x0a, length], name].concat().into() }
}

/// `HealthCheckResponse { status = 1 }`.
fn health(answer: &[u8]) -> &'static str {
    match answer {
        [0x08, 1] => "serving",
        [0x08, 2] => "not serving",
        [0x08, 3] => "unknown to the server",
        _ => "in a state that it does not tell",
    }
}
