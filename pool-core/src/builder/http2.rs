//! What concerns HTTP/2 connections.

use std::time::Duration;

use super::pool::Builder;
use crate::connector::Connector;
use crate::settings::{Http2, KeepAlive};

impl<C: Connector> Builder<C> {
    /// Whether the pool speaks HTTP/2.
    ///
    /// One connection then serves many requests, within the live limit of the server. Another is opened when all are
    /// full, and the busiest is used first. Settings for idle connections apply to those without a stream. The version
    /// of a response tells what was spoken. Defaults to [`Http2::Negotiated`]: what the connector has agreed upon.
    pub fn http2(mut self, http2: Http2) -> Self {
        self.settings.http2 = http2;
        self
    }

    /// How many streams one HTTP/2 connection carries at once; `None` for as many as its server allows.
    ///
    /// Zero is refused. Defaults to `None`. One connection is one TCP stream, driven by one task: where it is not
    /// fast enough, a limit spreads the load.
    pub fn http2_max_streams(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.settings.connection.http2.max_streams = limit.into();
        self
    }

    /// Asks the server of each HTTP/2 connection every `interval`, less up to 15 %, for a sign of life; `None`
    /// for never.
    ///
    /// A connection without an answer after `timeout` is closed, and the requests on it fail, or are sent again over
    /// another. An interval of zero is refused. Defaults to `None`: gRPC servers take a client that asks more often
    /// than every five minutes for an attacker. Without it, a server is asked when requests are
    /// [given up](Self::http2_patience).
    pub fn http2_keep_alive(
        mut self,
        interval: impl Into<Option<Duration>>,
        timeout: Duration,
    ) -> Self {
        let while_idle = self.settings.connection.http2.keep_alive_while_idle;
        self.settings.connection.http2.keep_alive =
            interval.into().map(|interval| KeepAlive { interval, timeout, while_idle });
        self
    }

    /// Whether the [keep-alive](Self::http2_keep_alive) also asks over connections on which no request waits.
    ///
    /// Defaults to true: what a firewall has forgotten is then found before a request needs it. With false, servers that
    /// count the questions of idle clients have nothing to count.
    pub fn http2_keep_alive_while_idle(mut self, while_idle: bool) -> Self {
        let http2 = &mut self.settings.connection.http2;
        http2.keep_alive_while_idle = while_idle;
        if let Some(keep_alive) = &mut http2.keep_alive {
            keep_alive.while_idle = while_idle;
        }
        self
    }

    /// How long an HTTP/2 server that is asked for a sign of life may take.
    ///
    /// When a request is dropped, or runs into a timeout, and nothing at all was read on its connection since it was sent,
    /// the server is asked by a PING, and the connection carries no further request before it has sent anything. After
    /// this time it is closed. A server that answers keeps its connection, whatever is cancelled. It is asked at most
    /// twice before it sends a part of a response: a gRPC server ends a client that asks more often. Defaults to 5 s: a
    /// segment that is lost twice has been sent three times by then.
    pub fn http2_patience(mut self, patience: Duration) -> Self {
        self.settings.connection.http2.patience = patience;
        self
    }

    /// After how long a rest of an HTTP/2 connection the kernel is asked what has come, before it carries a request.
    ///
    /// What has come is read first: a server that has closed, or said GOAWAY, costs no request. Only with
    /// [`probe`](Self::probe), and where the connector has a [`KernelCheck`](crate::KernelCheck). Defaults to 1 s: the
    /// task of the connection reads what comes, but on a busy thread it may be late by some milliseconds.
    pub fn http2_probe_after(mut self, rest: Duration) -> Self {
        self.settings.connection.http2.rested = rest;
        self
    }

    /// How many bytes of one response a server may send over HTTP/2 before its caller reads them, from 64 KiB less a byte to 2 GiB less a byte.
    ///
    /// It is what a stream can have under way in one round trip, and what is held in memory for a caller that does not
    /// read. Defaults to 2 MiB, as hyper's: 160 Mbit/s over a path of 100 ms.
    pub fn http2_stream_window(mut self, bytes: u32) -> Self {
        self.settings.connection.http2.stream_window = bytes;
        self
    }

    /// How many bytes of all responses a server may send over one HTTP/2 connection before their callers read them.
    ///
    /// A connection carries no more streams than this is [stream windows](Self::http2_stream_window), so that callers who
    /// do not read never stall others. Less than one of them, or more than 2 GiB, is refused. Defaults to 2 GiB less a
    /// byte, the most that there is: memory is bounded by the streams and their windows. Go has no bound here either.
    pub fn http2_connection_window(mut self, bytes: u32) -> Self {
        self.settings.connection.http2.connection_window = bytes;
        self
    }

    /// The largest frame that an HTTP/2 server may send, from 16 KiB to 16 MiB.
    ///
    /// Defaults to 16 KiB, the least: responses share a connection frame by frame, and a large one delays the others.
    pub fn http2_frame_size(mut self, bytes: u32) -> Self {
        self.settings.connection.http2.frame_size = bytes;
        self
    }

    /// How many bytes of one request body wait for the socket at most, over HTTP/2.
    ///
    /// Defaults to 1 MiB, as hyper's.
    pub fn http2_send_buffer(mut self, bytes: usize) -> Self {
        self.settings.connection.http2.send_buffer = bytes;
        self
    }
}
