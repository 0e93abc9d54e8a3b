//! A thousand requests at once and eight connections, a third of the requests given up at some point.
//!
//! The server counts: it looks at all of its sockets whenever another one comes, so a connection that the
//! client has closed is not counted beside the one that took its place. Client and server share a thread,
//! and the order in which requests begin is that in which they were given a connection.

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use pool_core::{Builder, Error, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, answer, eventually};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::knobs::{Seed, Watchdog, polled, rounds};

const LIMIT: usize = 8;
const REQUESTS: usize = 1_000;

#[tokio::test]
async fn a_thousand_requests_share_the_eight_connections_of_an_address_in_their_order() {
    crowds(1, |settings| settings.max_connections_per_address(LIMIT)).await;
}

#[tokio::test]
async fn a_thousand_requests_share_the_eight_connections_of_a_pool_in_the_order_of_each_address() {
    crowds(3, |settings| settings.max_connections(LIMIT)).await;
}

async fn crowds(addresses: usize, settings: fn(Builder<TcpConnector>) -> Builder<TcpConnector>) {
    let rounds = rounds(3);
    let _watchdog = Watchdog::new(Duration::from_secs(20) * rounds);
    let seed = Seed::new();
    for round in 0..rounds {
        crowd(addresses, settings, seed.part(round as usize)).await;
    }
}

async fn crowd(
    addresses: usize,
    settings: fn(Builder<TcpConnector>) -> Builder<TcpConnector>,
    mut random: fastrand::Rng,
) {
    let house = Arc::<House>::default();
    let mut doors = JoinSet::new();
    let addresses: Vec<_> = (0..addresses).map(|_| house.open_door(&mut doors)).collect();
    let settings = settings(Pool::builder(TcpConnector::new())).checkout_timeout(None);
    let pool = settings.build().expect("sensible settings");

    let begun = Arc::<Mutex<Vec<(SocketAddr, usize)>>>::default();
    let mut requests = JoinSet::new();
    let mut given_up: Vec<(usize, AbortHandle)> = Vec::new();
    for number in 0..REQUESTS {
        let address = addresses[random.usize(..addresses.len())];
        let target = format!("/{number}");
        let body = Begins { entry: Some((address, number)), log: Arc::clone(&begun) };
        let request = Request::post(&target).body(body).expect("a request");
        let client = fetch(pool.clone(), address, request);
        let polls = if random.u8(..6) == 0 { random.usize(..6) } else { usize::MAX };
        let task = requests.spawn(async move {
            let whole = polled(client, polls).await?;
            assert_eq!(whole.expect("a response").body, target);
            Some(())
        });
        if random.u8(..6) == 0 {
            // When so many have been answered, wherever it is by then.
            given_up.push((random.usize(..REQUESTS), task));
        }
    }
    let mut answered = house.answered.subscribe();
    let mut served = 0;
    let giving_up = async {
        while answered.changed().await.is_ok() {
            let so_many = *answered.borrow_and_update();
            for (_, task) in given_up.extract_if(.., |(after, _)| *after <= so_many) {
                task.abort();
            }
        }
    };
    let all = async {
        while let Some(request) = requests.join_next().await {
            match request {
                Ok(outcome) => served += usize::from(outcome.is_some()),
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = giving_up => unreachable!("the sender is borrowed, so it lives"),
    }

    assert!(served >= REQUESTS / 2, "only {served} were served");
    assert_eq!(house.peak.load(Ordering::SeqCst), LIMIT, "as many as are allowed, and no more");
    let begun = std::mem::take(&mut *begun.lock().unwrap_or_else(PoisonError::into_inner));
    for address in addresses {
        let numbers = begun.iter().filter(|(to, _)| *to == address).map(|(_, number)| number);
        assert!(numbers.is_sorted(), "served in the order of arrival");
    }
    eventually("the pool comes to rest", || {
        let stats = pool.stats();
        (stats.opening, stats.leased, stats.waiting) == (0, 0, 0)
    })
    .await;
    let stats = pool.stats();
    let idle = stats.idle + stats.parked;
    assert_eq!(stats.opened, idle as u64 + stats.closed_total(), "none is lost: {stats:?}");
    assert_eq!(house.open(), idle, "the server has the same count");
    drop(pool);
    assert_eq!(house.open(), 0, "all is closed");
}

async fn fetch(
    pool: Pool<TcpConnector>,
    address: SocketAddr,
    request: Request<Begins>,
) -> Result<Whole, Error> {
    Whole::read(pool.http(&address, request).await?).await
}

/// A body of one byte that logs when it begins to go out, which is when its request has a connection.
struct Begins {
    entry: Option<(SocketAddr, usize)>,
    log: Arc<Mutex<Vec<(SocketAddr, usize)>>>,
}

impl Body for Begins {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(entry) = self.entry.take() else { return Poll::Ready(None) };
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"!")))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::from(self.entry.is_some()))
    }
}

/// Servers that count their clients together.
#[derive(Default)]
struct House {
    guests: Mutex<Vec<Arc<Guest>>>,
    peak: AtomicUsize,
    answered: watch::Sender<usize>,
}

impl House {
    fn open_door(self: &Arc<Self>, doors: &mut JoinSet<()>) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port on the loopback");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("a bound socket has an address");
        let listener = TcpListener::from_std(listener).expect("a socket");
        let house = Arc::clone(self);
        doors.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let guest = Arc::new(Guest::new(stream));
                house.guests().push(Arc::clone(&guest));
                house.peak.fetch_max(house.open(), Ordering::SeqCst);
                let house = Arc::clone(&house);
                talks.spawn(async move { guest.talk(&house).await });
            }
        });
        address
    }

    /// How many have not left, by the kernel's word of this moment.
    fn open(&self) -> usize {
        let mut guests = self.guests();
        guests.retain(|guest| {
            guest.listen();
            !guest.has_left()
        });
        guests.len()
    }

    fn guests(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Guest>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Guest {
    stream: TcpStream,
    unread: Mutex<Vec<u8>>,
    left: AtomicBool,
}

impl Guest {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        Self { stream, unread: Mutex::default(), left: AtomicBool::new(false) }
    }

    fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Takes in everything that the kernel has.
    fn listen(&self) -> std::io::Error {
        loop {
            let mut piece = [0; 4096];
            match (&*SockRef::from(&self.stream)).read(&mut piece) {
                Ok(length) if length > 0 => self.unread().extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return error,
                _ => {
                    self.left.store(true, Ordering::SeqCst);
                    return std::io::ErrorKind::UnexpectedEof.into();
                }
            }
        }
    }

    async fn talk(&self, house: &House) {
        while !self.has_left() && self.stream.readable().await.is_ok() {
            let listened = self.stream.try_io(Interest::READABLE, || Err::<(), _>(self.listen()));
            assert!(listened.is_err(), "it listens until there is nothing more");
            while let Some(target) = self.next_request() {
                // A client that has left needs no answer.
                self.stream.try_write(&answer(target)).ok();
                house.answered.send_modify(|answered| *answered += 1);
            }
        }
    }

    /// The target of the next request that has come whole, with its body of one byte.
    fn next_request(&self) -> Option<String> {
        let mut unread = self.unread();
        let head = unread.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        if unread.len() == head {
            return None;
        }
        let request: Vec<_> = unread.drain(..=head).collect();
        let request = String::from_utf8(request).expect("a request of text");
        request.split(' ').nth(1).map(str::to_owned)
    }

    fn unread(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
