//! Connections through proxies: what a proxy is told, what it may answer, and whose connections are kept apart.

mod header;
mod refusals;
mod tunnels;

use pool_tcp::{Proxy, ProxyAddress, ProxyConnector};
use pooled_fetch_tests::{Acceptor, Duplex, MemoryConnector, memory_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Address = ProxyAddress<&'static str>;

/// A proxy in memory, which does what the test says.
struct FakeProxy {
    acceptor: Acceptor,
}

impl FakeProxy {
    fn start() -> (ProxyConnector<MemoryConnector>, Self) {
        let endpoint = memory_endpoint();
        (ProxyConnector::new(endpoint.connector), Self { acceptor: endpoint.acceptor })
    }

    async fn accept(&mut self) -> Box<dyn Duplex> {
        self.acceptor.accept().await.expect("a client that connects")
    }
}

fn through(proxy: Proxy<&'static str>, host: &str, port: u16) -> Address {
    ProxyAddress::new(proxy, host, port).expect("a host")
}

/// Reads so many bytes.
async fn read(stream: &mut Box<dyn Duplex>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.expect("a client that goes on");
    bytes
}

async fn write(stream: &mut Box<dyn Duplex>, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.expect("a client that listens");
}

/// Reads a head in HTTP.
async fn read_head(stream: &mut Box<dyn Duplex>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a client that goes on"));
    }
    String::from_utf8(head).expect("a head of text")
}
