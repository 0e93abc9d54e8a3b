//! Clients that see each byte, or each stream.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use pooled_fetch_tests::{Server, tcp_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An upstream that does what the test says, and its address.
pub(crate) async fn upstream() -> (SocketAddr, Server) {
    let endpoint = tcp_endpoint().await;
    (endpoint.address, Server::new(endpoint.acceptor))
}

/// A connection of HTTP/1, byte by byte.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self(TcpStream::connect(to).await.expect("the gateway"))
    }

    pub(crate) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the gateway");
    }

    /// All that has come once it ends with `end`.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let read = self.0.read_buf(&mut all).await.expect("the gateway");
            assert!(read > 0, "ended after {:?}", String::from_utf8_lossy(&all));
        }
        String::from_utf8(all).expect("text")
    }

    /// All that comes until the gateway closes the connection, in whatever way.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut all = Vec::new();
        while matches!(self.0.read_buf(&mut all).await, Ok(read) if read > 0) {}
        String::from_utf8(all).expect("text")
    }
}

/// The answer to one request over a connection that is closed after it.
pub(crate) async fn ask(to: SocketAddr, request: &str) -> String {
    let mut raw = Raw::connect(to).await;
    raw.write(request).await;
    raw.read_to_end().await
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n";
pub(crate) const POST: &str =
    "POST / HTTP/1.1\r\nhost: example.org\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";

/// A connection of HTTP/2 in the clear.
pub(crate) async fn http2(to: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(to).await.expect("the gateway");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// A request of HTTP/2.
pub(crate) fn of_http2(method: &str, path: &str) -> Request<()> {
    let uri = format!("http://example.org{path}");
    Request::builder().method(method).uri(uri).body(()).expect("a request")
}
