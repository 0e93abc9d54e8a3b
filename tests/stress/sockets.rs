//! What the kernel says of sockets, whatever the pool believes.

use std::fs;
use std::net::SocketAddr;

const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// How many sockets of this machine are connected to `peer` and not closed at this end: established, or
/// waiting for their owner to close them.
pub(crate) fn connected_to(peer: SocketAddr) -> usize {
    let SocketAddr::V4(peer) = peer else { panic!("an address in {peer} that is not looked for") };
    let host = u32::from_ne_bytes(peer.ip().octets());
    let wanted = format!("{host:08X}:{:04X}", peer.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("a kernel that tells");
    let is_ours = |line: &&str| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(&wanted)
            && words.next().is_some_and(|state| [ESTABLISHED, CLOSE_WAIT].contains(&state))
    };
    table.lines().skip(1).filter(is_ours).count()
}

#[test]
fn a_connected_socket_is_seen_until_it_is_closed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let client = std::net::TcpStream::connect(address).expect("a server that listens");
    let (server, _) = listener.accept().expect("a client");
    assert_eq!(connected_to(address), 1);
    // Its end is known here, and not acted upon.
    drop(server);
    assert_eq!(connected_to(address), 1);
    drop(client);
    assert_eq!(connected_to(address), 0);
}
