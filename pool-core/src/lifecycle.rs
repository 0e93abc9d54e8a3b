//! Addresses come and go: warming up, retiring, draining, closing; and idle connections with them.
//!
//! At a retired address idle connections close, requests that were sent or wait are served, and new requests are
//! refused until the address is named again. The host remembers that it is retired, so it is not forgotten.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::connector::Connector;
use crate::policy::PoolState;
use crate::pool::Pool;
use crate::report::Error;

impl<C: Connector> Pool<C> {
    /// Opens connections to `address` until `count` are idle, those included that are idle already.
    ///
    /// The limits hold: where they are reached, this waits as a request would. Where HTTP/2 is spoken one connection
    /// serves many, and is all that is opened. A [pause](crate::Backoff::Fail) of the address ends.
    ///
    /// # Errors
    ///
    /// The error of the first connection that could not be opened. The others stay open.
    ///
    /// # Cancel safety
    ///
    /// Connections that were opened stay with the pool, and so does one of those that are being opened.
    pub async fn warm(&self, address: &C::Address, count: usize) -> Result<(), Error> {
        self.hosts().warm(address, count).await
    }

    /// Retires every known address that `keep` refuses, and takes back those it keeps, whose
    /// [pauses](crate::Backoff::Fail) end. Returns the addresses that this call has retired.
    ///
    /// `keep` may ask the pool. An address that comes to be known meanwhile is not asked about.
    pub fn retain(&self, keep: impl FnMut(&C::Address) -> bool) -> Vec<C::Address> {
        self.hosts().retain(keep)
    }

    /// As [`retain`](Self::retain) for a list, such as service discovery gives.
    pub fn sync(&self, addresses: impl IntoIterator<Item = C::Address>) -> Vec<C::Address> {
        let addresses: HashSet<_> = addresses.into_iter().collect();
        self.retain(|address| addresses.contains(address))
    }

    /// Retires `address`: closes idle connections and refuses new requests. Resolves when the requests that came before
    /// have ended and the last connection has closed.
    ///
    /// Until [`retain`](Self::retain) or [`sync`](Self::sync) names it again, requests to the address fail
    /// with [`ErrorKind::Retired`](crate::ErrorKind::Retired).
    ///
    /// # Cancel safety
    ///
    /// The address stays retired.
    pub async fn drain(&self, address: &C::Address) {
        self.hosts().drain(address).await;
    }

    /// Ends the [pause](crate::Backoff::Fail) of an address that fails: the next request dials. False if it does not fail.
    ///
    /// For a health check of the program's own that has seen it come back.
    pub fn end_backoff(&self, address: &C::Address) -> bool {
        self.hosts().end_backoff(address)
    }

    /// Closes the connections that are idle, to whatever address. Nothing is retired: the next request dials.
    pub fn close_idle(&self) {
        self.hosts().close_idle(None);
    }

    /// As [`close_idle`](Self::close_idle), for one address.
    pub fn close_idle_at(&self, address: &C::Address) {
        self.hosts().close_idle(Some(address));
    }

    /// Closes the pool. Idle connections close at once, and lent ones when their responses end. Requests that wait, and
    /// requests that come later, fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    ///
    /// What this returns may be awaited, until the last connection has closed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use pool_core::{Connector, Pool};
    /// # async fn stop(pool: Pool<impl Connector>) {
    /// use std::time::Duration;
    ///
    /// if let Err(left) = pool.close().within(Duration::from_secs(30)).await {
    ///     eprintln!("{left} connections are still lent");
    /// }
    /// # }
    /// ```
    pub fn close(&self) -> Closing {
        self.hosts().close();
        Closing(Arc::clone(self.hosts().pool()))
    }
}

/// A pool that was closed; awaited, it ends when the last connection has closed. From [`Pool::close`].
///
/// # Cancel safety
///
/// Dropping it, or its future, changes nothing.
#[derive(Debug)]
pub struct Closing(Arc<PoolState>);

impl Closing {
    /// Waits for the last connection, but no longer than `time`.
    ///
    /// # Errors
    ///
    /// How many connections are still open then. They close when their responses end.
    pub async fn within(self, time: Duration) -> Result<(), usize> {
        match timeout(time, self.0.emptied()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.0.open()),
        }
    }
}

impl IntoFuture for Closing {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.0.emptied().await })
    }
}
