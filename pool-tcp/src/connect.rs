//! Connects a socket to its peer, from the address and the port of ours that were asked for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::yield_now;

use crate::address::Way;
use crate::options::{Options, refused};

/// So many ports that are taken are tried before other tasks have their turn.
const AT_ONCE: usize = 64;

pub(crate) async fn connect(
    peer: SocketAddr,
    options: &Options,
    way: Option<&Way>,
) -> io::Result<TcpStream> {
    let source = options.source(peer, way);
    if let Some(ports) = &options.source_ports {
        // In a box, so that connecting without one takes no memory for it.
        return Box::pin(from_ports(peer, options, way, source, ports.clone())).await;
    }
    let socket = options.socket(peer, way)?;
    if let Some(source) = source {
        choose_port_late(&socket);
        bind(&socket, source, 0)?;
    }
    socket.connect(peer).await
}

/// From one port of a range after the other, beginning anywhere, until one is free towards this peer.
async fn from_ports(
    peer: SocketAddr,
    options: &Options,
    way: Option<&Way>,
    source: Option<IpAddr>,
    ports: RangeInclusive<u16>,
) -> io::Result<TcpStream> {
    let any = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let source = source.unwrap_or(any);
    let count = ports.clone().count();
    let first = fastrand::usize(..count.max(1));
    let mut left = None;
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for (tried, port) in ports.clone().cycle().skip(first).take(count).enumerate() {
        if tried % AT_ONCE == AT_ONCE - 1 {
            yield_now().await;
        }
        // A socket that could not be bound can be bound again.
        let socket = match left.take() {
            Some(socket) => socket,
            None => options.socket(peer, way)?,
        };
        share_port(&socket)?;
        match bind(&socket, source, port) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                (taken, left) = (error, Some(socket));
                continue;
            }
            Err(error) => return Err(error),
        }
        match socket.connect(peer).await {
            // Another connection goes from this port to this peer.
            Err(error) if is_taken(&error) => taken = error,
            done => return done,
        }
    }
    let (from, to) = (ports.start(), ports.end());
    Err(refused(format_args!("the source ports {from} to {to}, none is free"), taken))
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn bind(socket: &TcpSocket, source: IpAddr, port: u16) -> io::Result<()> {
    let bound = socket.bind(SocketAddr::new(source, port));
    bound.map_err(|error| refused(format_args!("the source {source}"), error))
}

/// Lets several connections go from one port to different peers.
fn share_port(socket: &TcpSocket) -> io::Result<()> {
    // On Windows the option lets others steal the port.
    if cfg!(unix) { socket.set_reuseaddr(true) } else { Ok(()) }
}

/// Without it the kernel keeps the port of a bound socket for it alone, and so allows no more than 28,000 connections from
/// one source, to all peers together. A kernel that lacks it works as well.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn choose_port_late(socket: &TcpSocket) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};

    setsockopt(socket, IpBindAddressNoPort, &true).ok();
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn choose_port_late(_: &TcpSocket) {}
