//! The options of a socket: those that must be set before it connects, and those that follow.
//!
//! What must hold: an option that the caller asked for and the system refuses fails the connect, and the error names it.
//! Only the looks for dead peers are wishes, with which every socket works.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use crate::address::Way;
use crate::keep_alive::KeepAlive;
use crate::step::Step;
use crate::user_timeout::UserTimeout;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) keep_alive: KeepAlive,
    pub(crate) user_timeout: UserTimeout,
    pub(crate) nodelay: bool,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) traffic_class: Option<u8>,
    pub(crate) fast_open: bool,
    pub(crate) source_v4: Option<Ipv4Addr>,
    pub(crate) source_v6: Option<Ipv6Addr>,
    pub(crate) source_ports: Option<RangeInclusive<u16>>,
    /// Its source is that of an address alone.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    pub(crate) way: Way,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: KeepAlive::default(),
            user_timeout: UserTimeout::default(),
            nodelay: true,
            send_buffer: None,
            receive_buffer: None,
            traffic_class: None,
            fast_open: false,
            source_v4: None,
            source_v6: None,
            source_ports: None,
            #[cfg(any(target_os = "android", target_os = "linux"))]
            way: Way::default(),
        }
    }
}

impl Options {
    /// The address of ours that a peer is reached from, if it is not left to the system.
    pub(crate) fn source(&self, peer: SocketAddr, way: Option<&Way>) -> Option<IpAddr> {
        way.and_then(|way| way.source).or_else(|| match peer {
            SocketAddr::V4(_) => self.source_v4.map(IpAddr::V4),
            SocketAddr::V6(_) => self.source_v6.map(IpAddr::V6),
        })
    }

    /// A socket for a peer that is not connected yet.
    pub(crate) fn socket(&self, peer: SocketAddr, way: Option<&Way>) -> io::Result<TcpSocket> {
        let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        let option = SockRef::from(&socket);
        if self.nodelay {
            named("no delay", option.set_tcp_nodelay(true))?;
        }
        // Before it connects, because the peer is told then how large the window may become.
        if let Some(size) = self.receive_buffer {
            let set = option.set_recv_buffer_size(size);
            named(format_args!("a receive buffer of {size} bytes"), set)?;
        }
        if let Some(size) = self.send_buffer {
            let set = option.set_send_buffer_size(size);
            named(format_args!("a send buffer of {size} bytes"), set)?;
        }
        if let Some(class) = self.traffic_class {
            let set = set_traffic_class(&option, peer, class);
            named(format_args!("the traffic class {class}"), set)?;
        }
        self.lead(&socket, way)?;
        Ok(socket)
    }

    /// What only Linux has.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    fn lead(&self, socket: &TcpSocket, way: Option<&Way>) -> io::Result<()> {
        use nix::sys::socket::{setsockopt, sockopt::TcpFastOpenConnect};

        let option = SockRef::from(socket);
        let interface = way.and_then(|way| way.interface.as_ref());
        if let Some(name) = interface.or(self.way.interface.as_ref()) {
            named(format_args!("the interface {name:?}"), bind_interface(&option, name))?;
        }
        if let Some(mark) = way.and_then(|way| way.mark).or(self.way.mark) {
            named(format_args!("the mark {mark}"), option.set_mark(mark))?;
        }
        if self.fast_open {
            let set = setsockopt(socket, TcpFastOpenConnect, &true);
            named("fast open", set.map_err(io::Error::from))?;
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    fn lead(&self, _: &TcpSocket, _: Option<&Way>) -> io::Result<()> {
        debug_assert!(!self.fast_open, "it has no setter");
        Ok(())
    }

    /// The wishes, once it has connected.
    pub(crate) fn look_after(&self, socket: &TcpStream) {
        self.keep_alive.apply(socket);
        self.user_timeout.apply(socket);
    }
}

/// Says which option the system has refused.
pub(crate) fn refused(option: impl fmt::Display, error: io::Error) -> io::Error {
    Step::of_this_machine(format!("this machine refuses {option}"), error)
}

fn named(option: impl fmt::Display, set: io::Result<()>) -> io::Result<()> {
    set.map_err(|error| refused(option, error))
}

/// The kernel takes the first letters of a name that is too long, and no name for no interface in particular.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn bind_interface(option: &SockRef<'_>, name: &str) -> io::Result<()> {
    if (1..=15).contains(&name.len()) {
        option.bind_device(Some(name.as_bytes()))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a name has 1 to 15 bytes"))
    }
}

#[cfg(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "openbsd",
))]
fn set_traffic_class(option: &SockRef<'_>, peer: SocketAddr, class: u8) -> io::Result<()> {
    match peer {
        SocketAddr::V4(_) => option.set_tos_v4(class.into()),
        SocketAddr::V6(_) => option.set_tclass_v6(class.into()),
    }
}

#[cfg(not(any(
    target_os = "android",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "openbsd",
)))]
fn set_traffic_class(_: &SockRef<'_>, _: SocketAddr, _: u8) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
