//! The race that every pool runs with its servers: they give a connection up while it is about to be reused.
//!
//! A server closes, or writes an answer that no request asked for, 100 µs after its answer, and then says over a
//! side channel that it has. A client whose runtime is busy meanwhile, or idle, sends its next request. Where
//! the word came before the checkout, the truth lay in the kernel and was there to be had: no request may
//! fail, whatever its method, and none may get a wrong answer. Where it came later, the client cannot tell the
//! server's stray answer from the right one, and a POST may have been lost on the way; a GET is sent again.
//!
//! Time passes here on purpose, by a clock and by a spinning processor: that is the scenario.

use std::collections::HashMap;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use pool_core::{Error, ErrorKind, Pool, Written};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, answer};
use tokio::runtime;

use crate::knobs::{Seed, Watchdog, rounds};

/// The server gives its connection up so long after its answer.
const GRACE: Duration = Duration::from_micros(100);

#[test]
fn a_connection_that_its_server_has_given_up_fails_no_request_and_answers_none() {
    let rounds = rounds(2_000);
    // Of four milliseconds at most for a round, ten times as much.
    let _watchdog = Watchdog::new(Duration::from_secs(30) + Duration::from_millis(40) * rounds);
    let seed = Seed::new();
    let server = Server::start();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tally = runtime.block_on(client(&server, rounds as usize, seed.part(0)));
    let received = server.stop();

    println!("{rounds} rounds: {tally:#?}");
    let Tally { after_the_word, before_the_word } = tally;
    assert_eq!(after_the_word.wrong, 0, "a stray answer was taken for the right one");
    assert!(after_the_word.failed.is_empty(), "the truth was there to be had");
    // What may have reached the server is sent again only if it may be executed twice, and nothing else fails.
    let posts = before_the_word.failed.get(&(Method::POST, ErrorKind::Response, Written::Whole));
    let failed: usize = before_the_word.failed.values().sum();
    assert_eq!(failed, *posts.unwrap_or(&0), "a GET, or without evidence");
    for (request, times) in received {
        assert!(times == 1 || !is_post(request), "POST {request} came {times} times");
    }
    assert!(after_the_word.requests > 0, "the word never came in time: nothing was shown");
}

fn is_post(round: usize) -> bool {
    round % 2 == 1
}

fn is_stray(round: usize) -> bool {
    round / 2 % 2 == 1
}

#[derive(Debug, Default)]
struct Tally {
    /// The server had said that it has given the connection up, before the next request began.
    after_the_word: Requests,
    /// It had not.
    before_the_word: Requests,
}

#[derive(Debug, Default)]
struct Requests {
    requests: usize,
    wrong: usize,
    failed: HashMap<(Method, ErrorKind, Written), usize>,
}

async fn client(server: &Server, rounds: usize, mut random: fastrand::Rng) -> Tally {
    let pool =
        Pool::builder(TcpConnector::new()).quarantine(false).build().expect("sensible settings");
    let mut tally = Tally::default();
    // The round whose connection, or none, awaits the next request.
    let mut connected = None;
    for round in 0..rounds {
        let said = connected.is_none_or(|before| server.has_given_up(before));
        let of = if said { &mut tally.after_the_word } else { &mut tally.before_the_word };
        of.requests += 1;
        match fetch(&pool, server.address, round).await {
            Ok(whole) => {
                of.wrong += usize::from(whole.body != round.to_string());
                connected = Some(round);
            }
            Err(error) => {
                let method = if is_post(round) { Method::POST } else { Method::GET };
                let how = (method, error.kind(), error.evidence().written());
                *of.failed.entry(how).or_default() += 1;
                connected = None;
            }
        }
        match round / 4 % 3 {
            0 => spin(Duration::from_micros(600)),
            #[expect(clippy::disallowed_methods, reason = "the pause is what this client does")]
            1 => tokio::time::sleep(Duration::from_millis(2)).await,
            // Right at the moment when it happens.
            _ => spin(random.u32(..GRACE.as_micros() as u32) * Duration::from_micros(1)),
        }
    }
    tally
}

async fn fetch(
    pool: &Pool<TcpConnector>,
    address: SocketAddr,
    round: usize,
) -> Result<Whole, Error> {
    let uri = format!("/{round}");
    let head = if is_post(round) { Request::post(uri) } else { Request::get(uri) };
    let request = head.body(Full::<Bytes>::default()).expect("a request");
    Whole::read(pool.http(&address, request).await?).await
}

fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        spin_loop();
    }
}

/// Serves one connection after the other, each with one answer, in a thread of its own.
struct Server {
    address: SocketAddr,
    /// All connections up to that which served this round have been given up; rounds count from one here.
    given_up: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<HashMap<usize, usize>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (given_up, stopped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (given_up, stopped) = (Arc::clone(&given_up), Arc::clone(&stopped));
            move || serve(&listener, &given_up, &stopped)
        });
        Self { address, given_up, stopped, thread }
    }

    fn has_given_up(&self, round: usize) -> bool {
        self.given_up.load(Ordering::SeqCst) > round
    }

    /// How often each request has come.
    fn stop(self) -> HashMap<usize, usize> {
        self.stopped.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).expect("a server that listens");
        self.thread.join().expect("a server without complaints")
    }
}

fn serve(
    listener: &TcpListener,
    given_up: &AtomicUsize,
    stopped: &AtomicBool,
) -> HashMap<usize, usize> {
    let mut received = HashMap::new();
    loop {
        let (mut stream, _) = listener.accept().expect("a client");
        if stopped.load(Ordering::SeqCst) {
            return received;
        }
        stream.set_nodelay(true).expect("a socket");
        let Some(round) = read_request(&mut stream) else { continue };
        *received.entry(round).or_default() += 1;
        if stream.write_all(&answer(round.to_string())).is_err() {
            continue;
        }
        spin(GRACE);
        if !is_stray(round) {
            drop(stream);
            given_up.store(round + 1, Ordering::SeqCst);
            continue;
        }
        // The client may be quicker and send another request: it came, but has had its answer.
        stream.write_all(&answer("stray")).ok();
        given_up.store(round + 1, Ordering::SeqCst);
        let late = read_request(&mut stream);
        drop(stream);
        if let Some(late) = late {
            *received.entry(late).or_default() += 1;
            given_up.store(late + 1, Ordering::SeqCst);
        }
    }
}

/// The number of the next request, or none if the client has closed.
fn read_request(stream: &mut TcpStream) -> Option<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 512];
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => head.extend_from_slice(&piece[..length]),
        }
    }
    let head = std::str::from_utf8(&head).expect("a head of text");
    let target = head.split(' ').nth(1).expect("a target in the first line");
    Some(target.trim_start_matches('/').parse().expect("the number of a round"))
}
