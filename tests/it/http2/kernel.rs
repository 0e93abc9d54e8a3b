//! Before a connection that has rested is lent, the kernel is asked what has come meanwhile, whatever the runtime knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use h2::Reason as Code;
use pool_core::{Http2, Pool, Reason};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::raw_http2::{END_STREAM, OK, frame, kind};
use pooled_fetch_tests::{Whole, bounded, get};

/// What a server says while the thread of its client is busy.
#[derive(Clone, Copy, Debug)]
enum Says {
    Goodbye,
    Nothing,
}

/// The next request of a client; none when it has gone.
fn request(stream: &mut TcpStream) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, _, i, j, k, l] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).ok()?;
        if kind == kind::HEADERS {
            return Some(u32::from_be_bytes([i, j, k, l]));
        }
    }
}

/// Serves one request on each connection; says goodbye when it is told to, and closes.
fn serve(listener: &TcpListener, says: Says, idle: &Receiver<()>, closed: &Sender<()>) {
    loop {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut preface = [0; 24];
        if stream.read_exact(&mut preface).is_err() {
            return;
        }
        stream.write_all(&frame(kind::SETTINGS, 0, 0, &[])).expect("a client");
        let Some(number) = request(&mut stream) else { return };
        let answer =
            [frame(kind::HEADERS, 4, number, OK), frame(kind::DATA, END_STREAM, number, b"done")];
        stream.write_all(&answer.concat()).expect("a client");
        if idle.recv().is_err() {
            return;
        }
        if matches!(says, Says::Goodbye) {
            let payload = [number.to_be_bytes(), u32::from(Code::NO_ERROR).to_be_bytes()].concat();
            stream.write_all(&frame(kind::GOAWAY, 0, 0, &payload)).expect("a client");
        }
        drop(stream);
        closed.send(()).expect("a client");
    }
}

async fn fetch(pool: &Pool<TcpConnector>, address: &SocketAddr) -> Whole {
    let response = pool.http(address, get("/")).await.expect("a response");
    Whole::read(response).await.expect("a body")
}

/// A thread that is busy from one request to the next learns of nothing from its runtime.
async fn goes_over_the_next_connection(says: Says) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (is_idle, idle) = channel();
    let (closed, is_closed) = channel();
    let server = thread::spawn(move || serve(&listener, says, &idle, &closed));
    let pool = Pool::builder(TcpConnector::new())
        .http2(Http2::Assumed)
        .http2_probe_after(Duration::ZERO)
        .build()
        .expect("settings that make sense");
    for turn in 0..20 {
        assert_eq!(fetch(&pool, &address).await.body, "done");
        let stats = pool.stats();
        assert_eq!((stats.opened, stats.retried, stats.stale), (turn + 1, 0, 0), "{says:?}");
        is_idle.send(()).expect("a server");
        is_closed.recv().expect("a server that closes");
    }
    assert_eq!(pool.stats().closed(Reason::ClosedByPeer), 19);
    drop((pool, is_idle));
    // It waits for one more client.
    drop(TcpStream::connect(address));
    server.join().expect("no panic");
}

#[tokio::test]
async fn a_connection_whose_end_has_come_is_not_lent() {
    bounded(goes_over_the_next_connection(Says::Nothing)).await;
}

#[tokio::test]
async fn a_connection_whose_goaway_has_come_is_not_lent() {
    bounded(goes_over_the_next_connection(Says::Goodbye)).await;
}
