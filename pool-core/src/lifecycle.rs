//! Addresses come and go: warming up, retiring, draining, closing.
//!
//! A retired address closes what is idle, lets requests that were sent or wait end, and refuses new ones until it is
//! named again. A host remembers that it is retired, so a retired address is not forgotten.

use std::collections::HashSet;

use crate::connector::Connector;
use crate::pool::Pool;
use crate::report::Error;

impl<C: Connector> Pool<C> {
    /// Opens connections to `address` until `count` are idle, those included that are idle already.
    ///
    /// Within the limits: where they do not allow it, it waits as a request would. Where HTTP/2 is spoken one
    /// connection serves many, and is all that is opened.
    ///
    /// # Errors
    ///
    /// That of the first connection that could not be opened; those that could stay open.
    ///
    /// # Cancel safety
    ///
    /// Connections that were opened, or are being opened, stay with the pool.
    pub async fn warm(&self, address: &C::Address, count: usize) -> Result<(), Error> {
        self.hosts().warm(address, count).await
    }

    /// Retires every known address that `keep` refuses, and takes back those it keeps. Gives the addresses
    /// that this call has retired.
    ///
    /// `keep` must not call the pool.
    pub fn retain(&self, keep: impl FnMut(&C::Address) -> bool) -> Vec<C::Address> {
        self.hosts().retain(keep)
    }

    /// As [`retain`](Self::retain) for a list, such as service discovery gives.
    pub fn sync(&self, addresses: impl IntoIterator<Item = C::Address>) -> Vec<C::Address> {
        let addresses: HashSet<_> = addresses.into_iter().collect();
        self.retain(|address| addresses.contains(address))
    }

    /// Retires `address`: closes what is idle, refuses what comes, and resolves when all that was sent before has
    /// ended, and the last connection has closed.
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

    /// Closes the pool: what is idle closes at once, requests that wait fail, those that come fail with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed), and what is lent closes when its response ends.
    pub fn close(&self) {
        self.hosts().close();
    }
}
