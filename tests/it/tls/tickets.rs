//! Sessions are resumed with a ticket of the very server that is spoken to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{Pool, Stats};
use pool_tcp::TcpConnector;
use pool_tls::{Identity, ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    Acceptor, Authority, Connection, Endpoint, Handshakes, MemoryConnector, Server, Valid, Whole,
    answer, bounded, counting_tls_endpoint, get, memory_endpoint, settle,
};
use rustls::crypto::ring;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::advance;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "site.test";

/// So many machines stand behind one name, each with a key for its tickets of its own.
const BACKENDS: usize = 50;

fn name() -> ServerName<'static> {
    ServerName::try_from(NAME).expect("a valid name")
}

fn with_own_ticket_key(authority: &Authority) -> ServerConfig {
    let mut config = authority.issue(&[NAME], Valid::Now).server(&["http/1.1"], None);
    config.ticketer = ring::Ticketer::new().expect("a key");
    config
}

struct Machine {
    peer: TlsAddress<SocketAddr>,
    server: Server,
    handshakes: Handshakes,
}

async fn machines(authority: &Authority) -> Vec<Machine> {
    let mut machines = Vec::new();
    for _ in 0..BACKENDS {
        let config = Arc::new(with_own_ticket_key(authority));
        let (address, acceptor, handshakes) = counting_tls_endpoint(config).await;
        let peer = TlsAddress::new(address, name());
        machines.push(Machine { peer, server: Server::new(acceptor), handshakes });
    }
    machines
}

/// Opens two connections to each machine, first one to each and then the other; the first are kept busy
/// meanwhile. Returns how many sessions were resumed.
async fn resumed(
    connector: TlsConnector<TcpConnector>,
    machines: &mut [Machine],
) -> (usize, Stats) {
    let pool = Pool::new(connector);
    let mut busy = Vec::new();
    for _ in 0..2 {
        for machine in &mut *machines {
            let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
            let (connection, _, response): (Connection, _, _) =
                machine.server.open(pool.http(&machine.peer, get("/")), half).await;
            busy.push((connection, response));
        }
    }
    let full: usize = machines.iter().map(|machine| machine.handshakes.full()).sum();
    let resumed: usize = machines.iter().map(|machine| machine.handshakes.resumed()).sum();
    assert_eq!(full + resumed, 2 * machines.len());
    (resumed, pool.stats())
}

#[tokio::test]
async fn fifty_backends_behind_one_name_are_each_resumed_with_their_own_ticket() {
    bounded(async {
        let authority = Authority::new();
        let connector = TlsConnector::with_roots(TcpConnector::new(), authority.roots());
        let (ours, stats) = resumed(connector, &mut machines(&authority).await).await;
        assert_eq!((ours, stats.opened), (BACKENDS, 2 * BACKENDS as u64));

        // As it is where the store is that of rustls, by name alone.
        let config = Arc::new(authority.client(&["http/1.1"], None));
        let connector = TlsConnector::with_config(TcpConnector::new(), config);
        let (stock, _) = resumed(connector, &mut machines(&authority).await).await;
        println!("of {BACKENDS}: {ours} resumed, {stock} with the store by name");
        assert!(stock < BACKENDS / 10, "{stock} of {BACKENDS}");
    })
    .await;
}

#[tokio::test]
async fn one_store_for_all_addresses_can_be_asked_for() {
    bounded(async {
        let authority = Authority::new();
        let connector = TlsConnector::builder(TcpConnector::new())
            .roots(authority.roots())
            .tickets_by_address(false)
            .build()
            .expect("a provider that can be used");
        let (resumed, _) = resumed(connector, &mut machines(&authority).await).await;
        assert!(resumed < BACKENDS / 10, "{resumed} of {BACKENDS}");
    })
    .await;
}

#[tokio::test]
async fn tickets_by_address_can_be_asked_for_with_a_configuration_of_ones_own_and_an_identity() {
    bounded(async {
        let authority = Authority::new();
        let config = authority.client(&["http/1.1"], None);
        let own = TlsConnector::with_config(TcpConnector::new(), Arc::new(config.clone()));
        let own = own.with_tickets_by_address();
        let (all, _) = resumed(own, &mut machines(&authority).await).await;
        assert_eq!(all, BACKENDS);

        let as_it_is = Identity::new(config);
        let apart = as_it_is.clone().with_tickets_by_address();
        assert_ne!(as_it_is, apart);
        for (identity, least, most) in [(as_it_is, 0, BACKENDS / 10), (apart, BACKENDS, BACKENDS)] {
            let mut machines = machines(&authority).await;
            for machine in &mut machines {
                machine.peer = machine.peer.clone().with_identity(identity.clone());
            }
            let connector = TlsConnector::new(TcpConnector::new());
            let (some, _) = resumed(connector, &mut machines).await;
            assert!((least..=most).contains(&some), "{some} of {BACKENDS}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_crowd_that_opens_at_once_is_resumed_as_far_as_there_are_tickets() {
    const CROWD: usize = 16;
    bounded(async {
        let authority = Authority::new();
        let config = Arc::new(with_own_ticket_key(&authority));
        let (address, acceptor, handshakes) = counting_tls_endpoint(config).await;
        let (peer, mut server) = (TlsAddress::new(address, name()), Server::new(acceptor));
        let connector = TlsConnector::with_roots(TcpConnector::new(), authority.roots());
        let pool = Pool::new(connector);
        let mut busy = Vec::new();
        // Each but the first uses a ticket, and is given two.
        for _ in 0..CROWD {
            let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
            let (connection, _, response): (Connection, _, _) =
                server.open(pool.http(&peer, get("/")), half).await;
            busy.push((connection, response));
        }
        let mut crowd = JoinSet::new();
        for _ in 0..CROWD {
            let (pool, peer) = (pool.clone(), peer.clone());
            crowd.spawn(async move { pool.lease(&peer).await });
        }
        let mut accepted = Vec::new();
        for _ in 0..CROWD {
            accepted.push(server.accept().await);
        }
        let leases = crowd.join_all().await;
        assert!(leases.iter().all(|lease| lease.is_ok()), "{leases:?}");
        assert_eq!((handshakes.full(), handshakes.resumed()), (1, 2 * CROWD - 1));
    })
    .await;
}

/// Serves one request over a new connection, and says how hands were shaken.
async fn serve_once(
    tls: &TlsAcceptor,
    acceptor: &mut Acceptor,
    pool: &Pool<TlsConnector<MemoryConnector>>,
    peer: &TlsAddress<&'static str>,
) -> Option<HandshakeKind> {
    let client = async { Whole::read(pool.http(peer, get("/")).await?).await };
    let server = async {
        let stream = acceptor.accept().await.expect("a client");
        let mut stream = tls.accept(stream).await.expect("a client that trusts us");
        stream.read_u8().await.expect("a request");
        stream.write_all(&answer("once")).await.expect("a client that listens");
        stream.shutdown().await.expect("a client that listens");
        stream.get_ref().1.handshake_kind()
    };
    let (whole, kind) = tokio::join!(client, server);
    whole.expect("a response");
    kind
}

#[tokio::test(start_paused = true)]
async fn tickets_go_when_the_pool_forgets_the_address() {
    bounded(async {
        let authority = Authority::new();
        let Endpoint { connector, address, mut acceptor } = memory_endpoint();
        let tls = TlsAcceptor::from(Arc::new(with_own_ticket_key(&authority)));
        let pool = Pool::new(TlsConnector::with_roots(connector, authority.roots()));
        let peer = TlsAddress::new(address, name());
        assert_eq!(serve_once(&tls, &mut acceptor, &pool, &peer).await, Some(HandshakeKind::Full));
        settle().await;
        // Its only connection has closed, and nothing is forgotten yet.
        assert!(pool.stats_of(&peer).is_some_and(|stats| stats.closed_total() == 1));
        let kind = serve_once(&tls, &mut acceptor, &pool, &peer).await;
        assert_eq!(kind, Some(HandshakeKind::Resumed));
        while pool.stats_of(&peer).is_some() {
            advance(Duration::from_secs(60)).await;
            settle().await;
        }
        assert_eq!(serve_once(&tls, &mut acceptor, &pool, &peer).await, Some(HandshakeKind::Full));
    })
    .await;
}
