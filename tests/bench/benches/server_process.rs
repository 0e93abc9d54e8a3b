//! A server in a process of its own, so that what is measured here is the client alone.
//!
//! The bench starts itself once more with [`SERVE`] as its argument; the child prints its address, serves, and
//! ends when its standard input does, which is when the bench ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::broadcast;

const SERVE: &str = "serve";

/// What the system allows by default; with less, connections opened at once are dropped and tried again a
/// second later.
const BACKLOG: u32 = 4096;

/// A server process.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("a program that runs has a path");
        let mut child = Command::new(program)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process");
        let mut line = String::new();
        let output = child.stdout.take().expect("it was piped");
        BufReader::new(output).read_line(&mut line).expect("the server says where it is");
        let address = line.trim().parse().expect("an address");
        Self { child, address }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves if this process was started to do so; true if it was.
pub(crate) fn serve_if_asked() -> bool {
    let asked = std::env::args().nth(1).is_some_and(|argument| argument == SERVE);
    if asked {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve());
    }
    asked
}

/// Answers every request alike; `GET /close` closes all other connections at one instant.
async fn serve() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let listener = socket.listen(BACKLOG).expect("a socket that is bound");
    println!("{}", listener.local_addr().expect("it is bound"));
    let (close, _) = broadcast::channel(1);
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, close.clone()));
        }
    };
    let parent_ends = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    tokio::select! {
        () = accepting => {}
        _ = parent_ends => {}
    }
}

async fn converse(mut stream: TcpStream, close: broadcast::Sender<()>) {
    let _ = stream.set_nodelay(true);
    let mut closed = close.subscribe();
    let mut bytes = [0; 4096];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut bytes) => read,
            _ = closed.recv() => return,
        };
        let Ok(1..) = read else { return };
        if bytes.starts_with(b"GET /close") {
            let _ = close.send(());
            let _ = closed.recv().await;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
