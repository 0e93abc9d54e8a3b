//! Addresses with tags share no connection across them, and connectors can be chosen at run time.

use std::sync::Arc;

use pool_core::{Connector, Partitioned, Pool, Tagged};
use pooled_fetch_tests::{Backend, EchoServer, Server, Whole, answer, bounded, get, tcp_endpoint};

#[tokio::test]
async fn requests_share_a_connection_only_within_their_partition() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let service = EchoServer::start(Server::new(endpoint.acceptor), |_| answer("served"));
        let pool = Pool::builder(Partitioned::new(endpoint.connector))
            .max_connections_per_address(1)
            .build()
            .expect("settings that make sense");
        for _ in 0..3 {
            for tenant in ["one", "two"] {
                let address = Tagged::new(endpoint.address, tenant);
                let response = pool.http(&address, get("/")).await.expect("a response");
                Whole::read(response).await.expect("a body");
            }
        }
        let connections: Vec<_> = service.served().iter().map(|(number, _)| *number).collect();
        assert_eq!(connections, [1, 2, 1, 2, 1, 2]);
        let address = Tagged::new(std::net::SocketAddr::from(([127, 0, 0, 1], 1)), "one");
        let error = pool.http(&address, get("/")).await.expect_err("nothing listens");
        assert!(error.to_string().contains("127.0.0.1:1 of \"one\""), "{error}");
    })
    .await;
}

/// Which methods of an inner connector a wrapper reaches.
#[tokio::test]
async fn a_connector_in_a_box_or_shared_is_the_same_connector() {
    bounded(async {
        let mut connections = 0;
        for boxes in 0..3 {
            let endpoint = Backend::TlsOfBoth.start().await;
            let address = endpoint.address.clone();
            let target = endpoint.connector.target(&address);
            let connector: Box<dyn Connector<Address = _, Stream = _>> = match boxes {
                0 => Box::new(endpoint.connector),
                1 => Box::new(Arc::new(endpoint.connector)),
                _ => Box::new(Arc::new(Box::new(endpoint.connector))),
            };
            assert_eq!(connector.target(&address), target);
            let mut server = pooled_fetch_tests::Http2Server::start(endpoint.acceptor, 100);
            let pool = Pool::new(connector);
            let (response, ()) = tokio::join!(pool.http(&address, get("/")), async {
                server.next().await.answer("over HTTP/2");
            });
            assert_eq!(response.expect("a response").version(), http::Version::HTTP_2);
            connections += pool.stats().opened;
        }
        assert_eq!(connections, 3);
    })
    .await;
}

#[tokio::test]
async fn requests_over_a_connector_in_a_box_can_be_spawned() {
    bounded(async {
        let endpoint = tcp_endpoint().await;
        let _service = EchoServer::start(Server::new(endpoint.acceptor), |_| answer("served"));
        let connector: Box<
            dyn Connector<Address = std::net::SocketAddr, Stream = pool_tcp::TcpStream>,
        > = Box::new(endpoint.connector);
        let (pool, address) = (Pool::new(connector), endpoint.address);
        let client = tokio::spawn(async move {
            let response = pool.http(&address, get("/")).await.expect("a response");
            Whole::read(response).await.expect("a body").body
        });
        assert_eq!(client.await.expect("no panic"), "served");
    })
    .await;
}
