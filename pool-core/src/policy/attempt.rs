//! One dial, as the outage of its address sees it: when it may begin, and what it has shown.
//!
//! What must hold: what is begun here ends, whatever becomes of the dial, and then the members that were held back are
//! told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::host::Host;
use super::member::Turn;
use super::outage::HANGS;
use crate::report::{Error, Event};
use crate::settings::Backoff;

/// A dial that is under way. If it is dropped, it has shown nothing of its address.
#[derive(Debug)]
pub(crate) struct Attempt {
    host: Arc<Host>,
    begun: Instant,
    for_all: bool,
}

impl Attempt {
    /// Begins a dial, if one may begin now.
    ///
    /// # Errors
    ///
    /// When it may, at the earliest.
    pub(crate) fn begin(host: &Arc<Host>, now: Instant) -> Result<Self, Instant> {
        let mut outage = host.outage.lock();
        outage.may_begin(now)?;
        outage.begin(now);
        Ok(Self { host: Arc::clone(host), begun: now, for_all: outage.is_on() })
    }

    /// Whether it is for all requests that wait, because one dial at a time is under way.
    pub(crate) fn is_for_all(&self) -> bool {
        self.for_all
    }

    /// It has opened a connection: the address can be reached.
    pub(crate) fn succeeded(self, now: Instant) {
        let was_on = {
            let mut outage = self.host.outage.lock();
            self.host.fails.store(false, Ordering::SeqCst);
            outage.succeed(now)
        };
        if was_on {
            // What hangs now was begun for a server that was away, and its packets come seldom: new dials are faster.
            if let Some(hung) = now.checked_sub(HANGS) {
                self.host.members().iter().for_each(|member| member.end_begun_before(hung));
            }
            self.host.request_dials();
        }
    }

    /// It has failed, and the fault was not of this machine.
    pub(crate) fn failed(self, now: Instant) {
        let backoff = self.host.settings().backoff;
        if backoff == Backoff::Off {
            return;
        }
        let pause = {
            let mut outage = self.host.outage.lock();
            outage.fail(self.begun, now);
            self.host.fails.store(outage.is_on(), Ordering::SeqCst);
            let pauses = backoff == Backoff::Fail;
            pauses.then(|| outage.begin_pause(fastrand::f64(), now)).flatten()
        };
        if let Some(pause) = pause {
            self.host.pause_begins(pause);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.host.outage.lock().end();
        if self.host.fails() {
            self.host.request_dials();
        }
    }
}

impl Host {
    /// Whether three dials in a row have failed, and none has succeeded since.
    pub(crate) fn fails(&self) -> bool {
        self.fails.load(Ordering::SeqCst)
    }

    /// Whether a dial may begin.
    ///
    /// # Errors
    ///
    /// When it may, at the earliest.
    pub(crate) fn may_dial(&self) -> Result<(), Instant> {
        if self.fails() { self.outage.lock().may_begin(Instant::now()) } else { Ok(()) }
    }

    /// Whether a dial is under way though the address fails: another one beside it is due when it hangs.
    pub(crate) fn is_dialled_though_it_fails(&self) -> bool {
        self.fails() && self.outage.lock().is_dialled()
    }

    /// How long a request that comes now has to stay away; none where it may wait, or try itself.
    pub(crate) fn refuses_waiters(&self, now: Instant) -> Option<Duration> {
        // While connections are lent, one may be checked in before the address is tried again.
        if self.settings().backoff != Backoff::Fail || !self.fails() || self.has_connections() {
            return None;
        }
        self.outage.lock().refusal(now)
    }

    fn pause_begins(&self, pause: Duration) {
        self.tell(|| Event::BackingOff { pause });
        if !self.has_connections() {
            for member in self.members() {
                member.fail_waiting(&|| Error::backing_off(self.name(), pause));
            }
        }
    }

    /// The caller names the address, and so believes that it is there.
    pub(crate) fn end_pause(&self) {
        if self.fails() {
            self.outage.lock().end_pause();
            self.request_dials();
        }
    }

    /// Has every member with requests that wait see for itself whether it dials, and when.
    fn request_dials(&self) {
        for member in self.members().into_iter().filter(|member| member.has_waiting()) {
            member.request_dial(Turn::Own);
        }
    }
}
