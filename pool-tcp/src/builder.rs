//! The settings of a TCP connector, each with its default and the reason for it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
#[cfg(any(target_os = "android", target_os = "linux"))]
use std::sync::Arc;
use std::time::Duration;

use crate::connector::TcpConnector;
use crate::options::Options;
use crate::user_timeout::UserTimeout;

/// Sets up a [`TcpConnector`]. Made by [`TcpConnector::builder`].
///
/// An option that was asked for, and that the system refuses, fails each connect with an error that names it, and which is not
/// held against the address. Keep-alive and the user timeout are wishes: where the system does not know them, connections work
/// without.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// How long a connection is idle before the kernel asks its peer for a sign of life, with TCP keep-alive; `None` for
    /// never.
    ///
    /// The path to a server may forget a connection without a word, as firewalls do. A connection whose peer gives no
    /// sign of life closes while it is idle, and so costs no request; the probes also keep a path from forgetting it.
    /// The kernel counts in whole seconds; less than one, zero included, counts as one. Defaults to 15 s, as in Go's
    /// `net` package.
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.options.keep_alive.time = time.into();
        self
    }

    /// How long after a probe without an answer the next one follows. Counted as in [`keep_alive`](Self::keep_alive).
    ///
    /// Defaults to 15 s, as in Go's `net` package. OpenBSD has an interval of its own.
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.options.keep_alive.interval = interval;
        self
    }

    /// After how many probes without an answer the connection closes; zero counts as one.
    ///
    /// Defaults to 3, as in reqwest: an idle connection whose path is dead is found after a minute; with the 9 of Go it
    /// would take two and a half. On Linux the [user timeout](Self::user_timeout) ends the probes earlier if it is shorter: with the
    /// defaults after half a minute. OpenBSD has a number of its own.
    pub fn keep_alive_probes(mut self, probes: u32) -> Self {
        self.options.keep_alive.probes = probes;
        self
    }

    /// How long the peer may leave what was sent to it unacknowledged, before the kernel closes the connection; `None`,
    /// or zero, for as long as the kernel has it, which is about a quarter of an hour.
    ///
    /// A request over a connection that its path has forgotten fails after this time, and those that had been idle as long
    /// close with it. It does not hold while a streaming or large request body goes out over HTTP/1, nor after that until
    /// the connection carries a small request or is parked: the kernel counts a server that is alive, but does not read for
    /// a while, as silent. Nor does it hold for a tunnel. Counted in milliseconds. Has an effect on Linux and Android only. Defaults to 30 s, as in
    /// reqwest.
    pub fn user_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.options.user_timeout = UserTimeout::new(timeout.into());
        self
    }

    /// Whether small segments go out at once, by `TCP_NODELAY`. Defaults to true; see [`TcpConnector`] for what it costs
    /// not to.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// How many bytes the kernel keeps that were written and not acknowledged; `None` for what the system decides, which
    /// is the default, because Linux finds the right size by itself, and stops when it is told one.
    ///
    /// Linux doubles the size, for what it keeps beside the bytes, and cuts it without a word to `net.core.wmem_max`.
    pub fn send_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.options.send_buffer = bytes.into();
        self
    }

    /// How many bytes the kernel keeps that were not read yet, which also bounds the window that the peer is given; as for
    /// [`send_buffer`](Self::send_buffer), with `net.core.rmem_max`.
    pub fn receive_buffer(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.options.receive_buffer = bytes.into();
        self
    }

    /// The address of ours that IPv4 peers are reached from; `None`, the default, for the one that the system chooses.
    ///
    /// On Linux the kernel chooses the port only when it connects, so that one source serves as many connections to each
    /// peer as there are ports.
    pub fn source_v4(mut self, source: impl Into<Option<Ipv4Addr>>) -> Self {
        self.options.source_v4 = source.into();
        self
    }

    /// The address of ours that IPv6 peers are reached from, as [`source_v4`](Self::source_v4).
    pub fn source_v6(mut self, source: impl Into<Option<Ipv6Addr>>) -> Self {
        self.options.source_v6 = source.into();
        self
    }

    /// The ports of ours that connections go from; `None`, the default, for those that the system has for it.
    ///
    /// They are tried one after the other, from a random one on, until one is free: on Unix one that no other connection to
    /// the same peer has. Where none is, connecting is an error. For firewalls that let only some ports through.
    pub fn source_ports(mut self, ports: impl Into<Option<RangeInclusive<u16>>>) -> Self {
        self.options.source_ports = ports.into();
        self
    }

    /// The interface that packets leave through and come in by, whatever the routes say (`SO_BINDTODEVICE`); `None`, the
    /// default, for what the routes say. Before Linux 5.7 it takes the capability `CAP_NET_RAW`. Android and Linux only.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub fn interface<'a>(mut self, name: impl Into<Option<&'a str>>) -> Self {
        self.options.way.interface = name.into().map(Arc::from);
        self
    }

    /// The mark of each packet (`SO_MARK`), which routes and packet filters can go by; `None`, the default, for none.
    /// It takes the capability `CAP_NET_ADMIN`. Android and Linux only.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub fn mark(mut self, mark: impl Into<Option<u32>>) -> Self {
        self.options.way.mark = mark.into();
        self
    }

    /// The traffic class of each packet, once called type of service: its upper six bits are the DSCP, RFC 2474, so that
    /// `46 << 2` asks to be expedited. `None`, the default, for what the system has, which is zero. The lower two bits
    /// belong to the congestion control; Linux ignores them over IPv4. Not on Windows, where connecting is an error then.
    pub fn traffic_class(mut self, class: impl Into<Option<u8>>) -> Self {
        self.options.traffic_class = class.into();
        self
    }

    /// Whether the first bytes go out with the first packet, RFC 7413, to a server that was met before and knows this:
    /// a round trip less for each new connection. Android and Linux only. Defaults to false.
    ///
    /// A first packet that the network doubles may reach the server twice, with what it carries, and that is the whole
    /// request where it is small. So turn it on below TLS alone, whose first packet is not yet a request, or where no
    /// request hurts that is executed twice. A server that was met before, and cannot be reached now, shows only when the request is
    /// written: neither the connect timeout nor the race of the addresses of a name sees it, but below TLS, whose handshake they wait for.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub fn fast_open(mut self, fast_open: bool) -> Self {
        self.options.fast_open = fast_open;
        self
    }

    /// Builds the connector.
    pub fn build(self) -> TcpConnector {
        TcpConnector::from_options(self.options)
    }
}
