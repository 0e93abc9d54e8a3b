//! The PROXY protocol: the header comes first, once for each connection, and keeps the clients apart.

use std::net::SocketAddr;

use pool_core::Pool;
use pool_tcp::{ProxyProtocolAddress, ProxyProtocolConnector, ProxyProtocolVersion};
use pooled_fetch_tests::{Whole, answer, bounded, get, memory_endpoint};

use super::{read, read_head, write};

#[tokio::test]
async fn the_header_comes_once_before_all_requests_of_its_client_and_of_no_other() {
    bounded(async {
        let endpoint = memory_endpoint();
        let mut acceptor = endpoint.acceptor;
        let pool = Pool::new(ProxyProtocolConnector::new(endpoint.connector));
        let server: SocketAddr = "192.0.2.1:80".parse().expect("an address");
        let mut opened = Vec::new();
        for (client, version, header) in [
            (1, ProxyProtocolVersion::V1, "PROXY TCP4 198.51.100.1 192.0.2.1 5000 80\r\n".len()),
            (2, ProxyProtocolVersion::V1, "PROXY TCP4 198.51.100.2 192.0.2.1 5000 80\r\n".len()),
            (1, ProxyProtocolVersion::V2, 28),
        ] {
            let client = SocketAddr::from(([198, 51, 100, client], 5000));
            let address = ProxyProtocolAddress::new(endpoint.address, version, client, server);
            let server = async {
                let mut stream = acceptor.accept().await.expect("a client");
                let header = read(&mut stream, header).await;
                for _ in 0..2 {
                    let head = read_head(&mut stream).await;
                    assert_eq!(head, "GET / HTTP/1.1\r\nhost: memory.test\r\n\r\n");
                    write(&mut stream, answer("")).await;
                }
                opened.push(stream);
                header
            };
            let client_side = async {
                for _ in 0..2 {
                    let response = pool.http(&address, get("/")).await.expect("a response");
                    Whole::read(response).await.expect("a body");
                }
            };
            let (header, ()) = tokio::join!(server, client_side);
            match version {
                ProxyProtocolVersion::V1 => {
                    let line = format!("PROXY TCP4 {} 192.0.2.1 5000 80\r\n", client.ip());
                    assert_eq!(header, line.as_bytes());
                }
                ProxyProtocolVersion::V2 => {
                    assert!(header.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"));
                }
            }
        }
        assert_eq!((pool.stats().opened, pool.stats().idle), (3, 3));
    })
    .await;
}
