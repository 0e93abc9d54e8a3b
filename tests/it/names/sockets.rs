//! Names over real sockets, resolved by the system and by a resolver of the test.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::BodyExt;
use pool_core::{Connector, Error, Pool, Resolved, async_trait};
use pool_tcp::{Name, NamesConnector, Resolve};
use pool_tls::{TlsAddress, TlsConnector};
use pooled_fetch_tests::{Backend, EchoServer, Server, answer, bounded, get};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

/// Knows these names, and hangs for others.
#[derive(Debug, Default)]
struct Table(HashMap<&'static str, Vec<IpAddr>>);

#[async_trait]
impl Resolve for Table {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Resolved> {
        match self.0.get(host) {
            Some(numbers) => Ok(Resolved::interleaved(numbers.iter().map(|&ip| (ip, port).into()))),
            None => std::future::pending().await,
        }
    }
}

async fn text<C: Connector>(pool: &Pool<C>, address: &C::Address) -> Result<String, Error> {
    let body = pool.http(address, get("/")).await?.into_body();
    let bytes = body.collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A server on 127.0.0.1 that says which host it was asked for, and its port.
async fn start_echo() -> (EchoServer, u16) {
    let endpoint = Backend::Tcp.start().await;
    let port = endpoint.address.socket().port();
    let host =
        |request: &pooled_fetch_tests::Received| answer(request.header("host").unwrap_or("none"));
    (EchoServer::start(Server::new(endpoint.acceptor), host), port)
}

/// A socket whose backlog is full: the kernel answers no further packet of a connect to it.
fn black_hole(ip: IpAddr, port: u16) -> io::Result<(Socket, Vec<Socket>)> {
    let listener = Socket::new(Domain::for_address((ip, port).into()), Type::STREAM, None)?;
    listener.bind(&SocketAddr::new(ip, port).into())?;
    listener.listen(0)?;
    let address = listener.local_addr()?;
    let fill = || {
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // It is under way, or waits in vain.
        socket.connect(&address).ok();
        Ok(socket)
    };
    let filled = (0..8).map(|_| fill()).collect::<io::Result<_>>()?;
    Ok((listener, filled))
}

#[tokio::test]
async fn localhost_is_this_machine_in_either_family_and_the_host_of_the_request() {
    bounded(async {
        // The server listens on 127.0.0.1 alone, and nothing on ::1.
        let (_server, port) = start_echo().await;
        let pool = Pool::new(NamesConnector::new(Table::default()));
        for host in ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1"] {
            let name = Name::new(host, port).expect("a name");
            let told = text(&pool, &name).await.expect("a response");
            assert_eq!(told, format!("{}:{port}", host.to_lowercase()));
        }
        let system = Pool::new(NamesConnector::default());
        let name = Name::new("localhost", port).expect("a name");
        text(&system, &name).await.expect("a response");
    })
    .await;
}

#[tokio::test]
async fn beside_a_black_hole_the_next_address_is_tried_within_the_delay_and_a_fifth() {
    bounded(async {
        let (_server, port) = start_echo().await;
        let hole = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
        let _hole = black_hole(hole, port).expect("a socket with a full backlog");
        let table = HashMap::from([("holed.test", vec![hole, Ipv4Addr::LOCALHOST.into()])]);
        let pool = Pool::new(NamesConnector::new(Table(table)));
        let name = Name::new("holed.test", port).expect("a name");
        let since = Instant::now();
        text(&pool, &name).await.expect("a response");
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(250), "the hole has swallowed nothing: {took:?}");
        assert_eq!(pool.stats().opened, 1);
        // What was learnt serves the next.
        text(&pool, &name).await.expect("a response");
        assert_eq!(pool.stats().opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_resolver_that_hangs_is_an_error_that_tells_the_name() {
    bounded(async {
        let connector = NamesConnector::new(Table::default());
        let pool = Pool::new(connector.with_timeout(Duration::from_millis(20)));
        let name = Name::new("slow.test", 80).expect("a name");
        let error = text(&pool, &name).await.expect_err("no answer").to_string();
        for part in ["slow.test:80", "resolving slow.test", "20ms"] {
            assert!(error.contains(part), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_known_to_the_system_is_an_error_that_tells_it() {
    bounded(async {
        let pool = Pool::new(NamesConnector::default());
        let name = Name::new("nobody.invalid", 80).expect("a name");
        let error = text(&pool, &name).await.expect_err("no such name").to_string();
        assert!(error.contains("resolving nobody.invalid"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn tls_over_a_name_tries_its_addresses_as_well() {
    bounded(async {
        let endpoint = Backend::Tls.start().await;
        let port = endpoint.address.socket().port();
        let server = Server::new(endpoint.acceptor);
        let _service = EchoServer::start(server, |_| answer("served"));
        let table = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        let table = Table(HashMap::from([("two.test", table)]));
        let tls = pooled_fetch_tests::trusting(NamesConnector::new(table), false);
        let name = Name::new("two.test", port).expect("a name");
        let address =
            TlsAddress::new(name, pooled_fetch_tests::SERVER_NAME.try_into().expect("a name"));
        let pool: Pool<TlsConnector<_>> = Pool::new(tls);
        assert_eq!(text(&pool, &address).await.expect("a response"), "served");
    })
    .await;
}
