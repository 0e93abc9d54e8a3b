//! The server, in a process of its own and as cheap as can be: it answers every request alike, from memory.
//!
//! It also tells how many connections it has accepted, and listens at further addresses when it is asked to.
//! It ends when its standard input does, which is when the process that started it ends.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{LocalSet, spawn_local};

use crate::client::Error;

const SERVE: &str = "serve";

/// What the system allows by default; with less, connections opened at once are dropped and tried again a
/// second later.
const BACKLOG: u32 = 4096;

/// A request that asks for no more than what every request gets.
pub(crate) const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The body of every response.
pub(crate) const BODY: &[u8] = b"hello";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// As every client writes the field by which it asks for the close of its connection.
const CLOSE: &[u8] = b"connection: close";

const LAST_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello";

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

/// Serves if this process was started to do so; true if it was.
pub(crate) fn serve_if_asked() -> Result<bool, Error> {
    let asked = std::env::args().nth(1).is_some_and(|argument| argument == SERVE);
    if asked {
        raise_descriptor_limit()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(LocalSet::new().run_until(serve()))?;
    }
    Ok(asked)
}

async fn serve() -> Result<(), Error> {
    let service = Rc::new(Service::default());
    println!("{}", service.listen()?);
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    Ok(())
}

/// At a port that the system chooses.
fn listener() -> Result<TcpListener, Error> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(BACKLOG)?)
}

#[derive(Default)]
struct Service {
    accepted: Cell<u64>,
    addresses: Cell<Vec<SocketAddr>>,
}

impl Service {
    fn listen(self: &Rc<Self>) -> Result<SocketAddr, Error> {
        let listener = listener()?;
        let address = listener.local_addr()?;
        let mut addresses = self.addresses.take();
        addresses.push(address);
        self.addresses.set(addresses);
        spawn_local(Rc::clone(self).accept(listener));
        Ok(address)
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.accepted.set(self.accepted.get() + 1);
            // Only a delay would follow from an error here.
            let _ = stream.set_nodelay(true);
            spawn_local(Rc::clone(&self).converse(stream));
        }
    }

    async fn converse(self: Rc<Self>, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            if bytes[..length].windows(CLOSE.len()).any(|field| field.eq_ignore_ascii_case(CLOSE)) {
                let _ = stream.write_all(LAST_RESPONSE).await;
                // TLS has a word of its own for the end.
                let _ = stream.shutdown().await;
                return;
            }
            let answer = match self.answer(&bytes[..length]) {
                None => stream.write_all(RESPONSE).await,
                Some(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    return;
                }
            };
            if answer.is_err() {
                return;
            }
        }
    }

    /// Tells where it listens for TLS from here on.
    #[cfg(feature = "peers")]
    fn listen_for_tls(self: &Rc<Self>) -> Result<String, Error> {
        let (acceptor, certificate) = crate::tls::acceptor()?;
        let listener = listener()?;
        let told = crate::tls::told(listener.local_addr()?, &certificate);
        let this = Rc::clone(self);
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.accepted.set(this.accepted.get() + 1);
                let _ = stream.set_nodelay(true);
                let (this, accepted) = (Rc::clone(&this), acceptor.accept(stream));
                spawn_local(async move {
                    if let Ok(stream) = accepted.await {
                        this.converse(stream).await;
                    }
                });
            }
        });
        Ok(told)
    }

    /// What a request asks for that is more than the usual.
    fn answer(self: &Rc<Self>, request: &[u8]) -> Option<String> {
        if request.starts_with(b"GET / ") {
            return None;
        }
        if request.starts_with(b"GET /accepted ") {
            return Some(self.accepted.get().to_string());
        }
        #[cfg(feature = "peers")]
        if request.starts_with(b"GET /tls ") {
            return self.listen_for_tls().ok();
        }
        let count = request.strip_prefix(b"GET /addresses/")?.split(|byte| *byte == b' ').next()?;
        let count: usize = str::from_utf8(count).ok()?.parse().ok()?;
        let mut addresses = self.addresses.take();
        let missing = count.saturating_sub(addresses.len());
        self.addresses.set(addresses);
        for _ in 0..missing {
            self.listen().ok()?;
        }
        addresses = self.addresses.take();
        let text: Vec<_> = addresses.iter().take(count).map(ToString::to_string).collect();
        self.addresses.set(addresses);
        Some(text.join(" "))
    }
}
