//! Requests through a proxy that opens tunnels: one connection through it serves all of them.
//!
//! `cargo run --features proxy --example proxy` starts one of its own, which is the server behind it as well;
//! `-- 192.0.2.1:3128 example.org 80` goes through a proxy that already runs.

use std::net::SocketAddr;

use http::Request;
use pooled_fetch::pool_tcp::{Proxy, ProxyAddress, ProxyConnector};
use pooled_fetch::{FullBytes, Pool, TcpConnector};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (proxy, host, port) = match &arguments[..] {
        [proxy, host, port] => (proxy.parse()?, host.as_str(), port.parse()?),
        _ => start().await.map(|address| (address, "localhost", address.port()))?,
    };
    let pool = Pool::new(ProxyConnector::new(TcpConnector::new()));
    let proxy = Proxy::tunnel(proxy).with_credentials("user", "word");
    let address = ProxyAddress::new(proxy, host, port)?;
    for _ in 0..3 {
        let request = Request::get("/").body(FullBytes::default())?;
        println!("{address:?}: {}", pool.http(&address, request).await?.status());
    }
    println!("connections opened: {}", pool.stats().opened);
    Ok(())
}

async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        match String::from_utf8_lossy(&head).strip_prefix("CONNECT ") {
            None => client.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
            Some(asked) => {
                let target = asked.split(' ').next().unwrap_or_default();
                let mut server = TcpStream::connect(target).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                return copy_bidirectional(&mut client, &mut server).await.map(drop);
            }
        }
    }
}
