//! Whether it is a server of ours that listens, and no other process that was faster.

use std::collections::HashSet;
use std::net::SocketAddr;

use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};

/// Whether the process, or one that it has started, listens at that address. A process that goes meanwhile does not.
pub(crate) fn listens(process: u32, address: SocketAddr) -> bool {
    let sockets: HashSet<_> = tcp()
        .into_iter()
        .chain(tcp6())
        .flatten()
        .filter(|entry| entry.state == TcpState::Listen && entry.local_address == address)
        .map(|entry| entry.inode)
        .collect();
    !sockets.is_empty() && family(process).iter().any(|process| holds(process, &sockets))
}

/// A process and those that it has started, and they.
fn family(id: u32) -> Vec<Process> {
    let all: Vec<_> = all_processes().into_iter().flatten().filter_map(Result::ok).collect();
    let parents = all.iter().filter_map(|process| Some((process.pid(), process.stat().ok()?.ppid)));
    let parents: Vec<_> = parents.collect();
    let mut family: HashSet<i32> = i32::try_from(id).into_iter().collect();
    loop {
        let known = family.len();
        let children = parents.iter().filter(|(_, parent)| family.contains(parent));
        let children: Vec<_> = children.map(|(child, _)| *child).collect();
        family.extend(children);
        if family.len() == known {
            return all.into_iter().filter(|process| family.contains(&process.pid())).collect();
        }
    }
}

fn holds(process: &Process, sockets: &HashSet<u64>) -> bool {
    let open = process.fd().into_iter().flatten().filter_map(Result::ok);
    open.into_iter()
        .any(|open| matches!(open.target, FDTarget::Socket(it) if sockets.contains(&it)))
}
