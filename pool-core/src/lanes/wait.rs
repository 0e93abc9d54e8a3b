//! What a lane does for requests that wait: gives them a place in the queue, and what their dials have opened.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::lane::{Answer, Lane};
use super::lease::Lease;
use super::wait_queue::Ticket;
use super::wants::{Pace, Wants};
use crate::conn::{http1, http2};
use crate::policy::Turn;
use crate::report::{Error, Reason};

/// A place in the queue of a lane.
///
/// Cancel safety: a place that is dropped leaves the queue; a lease that it had just been given goes to the next
/// waiter, or its connection becomes idle.
pub(super) struct Place {
    lane: Arc<Lane>,
    ticket: Ticket<Answer>,
}

impl Place {
    /// Joins the queue, at its end unless it has a number. None if the watcher of the lane has gone; it stays while a request
    /// waits.
    fn join(lane: &Arc<Lane>, wants: Wants, now: Instant, number: Option<u64>) -> Option<Self> {
        if !lane.runtime().stay() {
            return None;
        }
        Some(Self { ticket: lane.queue.join(wants, now, number), lane: Arc::clone(lane) })
    }

    /// Waits for a lease, as long as the checkout timeout allows.
    pub(super) async fn lease(mut self, since: Instant) -> Result<Lease, Error> {
        let limit = self.lane.settings().checkout_timeout;
        let ticket = &mut self.ticket;
        let answer = poll_fn(|cx| ticket.poll(cx));
        let answer = match limit.and_then(|limit| Some((limit, since.checked_add(limit)?))) {
            None => answer.await,
            Some((limit, end)) => match timeout_at(end, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(Error::checkout_timeout(self.lane.name(), limit)),
            },
        };
        let mut lease = answer.unwrap_or_else(|| Err(Error::closed(self.lane.name())))?;
        lease.note_queue_time(since.elapsed());
        Ok(lease)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.lane.queue.leave(&self.ticket) {
            self.lane.left_dials_behind();
            // The limit queue may have kept its turn for this request, and a dial that was left behind gives way.
            self.lane.host().offer_room();
        } else if let Some(Ok(lease)) = self.ticket.close() {
            lease.give_back();
        }
        // Another may have its turn.
        self.lane.host().changes().tell();
        // A drain of the address may have waited for this request too.
        self.lane.host().notify_if_vacated();
        self.lane.runtime().leave();
    }
}

/// Why there is no place in the queue.
#[derive(Debug)]
pub(super) enum Refused {
    /// The limit on waiting requests is reached.
    QueueFull,
    /// The address could not be reached, and is tried again after so long.
    BackingOff(Duration),
    /// The watcher of the lane has gone.
    WatcherGone,
}

impl Lane {
    /// Joins the queue, and starts a dial if more requests wait than dials are under way. A request whose service has stood
    /// in line has the number of its position, and was counted there.
    pub(super) fn enqueue(
        self: &Arc<Self>,
        now: Instant,
        wants: Wants,
        number: Option<u64>,
    ) -> Result<Place, Refused> {
        if let Some(pause) = self.host().refuses_waiters(now) {
            return Err(Refused::BackingOff(pause));
        }
        let host = self.host();
        if self.dialer().is_name() && !host.has_connections() && !host.peers().are_one() {
            // Which address can be reached may have changed since.
            self.queue.let_first_be_for_all();
        }
        let place = Place::join(self, wants, now, number).ok_or(Refused::WatcherGone)?;
        match wants {
            Wants::Any => self.serve_from_idle(now),
            // Another request may have opened the connection that this one waits for.
            Wants::Newer(_) => self.serve_streams(),
            Wants::Fresh => {}
        }
        let dialled = self.dial(Turn::Own);
        let limit = self.settings().max_waiters_per_address;
        // While the address fails, one dial is for all of them.
        let is_for_all =
            self.pace() == Pace::ForAll && self.host().has_room() && self.pool().has_room();
        let may_be_refused = number.is_none() && !is_for_all && !dialled.gets_room;
        let full = limit.is_some_and(|limit| may_be_refused && self.queue.is_over(limit));
        if full && self.queue.leave(&place.ticket) { Err(Refused::QueueFull) } else { Ok(place) }
    }

    /// Opens a connection that no request waits for, and stores it. What goes wrong is told by events, as of any dial.
    pub(super) fn open_one_more(self: &Arc<Self>) {
        let Ok(place) = self.enqueue(Instant::now(), Wants::Fresh, None) else { return };
        tokio::spawn(async move {
            if let Ok(lease) = place.lease(Instant::now()).await {
                lease.give_back();
            }
        });
    }

    /// A connection was opened that serves one request at a time; the address takes a dial for each.
    pub(super) fn opened_for_one(
        self: &Arc<Self>,
        connection: Box<http1::Connection>,
        now: Instant,
    ) {
        self.queue.set_per_dial(1);
        self.set_shares(false);
        self.checkin_at(connection, now);
    }

    /// A connection was opened that is shared. No request goes over it before its server has said how many streams it
    /// allows, which may cost a round trip; nor does its dial end before it allows one. Until then the requests wait here,
    /// and dial for no other connection.
    ///
    /// # Errors
    ///
    /// When the server allows none within the connect timeout, or the connection ends before it has.
    pub(super) async fn opened_for_many(
        self: &Arc<Self>,
        connection: Arc<http2::Connection>,
    ) -> Result<(), Error> {
        let opening = Opening { lane: self, connection };
        let connection = &opening.connection;
        let allowed = match self.settings().connect_timeout {
            None => connection.allows_streams().await,
            Some(limit) => match timeout(limit, connection.allows_streams()).await {
                Ok(allowed) => allowed,
                Err(_) => {
                    connection.close(Reason::TimedOut);
                    return Err(Error::connect_timeout(self.name(), limit));
                }
            },
        };
        allowed.map_err(|error| Error::connect(self.name(), error))?;
        self.queue.set_per_dial(connection.stream_limit());
        self.set_shares(true);
        // Also where the server takes none any more: what it has not processed goes over the next connection.
        self.lend(self.start_using(connection, Duration::ZERO));
        Ok(())
    }
}

/// A shared connection while its dial waits for the SETTINGS of its server. It does not become idle when its first
/// request ends meanwhile, so it cannot close while waiters still depend on these SETTINGS.
struct Opening<'l> {
    lane: &'l Arc<Lane>,
    connection: Arc<http2::Connection>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.lane.opening_ended(&self.connection);
    }
}
