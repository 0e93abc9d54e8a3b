//! What a lane does for those who wait: dials, within the limits.
//!
//! What must hold: while anybody waits without a dial on its account, either a dial is refused by a limit, or
//! one is started. Whoever was refused looks again after it has stopped counting its dial as under way; whoever
//! makes room counts it first and then looks who is in need. One of the two sees the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::backoff::{Admission, Backoff};
use crate::connection::Connection;
use crate::error::Error;
use crate::host::{Permit, Refusal};
use crate::lane::Lane;
use crate::multiplex::Multiplex;
use crate::queue::{Ticket, Wants};
use crate::stats::Reason;

/// Who stands in the line for the total limit goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The lane comes of its own accord.
    Own,
    /// It was called from the line, or by its host.
    Called,
}

/// Why there is no place in a queue.
#[derive(Debug)]
pub(crate) enum NoPlace {
    /// As many wait as may.
    QueueFull,
    /// The address is left alone, and tried again after so long.
    BackingOff(Duration),
    /// The watcher of the lane has gone.
    WatcherGone,
}

impl Lane {
    /// Joins the queue, and starts a dial if more wait than are under way.
    pub(crate) fn enqueue(self: &Arc<Self>, now: Instant, wants: Wants) -> Result<Ticket, NoPlace> {
        // While others are open, one of them may come home before the address is tried again.
        if self.shared().settings.backoff == Backoff::Fail
            && let Some(pause) = self.host.failures.hold(now)
            && !self.host.has_connections()
        {
            return Err(NoPlace::BackingOff(pause));
        }
        let ticket = self.queue().join(self, wants).ok_or(NoPlace::WatcherGone)?;
        if wants == Wants::Any {
            self.serve_from_rest(now);
        }
        self.dial(Turn::Own);
        let limit = self.shared().settings.max_waiters_per_address;
        let full = limit.is_some_and(|limit| self.queue().is_over(limit)) && ticket.give_up();
        if full { Err(NoPlace::QueueFull) } else { Ok(ticket) }
    }

    /// Starts dials while more wait than are under way and the limits allow. In the lane's runtime only.
    pub(crate) fn dial(self: &Arc<Self>, mut turn: Turn) {
        while self.queue().begin_dial() {
            let trial = match Admission::to(&self.host, Instant::now()) {
                Admission::Free => None,
                Admission::Trial(trial) if !trial.pause.is_zero() => {
                    self.queue().end_dial();
                    // Without a permit, which others may need meanwhile. Its drop calls us.
                    tokio::spawn(trial.wait());
                    return;
                }
                Admission::Trial(trial) => Some(trial),
                // Whoever tries calls us afterwards.
                Admission::Held => return self.queue().end_dial(),
            };
            match self.permit(turn) {
                Ok(permit) => {
                    self.shared().line.leave(self);
                    self.dialer().dial(Arc::clone(self), permit, trial);
                    // One place for each turn: others stand in the line too.
                    turn = Turn::Own;
                }
                Err(refusal) => {
                    if let Some(trial) = trial {
                        trial.give_up();
                    }
                    if refusal == Refusal::AddressFull && turn == Turn::Called {
                        // Its own address calls it when there is room; the line is not held up meanwhile.
                        self.shared().line.leave(self);
                    }
                    self.queue().end_dial();
                    // Room may have been made while the dial was still counted as under way, and whoever
                    // made it then saw nobody in need.
                    match refusal {
                        Refusal::AddressFull if self.host.has_room() || self.host.idle() > 0 => {}
                        Refusal::PoolFull => {
                            // The line may have sent it away, or seen nobody in need, while its dial was
                            // counted.
                            if self.queue().wants_dial() {
                                self.shared().line.join(self);
                            }
                            return self.host.offer_room();
                        }
                        _ => return,
                    }
                }
            }
        }
    }

    /// A permit, if need be in place of an idle connection of which nobody here can make use.
    fn permit(self: &Arc<Self>, turn: Turn) -> Result<Permit, Refusal> {
        if turn == Turn::Own && self.shared().line.is_waiting() {
            self.shared().line.join(self);
            return Err(Refusal::PoolFull);
        }
        loop {
            match Permit::new(self) {
                Err(Refusal::AddressFull) if self.host.evict() => {}
                Err(Refusal::PoolFull) if self.shared().ranking.evict() => {}
                // Once in the line, it looks again: what came to rest before was not laid down for it.
                Err(Refusal::PoolFull) if self.shared().line.join(self) => {}
                done => return done,
            }
        }
    }

    /// Has the watcher start the dials that are wanted: it is called where a connection closes, which may
    /// be anywhere.
    pub(crate) fn call_dial(self: Arc<Self>, turn: Turn) {
        // Once is enough, however often it is called before it comes.
        if self.standing.hear_call() {
            let watcher = Arc::clone(&self.watcher);
            watcher.dial_for(self, turn);
        }
    }

    /// A dial fails those who waited for it: one, unless its connection was to be shared.
    pub(crate) fn dial_failed(&self, error: Error) {
        for _ in 1..self.queue().per_dial().min(self.queue().waiting()) {
            self.queue().offer(Err(error.for_another()));
        }
        self.queue().offer(Err(error));
    }

    /// A connection was opened that one request has to itself; the address takes one dial for each.
    pub(crate) fn opened_for_one(self: &Arc<Self>, connection: Box<Connection>) {
        self.queue().set_per_dial(1);
        self.checkin(connection);
    }

    /// A connection was opened that is shared. It counts as being opened until its server has said how many it
    /// serves, because that decides whether others are needed; the first request need not wait for that.
    ///
    /// # Errors
    ///
    /// When the server says nothing within the connect timeout, or the connection ends before it has.
    pub(crate) async fn opened_for_many(
        self: &Arc<Self>,
        multiplex: Arc<Multiplex>,
    ) -> Result<(), Error> {
        let settling = Settling { lane: self, multiplex };
        let multiplex = &settling.multiplex;
        self.lend(self.use_multiplex(multiplex, Duration::ZERO));
        let name = &self.host.name;
        let settled = match self.shared().settings.connect_timeout {
            None => multiplex.settled().await,
            Some(limit) => match timeout(limit, multiplex.settled()).await {
                Ok(settled) => settled,
                Err(_) => {
                    multiplex.close(Reason::TimedOut);
                    return Err(Error::connect_timeout(name, limit));
                }
            },
        };
        settled.map_err(|error| Error::connect(name, error))?;
        self.queue().set_per_dial(multiplex.limit());
        Ok(())
    }

    /// Fails all who wait, but those whom dials under way may still serve.
    pub(crate) fn fail_waiting(&self, error: impl Fn() -> Error) {
        while self.queue().wants_dial() {
            self.queue().offer(Err(error()));
        }
    }
}

/// A shared connection while its dial waits for the server's first word: it does not come to rest, and so does not
/// close under those whom that word will serve, when its first request ends meanwhile.
struct Settling<'l> {
    lane: &'l Arc<Lane>,
    multiplex: Arc<Multiplex>,
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.lane.dial_settled(&self.multiplex);
    }
}
