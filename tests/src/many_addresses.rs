//! Many servers behind one connector, over any backend: for what addresses share.

use std::io;

use pool_core::{ConnectOptions, Connected, Connector, Pool, Target, async_trait};

use crate::{Address, AnyConnector, AnyStream, Backend, Caller, Endpoint, Probe, Server, Settings};

/// So many servers, whose addresses are their numbers from zero, and for each of them a caller; the callers share one
/// pool.
pub async fn start_many_addresses(
    backend: Backend,
    count: usize,
    settings: impl FnOnce(Settings) -> Settings,
) -> (Vec<Caller>, Vec<Server>) {
    let (connector, servers) = start_servers(backend, count).await;
    let (connector, watch) = Probe::new(connector);
    let pool = settings(Pool::builder(connector)).build().expect("settings that make sense");
    let caller =
        |number| Caller { pool: pool.clone(), address: Address::new(number), watch: watch.clone() };
    ((0..count).map(caller).collect(), servers)
}

async fn start_servers(backend: Backend, count: usize) -> (AnyConnector, Vec<Server>) {
    let (mut addresses, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let Endpoint { connector, address, acceptor } = backend.start().await;
        addresses.push((connector, address));
        servers.push(Server::new(acceptor));
    }
    (AnyConnector::new(Many(addresses)), servers)
}

/// Opens streams to many servers by their number.
struct Many(Vec<(AnyConnector, Address)>);

#[async_trait]
impl Connector for Many {
    type Address = usize;
    type Stream = AnyStream;

    async fn connect(
        &self,
        number: &usize,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        let (connector, address) = &self.0[*number];
        connector.connect(address, options).await
    }

    fn target(&self, number: &usize) -> Target {
        let (connector, address) = &self.0[*number];
        connector.target(address)
    }
}
