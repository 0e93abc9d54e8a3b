//! What only sockets show: both families of addresses.

use pool_core::Pool;
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, answer, bounded, get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_server_behind_an_ipv6_address_is_fetched_from_and_asked_again() {
    bounded(async {
        let listener = TcpListener::bind("[::1]:0").await.expect("a port on the loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = async {
            let (mut connection, peer) = listener.accept().await.expect("a client");
            let mut heads = Vec::new();
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    assert!(connection.read_buf(&mut head).await.expect("a request") > 0);
                }
                connection.write_all(&answer("six")).await.expect("a client that listens");
                heads.push(String::from_utf8(head).expect("a head of text"));
            }
            (peer, heads)
        };
        let pool = Pool::new(TcpConnector::new());
        let client = async {
            let mut ends = Vec::new();
            for _ in 0..2 {
                let response = pool.http(&address, get("/")).await.expect("a response");
                let connection = response.body().connection().clone();
                ends.push((connection.local_address(), connection.peer_address()));
                assert_eq!(Whole::read(response).await.expect("a body").body, "six");
            }
            ends
        };
        let ((peer, heads), ends) = tokio::join!(server, client);
        assert_eq!(ends, [(Some(peer), Some(address)); 2]);
        for head in heads {
            assert!(head.contains(&format!("host: [::1]:{}\r\n", address.port())), "{head}");
        }
    })
    .await;
}
