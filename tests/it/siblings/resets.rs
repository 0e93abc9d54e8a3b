//! What the kernel itself says of a connection that was reset arrives, below TLS too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{Connector, Pool, Reason};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Authority, Duplex, Valid, Whole, answer, bounded, eventually, get, settle,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "site.test";

async fn read_request(stream: &mut impl Duplex) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(String::from_utf8(head).expect("a head of text"))
}

/// Answers each request but those to `/last`, and closes then.
async fn serve(mut stream: impl Duplex) {
    while let Some(request) = read_request(&mut stream).await
        && !request.contains("/last")
    {
        stream.write_all(&answer("served")).await.expect("a client that listens");
    }
}

/// Whether the server resets its connections, or closes them in order.
async fn only_a_reset_closes_siblings<C: Connector>(
    connector: C,
    address: C::Address,
    reset: bool,
) {
    let pool = Pool::new(connector);
    let idle = 5;
    let mut leases = Vec::new();
    for _ in 0..idle {
        leases.push(pool.lease(&address).await.expect("a connection"));
    }
    for lease in leases {
        Whole::read(lease.http(get("/")).await.expect("a response")).await.expect("a body");
    }
    assert_eq!(pool.stats().idle, idle);
    let before = pool.stats().closed(Reason::SiblingFailed);
    // Sent again over a fresh connection, which closes as well.
    pool.http(&address, get("/last")).await.expect_err("no answer");
    let closed = || pool.stats().closed(Reason::SiblingFailed) - before;
    if reset {
        eventually("the others close", || pool.stats().idle == 0).await;
        assert_eq!(closed(), idle as u64 - 1);
    } else {
        settle().await;
        assert_eq!((closed(), pool.stats().idle), (0, idle - 1));
    }
}

/// Serves what comes over TCP, until `client` has done.
async fn until<C, S>(
    client: impl Future<Output = ()>,
    listener: TcpListener,
    reset: bool,
    connection: C,
) where
    C: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let serving = async {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            if reset {
                // What is closed is reset.
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
            }
            connections.spawn(connection(stream));
        }
    };
    tokio::select! {
        () = serving => {}
        () = client => {}
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

#[tokio::test]
async fn a_reset_closes_its_siblings_and_an_end_in_order_none() {
    bounded(async {
        for reset in [true, false] {
            let (listener, address) = listen().await;
            let client = only_a_reset_closes_siblings(TcpConnector::new(), address, reset);
            until(client, listener, reset, serve).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reset_closes_its_siblings_and_an_end_in_order_none_over_tls() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.issue(&[NAME], Valid::Now).server(&["http/1.1"], None);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        for reset in [true, false] {
            let (listener, address) = listen().await;
            let connector = TlsConnector::builder(TcpConnector::new()).roots(authority.roots());
            let connector = connector.build().expect("a provider that can be used");
            let name = ServerName::try_from(NAME).expect("a valid name");
            let address = TlsAddress::new(address, name);
            let client = only_a_reset_closes_siblings(connector, address, reset);
            let handshake = |stream| {
                let handshake = acceptor.accept(stream);
                async move { serve(handshake.await.expect("a handshake")).await }
            };
            until(client, listener, reset, handshake).await;
        }
    })
    .await;
}
