//! The server as those see it who start it and ask it: a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client::Error;

/// The argument that makes a measured program a server.
pub(crate) const SERVE: &str = "serve";

/// A request that asks for no more than what every request gets.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The body of every response that is asked for no other.
pub(crate) const BODY: &[u8] = b"hello";

/// So many bytes at most are sent in one body, or read.
pub(crate) const LARGEST: usize = 1 << 20;

/// The content of large bodies.
pub(crate) static LARGE: LazyLock<Bytes> = LazyLock::new(|| vec![b'x'; LARGEST].into());

/// A server that is asked and does not answer is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server process; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// When `program`, a measured program, cannot be started or says nothing.
    pub fn start(program: &Path) -> Result<Self, Error> {
        let piped = (Stdio::piped(), Stdio::piped());
        let mut child = Command::new(program).arg(SERVE).stdin(piped.0).stdout(piped.1).spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("it was not piped")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Self { child, address: line.trim().parse()? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has nothing to tell, and has ended either way.
        let _ = self.child.wait();
    }
}

/// How many connections the server has accepted, this one included.
pub(crate) fn accepted(server: SocketAddr) -> Result<u64, Error> {
    Ok(ask(server, "/accepted")?.parse()?)
}

/// So many addresses of the server, its first included.
pub(crate) fn addresses(server: SocketAddr, count: usize) -> Result<Vec<SocketAddr>, Error> {
    if count == 1 {
        return Ok(vec![server]);
    }
    let addresses = ask(server, &format!("/addresses/{count}"))?;
    addresses.split_whitespace().map(|address| Ok(address.parse()?)).collect()
}

pub(crate) fn ask(server: SocketAddr, path: &str) -> Result<String, Error> {
    let mut stream = std::net::TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // In one piece, as the server reads it.
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// As many descriptors as the system allows without being asked by its administrator.
pub(crate) fn raise_descriptor_limit() -> Result<(), Error> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
