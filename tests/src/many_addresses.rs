//! Several servers behind one connector, over any backend: for what addresses share.

use std::io;
use std::marker::PhantomData;

use pool_core::{Builder, Connected, Connector, Pool, Target, async_trait};

use crate::{Backend, Caller, Endpoint, Probe, Server};

/// Servers of the backend `B` whose addresses are their numbers, from zero.
#[derive(Debug)]
pub struct ManyAddresses<B>(PhantomData<B>);

impl<B: Backend> Backend for ManyAddresses<B> {
    type Connector = ManyAddressesConnector<B::Connector>;

    async fn start() -> Endpoint<Self::Connector> {
        let Endpoint { connector, address, acceptor } = B::start().await;
        let connector = ManyAddressesConnector { servers: vec![(connector, address)] };
        Endpoint { connector, address: 0, acceptor }
    }
}

/// Opens streams to servers by their number.
#[derive(Debug)]
pub struct ManyAddressesConnector<C: Connector> {
    servers: Vec<(C, C::Address)>,
}

#[async_trait]
impl<C: Connector> Connector for ManyAddressesConnector<C> {
    type Address = usize;
    type Stream = C::Stream;

    async fn connect(&self, number: &usize) -> io::Result<Connected<C::Stream>> {
        let (connector, address) = &self.servers[*number];
        connector.connect(address).await
    }

    fn target(&self, number: &usize) -> Target {
        let (connector, address) = &self.servers[*number];
        connector.target(address)
    }
}

/// So many servers, and for each of them a caller; the callers share one pool.
pub async fn start_many_addresses<B: Backend>(
    count: usize,
    settings: impl FnOnce(
        Builder<Probe<ManyAddressesConnector<B::Connector>>>,
    ) -> Builder<Probe<ManyAddressesConnector<B::Connector>>>,
) -> (Vec<Caller<ManyAddresses<B>>>, Vec<Server>) {
    let (mut addresses, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let Endpoint { connector, address, acceptor } = B::start().await;
        addresses.push((connector, address));
        servers.push(Server::new(acceptor));
    }
    let (connector, watch) = Probe::new(ManyAddressesConnector { servers: addresses });
    let pool = settings(Pool::builder(connector)).build().expect("settings that make sense");
    let caller = |address| Caller { pool: pool.clone(), address, watch: watch.clone() };
    ((0..count).map(caller).collect(), servers)
}
