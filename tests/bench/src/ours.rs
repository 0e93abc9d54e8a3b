//! Our pool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{Connector, Http2, Pool, Stats};
use pool_tcp::TcpConnector;

use crate::client::{Client, Error, Outgoing, Template, length};
use crate::kind::Kind;
use crate::place::Place;
use crate::task::{Protocol, Task, Way};

/// A connector that a task can be measured with.
pub(crate) trait Opens: Connector + Sized {
    fn new(task: &Task, place: &Place) -> Result<(Self, Vec<Self::Address>), Error>;
}

impl Opens for TcpConnector {
    fn new(_: &Task, place: &Place) -> Result<(Self, Vec<SocketAddr>), Error> {
        Ok((Self::new(), place.addresses.clone()))
    }
}

pub(crate) struct Ours<C: Connector, B> {
    pool: Pool<C>,
    addresses: Arc<[C::Address]>,
    path: String,
    template: Template<B>,
}

/// So many are opened at once, or the listener's queue overflows.
const STEP: usize = 500;

/// Soon enough for a bench, and late enough for the heap of idle connections to be read before.
const PARK_AFTER: Duration = Duration::from_secs(3);

impl<C: Opens, B: Outgoing> Client for Ours<C, B> {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        let (connector, addresses) = <C as Opens>::new(task, place)?;
        // With the default of a second, a load would never ask over HTTP/2.
        let mut builder = Pool::builder(connector)
            .probe(task.client == Kind::Ours)
            .http2_probe_after(Duration::ZERO);
        if task.protocol == Protocol::Http2 {
            builder = builder.http2(Http2::Assumed);
        }
        if task.way == Way::Rest {
            builder = builder.park_after(PARK_AFTER);
        }
        let pool = builder.build()?;
        for count in (STEP..task.idle).step_by(STEP).chain([task.idle]) {
            pool.warm(&addresses[0], count).await?;
        }
        let addresses: Arc<[_]> = addresses.into();
        let client = |_| Self {
            pool: pool.clone(),
            addresses: Arc::clone(&addresses),
            path: place.path.clone(),
            template: Template::new(task),
        };
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let request = self.template.request(&*self.path)?;
        let response = self.pool.http(&self.addresses[address], request).await?;
        length(response.into_body()).await
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.pool.stats())
    }
}
