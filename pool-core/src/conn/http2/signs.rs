//! Signs of life: when the server of a connection is asked for one, and when it is given up.
//!
//! | what happens | what follows |
//! | --- | --- |
//! | a request is given up, and nothing was read since it was sent | the connection is doubted: it is not lent, and a PING goes out |
//! | nothing was read for the interval of the keep-alive | a PING goes out |
//! | anything is read | the connection is as good as before |
//! | nothing is read within the patience after the PING | the connection closes |
//!
//! gRPC servers end a client that pings more often than they send (`ENHANCE_YOUR_CALM`, after two pings without a HEADERS
//! or DATA frame of theirs in between). So doubts ask at most twice until a response frame is read; after that a doubted
//! connection that has answered is believed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use super::wire::Wire;
use crate::settings::{Http2Settings, KeepAlive, jittered};

/// So that not all connections ask for a sign of life at one instant; Envoy spreads as much.
const JITTER: f64 = 0.15;

/// How often doubts may ask before a response frame is read.
const UNREWARDED: u32 = 2;

/// What the task is to do about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Alive,
    /// A sign of life is awaited.
    Awaited,
    Dead,
}

pub(super) struct Signs {
    ping: Option<PingPong>,
    patience: Duration,
    keep_alive: Option<KeepAlive>,
    /// What had been read when something was last heard.
    read: u64,
    heard: Option<Instant>,
    /// What was read of responses when a doubt last asked.
    messages: u64,
    unrewarded: u32,
    /// A PING is under way, whatever else is heard.
    pinging: bool,
    /// One is to be sent as soon as h2 can write it.
    owed: bool,
    /// Until when a sign of life is awaited.
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Signs {
    pub(super) fn new(settings: &Http2Settings, ping: Option<PingPong>) -> Self {
        let keep_alive = settings.keep_alive.map(|keep_alive| KeepAlive {
            interval: jittered(keep_alive.interval, JITTER),
            ..keep_alive
        });
        Self {
            ping,
            patience: settings.patience,
            keep_alive,
            read: 0,
            heard: None,
            messages: 0,
            unrewarded: 0,
            pinging: false,
            owed: false,
            deadline: None,
            timer: None,
        }
    }

    /// Looks for signs of life, and asks for one if need be; wakes the task when it has waited for long enough. `in_use`
    /// while a request is on the connection.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &Wire,
        is_doubted: bool,
        in_use: bool,
    ) -> Verdict {
        let heard = self.listen(cx, wire);
        if self.keep_alive.is_none() && self.deadline.is_none() && !is_doubted {
            return Verdict::Alive;
        }
        // What was heard now was not there when the doubt arose.
        self.watch(cx, wire, is_doubted && !heard, in_use)
    }

    /// Notes what was read; true if anything was.
    #[inline]
    fn listen(&mut self, cx: &mut Context<'_>, wire: &Wire) -> bool {
        if self.pinging
            && let Some(ping) = &mut self.ping
            && ping.poll_pong(cx).is_ready()
        {
            self.pinging = false;
        }
        let heard = self.read != wire.read();
        if heard {
            self.read = wire.read();
            self.heard = None;
            self.deadline = None;
            self.owed = false;
        }
        heard
    }

    #[inline(never)]
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        wire: &Wire,
        is_doubted: bool,
        in_use: bool,
    ) -> Verdict {
        let now = Instant::now();
        let heard = *self.heard.get_or_insert(now);
        if let Some(deadline) = self.deadline {
            self.send_owed(cx, wire);
            return if self.poll_until(deadline, now, cx).is_ready() {
                Verdict::Dead
            } else {
                Verdict::Awaited
            };
        }
        if is_doubted && self.may_ask(wire) {
            self.unrewarded += 1;
            return self.ask(self.patience, now, cx, wire);
        }
        let Some(KeepAlive { interval, timeout, while_idle }) = self.keep_alive else {
            return Verdict::Alive;
        };
        if !in_use && !while_idle {
            // The interval begins when a request waits.
            self.heard = None;
            return Verdict::Alive;
        }
        let due = heard.checked_add(interval);
        if due.is_some_and(|due| self.poll_until(due, now, cx).is_ready()) {
            return self.ask(timeout, now, cx, wire);
        }
        Verdict::Alive
    }

    fn may_ask(&mut self, wire: &Wire) -> bool {
        if self.messages != wire.messages() {
            self.messages = wire.messages();
            self.unrewarded = 0;
        }
        self.unrewarded < UNREWARDED
    }

    /// Awaits a sign of life, and sends a PING for one, unless that is under way.
    fn ask(
        &mut self,
        patience: Duration,
        now: Instant,
        cx: &mut Context<'_>,
        wire: &Wire,
    ) -> Verdict {
        self.owed = true;
        self.send_owed(cx, wire);
        // A time too long for the clock is never over.
        self.deadline = now.checked_add(patience);
        match self.deadline {
            Some(deadline) => {
                let _ = self.poll_until(deadline, now, cx);
                Verdict::Awaited
            }
            None => Verdict::Alive,
        }
    }

    /// Has h2 send a PING that is owed. h2 reads nothing while it has a PING that it cannot write, so where the stream takes
    /// nothing the sign of life is awaited without one.
    fn send_owed(&mut self, cx: &mut Context<'_>, wire: &Wire) {
        if self.owed
            && wire.is_flushed()
            && let Some(ping) = &mut self.ping
        {
            self.owed = false;
            if !self.pinging {
                self.pinging = ping.send_ping(Ping::opaque()).is_ok();
                // The connection has been polled already, and sends it in the next poll.
                cx.waker().wake_by_ref();
            }
        }
    }

    fn poll_until(&mut self, time: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if time <= now {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(time)));
        if timer.deadline() != time {
            timer.as_mut().reset(time);
        }
        timer.as_mut().poll(cx)
    }
}
