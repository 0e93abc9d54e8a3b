//! A connection that its caller holds for several requests, one after the other.
//!
//! ```text
//!   Here ─► lease ─► Away … its request ends, and the connection comes home ─► Here …
//!                     └─ it closes
//! ```
//!
//! An HTTP/1 connection knows its holder while it is away, and comes home to that instead of the lane. A shared connection
//! stays with the lane; each request opens a stream there.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::lane::Lane;
use super::lease::{ConnectionLease, Lease, StreamLease, Unused};
use crate::conn::{http1, http2};
use crate::report::{ConnectionInfo, Error, Reason};

pub(crate) struct Held {
    lane: Arc<Lane>,
    connection: ConnectionInfo,
    place: Place,
}

enum Place {
    Here(ConnectionLease),
    Away(http1::Home),
    Shared(Arc<http2::Connection>),
    /// It has closed.
    Gone,
}

impl Held {
    pub(crate) fn new(unused: Unused) -> Self {
        let (lane, connection) = (Arc::clone(unused.lane()), unused.connection().clone());
        let place = match unused.use_now() {
            Lease::Connection(lease) => Place::Here(lease),
            Lease::Stream(stream) => Place::Shared(Arc::clone(&stream.connection)),
        };
        Self { lane, connection, place }
    }

    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// What is known of the connection; the use number counts the requests before this was made.
    pub(crate) fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }

    /// A lease for the next request, which comes home when that has ended. Waits until the one before has.
    ///
    /// # Errors
    ///
    /// When the connection has closed, or takes no further request.
    pub(crate) async fn lease(&mut self) -> Result<Lease, Error> {
        self.come_home().await?;
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Here(mut lease) => {
                if let Some(error) = self.lane.refusal().filter(|_| !lease.connection.is_detached())
                {
                    lease.discard(self.lane.closed_for().unwrap_or(Reason::PoolClosed));
                    return Err(error);
                }
                lease.connection.leave_holder(Instant::now());
                self.place = Place::Away(lease.connection.go_away());
                Ok(Lease::Connection(lease))
            }
            Place::Shared(connection) => {
                let stream = self.lane.stream_of(&connection);
                self.place = Place::Shared(connection);
                Ok(Lease::Stream(Box::new(stream.ok_or_else(|| self.gone())?)))
            }
            Place::Away(_) | Place::Gone => Err(self.gone()),
        }
    }

    /// The connection counts no more. It closes with this.
    ///
    /// # Errors
    ///
    /// When the connection has closed, or is shared.
    pub(crate) async fn detach(&mut self) -> Result<(), Error> {
        self.come_home().await?;
        match &mut self.place {
            Place::Here(lease) => {
                lease.connection.detach();
                Ok(())
            }
            Place::Shared(_) => Err(Error::shared(self.lane.name())),
            Place::Away(_) | Place::Gone => Err(self.gone()),
        }
    }

    /// Closes the connection, which may carry a request still, when that has ended; a shared one with its last stream.
    pub(crate) fn close(mut self) {
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Here(lease) => lease.discard(Reason::Cancelled),
            Place::Away(home) => {
                if let Some(connection) = home.end() {
                    connection.discard(Reason::Cancelled);
                }
            }
            Place::Shared(connection) => self.lane.stop_using(&connection, Reason::Cancelled),
            Place::Gone => {}
        }
    }

    async fn come_home(&mut self) -> Result<(), Error> {
        let Place::Away(home) = &mut self.place else { return Ok(()) };
        match (&mut home.comes).await {
            Ok(connection) => {
                self.place = Place::Here(ConnectionLease::new(connection, Arc::clone(&self.lane)));
                Ok(())
            }
            Err(_) => {
                self.place = Place::Gone;
                Err(self.gone())
            }
        }
    }

    fn gone(&self) -> Error {
        Error::connection_gone(self.lane.name())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.place, Place::Gone) {
            Place::Here(lease) => lease.checkin(),
            // It goes to the lane when its request has ended, or has come home already.
            Place::Away(mut home) => {
                home.comes.close();
                if let Ok(connection) = home.comes.try_recv() {
                    ConnectionLease::new(connection, Arc::clone(&self.lane)).checkin();
                }
            }
            Place::Shared(_) | Place::Gone => {}
        }
    }
}

impl Lane {
    /// A stream of this connection and of no other; none if it has no room, or takes no further stream.
    fn stream_of(self: &Arc<Self>, connection: &Arc<http2::Connection>) -> Option<StreamLease> {
        self.take_stream(|other| std::ptr::eq(other, &**connection)).or_else(|| {
            // Sequences are never drawn twice.
            let idle = self.taken_out(self.idle.take(connection.sequence()))?;
            self.use_idle(connection, idle.idle_for(Instant::now()))
        })
    }
}
