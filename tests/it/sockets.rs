//! The options of TCP sockets, read back from the kernel, and the ways to a peer, as it sees them.
//!
//! What a machine does not permit is told as not applicable.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};

use pool_core::{ConnectOptions, Connector, Fault, Pool};
use pool_tcp::{Builder, TcpAddress, TcpConnector, TcpStream};
use pooled_fetch_tests::{Whole, answer, bounded, get};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A stream to a listener that accepts nothing, from a connector with these options.
async fn connected(options: Builder, loopback: &str) -> std::io::Result<(TcpListener, TcpStream)> {
    let listener = TcpListener::bind((loopback, 0)).await.expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let connected = options.build().connect(&address, &ConnectOptions::new()).await?;
    Ok((listener, connected.stream))
}

const BOTH: [&str; 2] = ["127.0.0.1", "::1"];

#[tokio::test]
async fn sockets_have_the_options_that_were_asked_for() {
    bounded(async {
        for loopback in BOTH {
            let plain = connected(TcpConnector::builder(), loopback).await.expect("a stream");
            let options = TcpConnector::builder()
                .nodelay(false)
                .send_buffer(20_000)
                .receive_buffer(30_000)
                .traffic_class(46 << 2);
            let set = connected(options, loopback).await.expect("a stream");
            let (plain, set) = (SockRef::from(plain.1.get_ref()), SockRef::from(set.1.get_ref()));
            let nodelay = |socket: &SockRef<'_>| socket.tcp_nodelay().expect("a socket");
            assert_eq!((nodelay(&plain), nodelay(&set)), (true, false));
            // Linux doubles what it is told.
            let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
            assert_eq!(set.send_buffer_size().expect("a socket"), 20_000 * factor);
            assert_eq!(set.recv_buffer_size().expect("a socket"), 30_000 * factor);
            let class = |socket: &SockRef<'_>| {
                if loopback == "::1" { socket.tclass_v6() } else { socket.tos_v4() }
            };
            assert_eq!(class(&plain).expect("a socket"), 0);
            assert_eq!(class(&set).expect("a socket"), 46 << 2);
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interface_and_a_mark_are_set_or_the_error_names_them() {
    bounded(async {
        let through_lo = connected(TcpConnector::builder().interface("lo"), "127.0.0.1").await;
        match through_lo {
            Ok((_listener, stream)) => {
                let device = SockRef::from(stream.get_ref()).device().expect("a socket");
                assert_eq!(device.as_deref(), Some(&b"lo"[..]));
            }
            Err(error) => not_applicable(&error, "this machine refuses the interface \"lo\""),
        }
        match connected(TcpConnector::builder().mark(7), "127.0.0.1").await {
            Ok((_listener, stream)) => {
                assert_eq!(SockRef::from(stream.get_ref()).mark().expect("a socket"), 7);
            }
            Err(error) => not_applicable(&error, "this machine refuses the mark 7"),
        }
    })
    .await;
}

/// An option that takes rights which this process lacks.
#[cfg(target_os = "linux")]
fn not_applicable(error: &std::io::Error, told: &str) {
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
    assert_eq!(error.to_string(), told);
    println!("n/a: {told}, because this process may not set it");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_system_refuses_is_named_and_not_held_against_the_peer() {
    bounded(async {
        let source = TcpConnector::builder().source_v4(Ipv4Addr::new(192, 0, 2, 1));
        let ports = TcpConnector::builder().source_ports(std::ops::RangeInclusive::new(2, 1));
        for (options, told) in [
            (TcpConnector::builder().interface("none0"), "the interface \"none0\": no such device"),
            (
                TcpConnector::builder().interface("a-name-of-16-let"),
                "the interface \"a-name-of-16-let\": a name has 1 to 15 bytes",
            ),
            (TcpConnector::builder().interface(""), "the interface \"\": a name has 1 to 15 bytes"),
            (source, "the source 192.0.2.1: address not available"),
            (ports, "the source ports 2 to 1, none is free: address in use"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("a bound socket has an address");
            let connector = options.build();
            let refused = connector.connect(&address, &ConnectOptions::new()).await;
            assert_eq!(connector.fault(&refused.expect_err("refused")), Fault::Machine, "{told}");
            let pool = Pool::new(connector);
            let error = pool.http(&address, get("/")).await.expect_err("refused");
            let told = format!("connecting to {address}: this machine refuses {told}");
            assert!(error.to_string().to_lowercase().starts_with(&told), "{error}");
        }
    })
    .await;
}

/// A server that says who its client is, over connections that stay open.
async fn mirror(loopback: &str) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind((loopback, 0)).await.expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut connection, peer)) = listener.accept().await {
            connections.spawn(async move {
                let mut head = Vec::new();
                while connection.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let told = answer(peer.to_string());
                        connection.write_all(&told).await.expect("a client that listens");
                    }
                }
            });
        }
    });
    (address, tasks)
}

/// Who the client is for a server that says so.
async fn who<C: Connector>(pool: &Pool<C>, address: &C::Address) -> SocketAddr {
    let response = pool.http(address, get("/")).await.expect("a response");
    let local = response.body().connection().local_address();
    let body = Whole::read(response).await.expect("a body").body;
    let who = std::str::from_utf8(&body).expect("text").parse().expect("an address");
    assert_eq!(local, Some(who));
    who
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_come_from_the_source_of_the_family_of_their_peer() {
    bounded(async {
        let source = Ipv4Addr::new(127, 0, 0, 2);
        let options = TcpConnector::builder().source_v4(source);
        let pool = Pool::new(options.source_v6(std::net::Ipv6Addr::LOCALHOST).build());
        for loopback in BOTH {
            let (address, _server) = mirror(loopback).await;
            let expected = if address.is_ipv4() { source.into() } else { address.ip() };
            assert_eq!(who(&pool, &address).await.ip(), expected);
        }
    })
    .await;
}

/// Two ports side by side that are free on an address of this test alone.
fn two_ports(source: Ipv4Addr) -> std::ops::RangeInclusive<u16> {
    for _ in 0..100 {
        let first = StdListener::bind((source, 0)).expect("a port on the loopback");
        let port = first.local_addr().expect("a bound socket has an address").port();
        if port < u16::MAX && StdListener::bind((source, port + 1)).is_ok() {
            return port..=port + 1;
        }
    }
    panic!("no two ports side by side are free");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ports_of_a_range_are_used_up_for_each_peer_and_then_it_is_an_error() {
    bounded(async {
        let source = Ipv4Addr::new(127, 0, 0, 4);
        let ports = two_ports(source);
        let connector = TcpConnector::builder().source_v4(source).source_ports(ports.clone());
        let pool = Pool::new(connector.build());
        let (one, _server) = mirror("127.0.0.1").await;
        let (other, _other) = mirror("127.0.0.1").await;
        for address in [one, other] {
            let one = pool.lease(&address).await.expect("a connection");
            let two = pool.lease(&address).await.expect("another connection");
            let port = |local: Option<SocketAddr>| local.expect("a socket").port();
            let seen = [&one, &two].map(|lent| port(lent.connection().local_address()));
            assert_eq!(HashSet::from(seen), HashSet::from_iter(ports.clone()));
            drop((one, two));
            let error = pool.warm(&address, 3).await.expect_err("no third port");
            let (from, to) = (ports.start(), ports.end());
            let told = format!("the source ports {from} to {to}, none is free: address");
            assert!(error.to_string().contains(&told), "{error}");
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn addresses_with_ways_of_their_own_share_no_connection() {
    bounded(async {
        let (address, _server) = mirror("127.0.0.1").await;
        let fallback = Ipv4Addr::new(127, 0, 0, 5);
        let pool = Pool::new(TcpConnector::builder().source_v4(fallback).build().routed());
        let plain = TcpAddress::new(address);
        let from = |last| plain.clone().with_source(Ipv4Addr::new(127, 0, 0, last).into());
        for _ in 0..2 {
            for (way, expected) in [(&plain, 5), (&from(2), 2), (&from(3), 3)] {
                let source = Ipv4Addr::new(127, 0, 0, expected);
                assert_eq!(who(&pool, way).await.ip(), source);
            }
        }
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.reused), (3, 3));
        let wrong = plain.with_source(std::net::Ipv6Addr::LOCALHOST.into());
        let error = pool.http(&wrong, get("/")).await.expect_err("the other family");
        let told = format!("connecting to {address} from ::1: this machine refuses the source ::1");
        assert!(error.to_string().starts_with(&told), "{error}");
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_is_fetched_from_with_fast_open() {
    bounded(async {
        let (address, _server) = mirror("127.0.0.1").await;
        for _ in 0..2 {
            // The first connection asks for the cookie that the second may use.
            let pool = Pool::new(TcpConnector::builder().fast_open(true).build());
            who(&pool, &address).await;
            who(&pool, &address).await;
            assert_eq!(pool.stats().opened, 1);
        }
    })
    .await;
}
