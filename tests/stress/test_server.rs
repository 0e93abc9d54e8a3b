//! A server in a thread of its own, which does what the first word of the target says.
//!
//! | target | what it does |
//! | --- | --- |
//! | `/plain/…` | answers |
//! | `/large/…` | answers at length |
//! | `/halves/…` | answers in two halves |
//! | `/close/…` | answers, says that it closes, and does |
//! | `/gone/…` | answers, and closes without a word |
//! | `/stray/…` | answers, with bytes behind it that no request asked for |
//! | `/cut/…` | closes in place of an answer |
//! | `/held/…` | does not answer, until the client closes |
//!
//! The answer is the target, over and over. What must hold: a client may go away at any point.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use pooled_fetch_tests::answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, yield_now};

const LARGE: usize = 200_000;

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    held: AtomicUsize,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let counts = Arc::<Counts>::default();
        let thread = thread::spawn({
            let counts = Arc::clone(&counts);
            move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    tokio::select! {
                        () = listen(listener, counts) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Self { address, counts, stop: Some(stop), thread: Some(thread) }
    }

    /// Connections that have not ended yet, as far as the server has heard.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// Requests that have come so far and were not answered.
    pub(crate) fn held(&self) -> usize {
        self.counts.held.load(Ordering::SeqCst)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server has a complaint");
        }
    }
}

/// What an answer to `target` says.
pub(crate) fn content(target: &str) -> String {
    let times = if target.starts_with("/large/") { LARGE / target.len() } else { 1 };
    target.repeat(times)
}

async fn listen(listener: std::net::TcpListener, counts: Arc<Counts>) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let counts = Arc::clone(&counts);
                counts.open.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    let counts = Counted(counts);
                    stream.set_nodelay(true).ok();
                    // However it ended, the client has seen it too.
                    serve(stream, &counts.0).await.ok();
                });
            }
            Some(ended) = connections.join_next() => ended.expect("no panic"),
        }
    }
}

struct Counted(Arc<Counts>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, counts: &Counts) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(target) = next_request(&mut stream, &mut unread).await? {
        let answer = answer(content(&target));
        match target.split('/').nth(1).unwrap_or_default() {
            "halves" => {
                let (first, second) = answer.split_at(answer.len() - target.len() / 2);
                stream.write_all(first).await?;
                yield_now().await;
                stream.write_all(second).await?;
            }
            "close" => {
                let length = content(&target).len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
                );
                return stream.write_all(&[head.as_bytes(), target.as_bytes()].concat()).await;
            }
            "gone" => return stream.write_all(&answer).await,
            "stray" => {
                let stray =
                    Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray");
                stream.write_all(&[answer, stray].concat()).await?;
            }
            "cut" => return Ok(()),
            "held" => {
                counts.held.fetch_add(1, Ordering::SeqCst);
                while stream.read_buf(&mut unread).await? > 0 {}
                return Ok(());
            }
            _ => stream.write_all(&answer).await?,
        }
    }
    Ok(())
}

/// The target of the next request, whose body is read and forgotten; none at the end of the connection.
async fn next_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<Option<String>> {
    let Some(head) = read_to(stream, unread, b"\r\n\r\n").await? else { return Ok(None) };
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if field("transfer-encoding:").is_some() {
        if read_to(stream, unread, b"0\r\n\r\n").await?.is_none() {
            return Ok(None);
        }
    } else if let Some(length) = field("content-length:") {
        let length = length.parse().map_err(io::Error::other)?;
        while unread.len() < length {
            if stream.read_buf(unread).await? == 0 {
                return Ok(None);
            }
        }
        unread.drain(..length);
    }
    Ok(Some(target))
}

/// What comes up to a mark and with it; none at the end of the connection.
async fn read_to(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    mark: &[u8],
) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(place) = unread.windows(mark.len()).position(|window| window == mark) {
            return Ok(Some(unread.drain(..place + mark.len()).collect()));
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}
