//! A real DNS server on the loopback, asked by the resolver in Rust.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use http::Version;
use pool_core::Pool;
use pool_tcp::{HickoryResolver, Name, NamesConnector, Resolve};
use pooled_fetch_tests::{HyperServer, Whole, get, tcp_endpoint};

use crate::catalogue::Backing;
use crate::proxies::start;

/// A resolver that asks this server and no other.
fn asks(server: SocketAddr) -> HickoryResolver {
    let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    HickoryResolver::new(builder.build().expect("a resolver"))
}

#[tokio::test]
async fn names_are_resolved_by_a_dns_server_with_the_time_that_it_gives() {
    let backing = Backing::new(Vec::new());
    let started = start("dnsmasq", &backing, |_, address| {
        let port = format!("--port={}", address.port());
        let fixed = [
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--listen-address=127.0.0.1",
            "--host-record=both.test,127.0.0.1,::1,40",
            &port,
        ];
        fixed.map(str::to_owned).to_vec()
    });
    let Some((_dns, address)) = started.await else { return };
    let resolver = asks(address);
    let answer = resolver.resolve("both.test", 80).await.expect("an answer");
    assert_eq!(answer.addresses.len(), 2, "{answer:?}");
    let good_for = answer.good_for.expect("a time");
    assert!(
        (Duration::from_secs(20)..=Duration::from_secs(40)).contains(&good_for),
        "{good_for:?}"
    );

    // The site is on one of the two addresses alone.
    let site = tcp_endpoint().await;
    assert_eq!(site.address.ip(), Ipv4Addr::LOCALHOST);
    let _server = HyperServer::start(site.acceptor, Version::HTTP_11, 100);
    let pool = Pool::new(NamesConnector::new(resolver));
    let name = Name::new("both.test", site.address.port()).expect("a name");
    for _ in 0..2 {
        let response = pool.http(&name, get("/bytes/5")).await.expect("a response");
        assert_eq!(Whole::read(response).await.expect("a body").body.len(), 5);
    }
    assert_eq!((pool.stats().opened, pool.stats().reused), (1, 1));
    let nobody = Name::new("nobody.test", site.address.port()).expect("a name");
    let error = pool.http(&nobody, get("/")).await.expect_err("no such name").to_string();
    assert!(error.contains("resolving nobody.test"), "{error}");
}
