//! Real proxies on the loopback: tunnels by CONNECT and SOCKS5, requests in absolute form, and headers of the PROXY protocol.
//!
//! Beside the table of servers, because a proxy serves nothing of its own: behind each stands a site of the tests.

use std::net::SocketAddr;
use std::time::Duration;

use http::Version;
use pool_core::{Connector, Error, ErrorKind, Http2, Pool};
use pool_tcp::{
    Proxy, ProxyAddress, ProxyConnector, ProxyProtocolAddress, ProxyProtocolConnector,
    ProxyProtocolVersion, TcpConnector,
};
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{HyperServer, Whole, get, tcp_endpoint, tls_endpoint};
use tokio::time::timeout;

use crate::catalogue::Backing;
use crate::client::NAME;
use crate::real_server::{Directory, RealServer, find, free_addresses};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the proxies take for the client that they know.
const USER: &str = "somebody";
const PASSWORD: &str = "secret";

/// Where a site over each protocol is, and its servers, which end with it.
struct Sites {
    backing: Backing,
    clear: SocketAddr,
    h2c: SocketAddr,
    tls_http1: SocketAddr,
    tls_http2: SocketAddr,
    _servers: [HyperServer; 4],
}

impl Sites {
    async fn start() -> Self {
        let backing = Backing::new(Vec::new());
        let over_tls =
            |protocols: &[&str]| tls_endpoint(backing.authority.server(&[NAME], protocols));
        let (clear, h2c) = (tcp_endpoint().await, tcp_endpoint().await);
        let (tls_http1, http1) = over_tls(&["http/1.1"]).await;
        let (tls_http2, http2) = over_tls(&["h2"]).await;
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        Self {
            clear: clear.address,
            h2c: h2c.address,
            tls_http1,
            tls_http2,
            _servers: [(clear.acceptor, one), (h2c.acceptor, two), (http1, one), (http2, two)]
                .map(|(acceptor, version)| HyperServer::start(acceptor, version, 100)),
            backing,
        }
    }
}

/// A program of that name that listens, or a word that it is not installed.
pub(crate) async fn start(
    program: &'static str,
    backing: &Backing,
    arguments: impl Fn(&Directory, SocketAddr) -> Vec<String>,
) -> Option<(RealServer, SocketAddr)> {
    if find(program).is_none() {
        println!("{program}: skipped: it is not installed");
        return None;
    }
    let mut why = String::new();
    // Another process may take a free port between our look and the bind.
    for _ in 0..3 {
        let [address] = free_addresses();
        let directory = Directory::new(backing.clone());
        let arguments = arguments(&directory, address);
        let mut proxy = RealServer::new(program, directory);
        match proxy.start(program, &arguments, &[address]).await {
            Ok(()) => return Some((proxy, address)),
            Err(error) => why = error,
        }
    }
    panic!("{why}")
}

fn through(proxy: Proxy<SocketAddr>, target: SocketAddr) -> ProxyAddress<SocketAddr> {
    ProxyAddress::new(proxy, &target.ip().to_string(), target.port()).expect("a host")
}

/// Two requests after one another, the second over the connection of the first where that stays open.
async fn twice<C: Connector>(pool: &Pool<C>, address: &C::Address, version: Version) -> bool {
    let fetch = async || Whole::read(pool.http(address, get("/bytes/100000")).await?).await;
    let fetched = async {
        for _ in 0..2 {
            let whole: Result<Whole, Error> = fetch().await;
            let whole = whole.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((whole.head.version, whole.body.len()), (version, 100_000));
        }
    };
    timeout(PATIENCE, fetched).await.expect("done in time");
    pool.stats().reused > 0
}

/// A site over every protocol, through a tunnel.
async fn through_tunnels(known: &Proxy<SocketAddr>, sites: &Sites) {
    let tunnels = || ProxyConnector::new(TcpConnector::new());
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    let pool = Pool::new(tunnels());
    assert!(twice(&pool, &through(known.clone(), sites.clear), one).await);
    let shared = Pool::builder(tunnels()).http2(Http2::Assumed).build();
    let shared = shared.expect("settings that make sense");
    assert!(twice(&shared, &through(known.clone(), sites.h2c), two).await);
    for (site, version) in [(sites.tls_http1, one), (sites.tls_http2, two)] {
        let roots = sites.backing.authority.roots();
        let pool = Pool::new(TlsConnector::with_roots(tunnels(), roots));
        let name = ServerName::try_from(NAME).expect("a name");
        let address = TlsAddress::new(through(known.clone(), site), name);
        assert!(twice(&pool, &address, version).await);
    }
}

/// Why no connection comes to be, in words.
async fn refused(known: &Proxy<SocketAddr>, target: SocketAddr) -> String {
    let pool = Pool::new(ProxyConnector::new(TcpConnector::new()));
    let asked = timeout(PATIENCE, pool.http(&through(known.clone(), target), get("/"))).await;
    let error = asked.expect("done in time").expect_err("no way");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    let all = format!("{error} {error:?}");
    assert!(!all.contains(PASSWORD) && !all.contains(USER), "{all}");
    error.to_string()
}

fn with_credentials(proxy: Proxy<SocketAddr>) -> Proxy<SocketAddr> {
    proxy.with_credentials(USER, PASSWORD)
}

#[tokio::test]
async fn tinyproxy_opens_tunnels_and_forwards_for_those_it_knows() {
    let sites = Sites::start().await;
    let started = start("tinyproxy", &sites.backing, |directory, address| {
        let configuration = directory.write(
            "tinyproxy.conf",
            &format!(
                "Port {}\nListen 127.0.0.1\nTimeout 30\nMaxClients 50\nBasicAuth {USER} {PASSWORD}",
                address.port()
            ),
        );
        ["-d", "-c", &configuration].map(str::to_owned).to_vec()
    });
    let Some((_proxy, address)) = started.await else { return };
    through_tunnels(&with_credentials(Proxy::tunnel(address)), &sites).await;

    let pool = Pool::new(ProxyConnector::new(TcpConnector::new()));
    let forwarded = through(with_credentials(Proxy::forward(address)), sites.clear);
    // It closes after each response.
    assert!(!twice(&pool, &forwarded, Version::HTTP_11).await);
    let stranger = through(Proxy::forward(address), sites.clear);
    let response = pool.http(&stranger, get("/")).await.expect("a response of the proxy");
    assert!(matches!(response.status().as_u16(), 401 | 407), "{}", response.status());

    let why = refused(&Proxy::tunnel(address), sites.clear).await;
    assert!(why.contains("asking the proxy for a tunnel: it "), "{why}");
    let [nobody] = free_addresses();
    let why = refused(&with_credentials(Proxy::tunnel(address)), nobody).await;
    assert!(why.contains("asking the proxy for a tunnel: it answered 50"), "{why}");
}

#[tokio::test]
async fn microsocks_opens_tunnels_for_those_it_knows() {
    let sites = Sites::start().await;
    let started = start("microsocks", &sites.backing, |_, address| {
        let port = address.port().to_string();
        ["-i", "127.0.0.1", "-p", &port, "-u", USER, "-P", PASSWORD].map(str::to_owned).to_vec()
    });
    let Some((_proxy, address)) = started.await else { return };
    let known = with_credentials(Proxy::socks5(address));
    through_tunnels(&known, &sites).await;

    let pool = Pool::new(ProxyConnector::new(TcpConnector::new()));
    let named = ProxyAddress::new(known.clone(), "localhost", sites.clear.port());
    assert!(twice(&pool, &named.expect("a host"), Version::HTTP_11).await);

    let wrong = Proxy::socks5(address).with_credentials(USER, "guessed");
    let why = refused(&wrong, sites.clear).await;
    assert!(why.contains("shaking hands with the proxy"), "{why}");
    let why = refused(&Proxy::socks5(address), sites.clear).await;
    assert!(why.contains("shaking hands with the proxy"), "{why}");
    let [nobody] = free_addresses();
    let why = refused(&known, nobody).await;
    assert!(why.contains("shaking hands with the proxy"), "{why}");
}

#[tokio::test]
async fn haproxy_believes_the_header_of_each_client() {
    let backing = Backing::new(Vec::new());
    if find("haproxy").is_none() {
        println!("haproxy: skipped: it is not installed");
        return;
    }
    let [clear, tls] = free_addresses();
    let directory = Directory::new(backing.clone());
    let place = directory.path().display().to_string();
    let configuration = directory.write(
        "haproxy.cfg",
        &format!(
            "defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s
        frontend told
            bind {clear} accept-proxy
            bind {tls} accept-proxy ssl crt {place}/both.pem alpn h2,http/1.1
            http-request return status 200 content-type text/plain \
                lf-string \"%[src]:%[src_port] to %[dst]:%[dst_port]\"
        "
        ),
    );
    let mut haproxy = RealServer::new("haproxy", directory);
    let arguments = ["-W", "-f", &configuration].map(str::to_owned);
    haproxy.start("haproxy", &arguments, &[clear, tls]).await.unwrap_or_else(|why| panic!("{why}"));

    let over_tcp = Pool::new(ProxyProtocolConnector::new(TcpConnector::new()));
    let inner = ProxyProtocolConnector::new(TcpConnector::new());
    let over_tls = Pool::new(TlsConnector::with_roots(inner, backing.authority.roots()));
    let destination: SocketAddr = "192.0.2.1:80".parse().expect("an address");
    for version in [ProxyProtocolVersion::V1, ProxyProtocolVersion::V2] {
        for client in ["198.51.100.1:5000", "198.51.100.2:5000", "[2001:db8::1]:5000"] {
            let source: SocketAddr = client.parse().expect("an address");
            let told = if source.is_ipv4() {
                format!("{client} to {destination}")
            } else {
                // One family for both ends, and haproxy writes addresses without brackets.
                "2001:db8::1:5000 to ::ffff:192.0.2.1:80".to_owned()
            };
            let address = ProxyProtocolAddress::new(clear, version, source, destination);
            for _ in 0..2 {
                let asked = over_tcp.http(&address, get("/")).await.expect("a response");
                assert_eq!(Whole::read(asked).await.expect("a body").body, told);
            }
            let name = ServerName::try_from(NAME).expect("a name");
            let address = ProxyProtocolAddress::new(tls, version, source, destination);
            let address = TlsAddress::new(address, name);
            let asked = over_tls.http(&address, get("/")).await.expect("a response");
            assert_eq!(asked.version(), Version::HTTP_2);
            assert_eq!(Whole::read(asked).await.expect("a body").body, told);
        }
        // Its own word is not that of a client.
        let address = ProxyProtocolAddress::local(clear, version);
        let asked = over_tcp.http(&address, get("/")).await.expect("a response");
        let whole = Whole::read(asked).await.expect("a body");
        assert!(whole.body.starts_with(b"127.0.0.1:"), "{:?}", whole.body);
    }
    let stats = over_tcp.stats();
    assert_eq!((stats.opened, stats.reused), (8, 6));
}
