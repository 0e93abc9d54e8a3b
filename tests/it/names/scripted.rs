//! A name in memory, whose addresses behave as a test says.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::Authority;
use pool_core::{
    Builder, ConnectOptions, Connected, Connector, Error, Pool, Resolved, Resolving, Target,
    async_trait,
};
use pooled_fetch_tests::{get, let_pass};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// What an address does with a connect.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Behaviour {
    #[default]
    Takes,
    TakesAfter(Duration),
    Refuses,
    RefusesAfter(Duration),
    Hangs,
    /// It answers, and then the handshake takes so long.
    ShakesHandsFor(Duration),
}

#[derive(Debug, Default)]
struct State {
    answer: Vec<SocketAddr>,
    good_for: Option<Duration>,
    fails: Option<io::ErrorKind>,
    fails_once: Option<i32>,
    behaviours: HashMap<SocketAddr, Behaviour>,
    resolutions: usize,
    connects: Vec<SocketAddr>,
    open: HashMap<SocketAddr, usize>,
}

/// A connector whose only address is the name "name.test".
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<State>>);

/// An address behind the name, by its last number.
pub(super) fn address(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 80).into()
}

impl Names {
    pub(super) fn new(answer: impl IntoIterator<Item = u8>) -> Self {
        let names = Self::default();
        names.set_answer(answer);
        names
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_answer(&self, answer: impl IntoIterator<Item = u8>) {
        let mut state = self.state();
        (state.answer, state.fails) = (answer.into_iter().map(address).collect(), None);
    }

    pub(super) fn set_good_for(&self, time: Duration) {
        self.state().good_for = Some(time);
    }

    pub(super) fn fail_with(&self, kind: io::ErrorKind) {
        self.state().fails = Some(kind);
    }

    /// The next resolution fails with this code of the system.
    pub(super) fn fail_once_with(&self, code: i32) {
        self.state().fails_once = Some(code);
    }

    pub(super) fn set(&self, last: u8, behaviour: Behaviour) {
        self.state().behaviours.insert(address(last), behaviour);
    }

    pub(super) fn resolutions(&self) -> usize {
        self.state().resolutions
    }

    /// The last numbers of the addresses that were connected to, in order.
    pub(super) fn connects(&self) -> Vec<u8> {
        let last =
            |address: &SocketAddr| address.to_string().split(['.', ':']).nth(3).map(str::to_owned);
        let connects = &self.state().connects;
        connects.iter().filter_map(last).filter_map(|last| last.parse().ok()).collect()
    }

    /// How many connections to an address are open.
    pub(super) fn open(&self, last: u8) -> usize {
        self.state().open.get(&address(last)).copied().unwrap_or_default()
    }

    pub(super) fn pool(&self) -> Pool<Self> {
        self.pool_with(|settings| settings)
    }

    pub(super) fn pool_with(&self, set: impl FnOnce(Builder<Self>) -> Builder<Self>) -> Pool<Self> {
        set(Pool::builder(self.clone())).build().expect("settings that make sense")
    }
}

/// Sends a GET, and gives the last number of the address that has answered it.
pub(super) async fn fetch(pool: &Pool<Names>) -> Result<u8, Error> {
    let response = pool.http(&"name.test", get("/")).await?;
    let peer = response.body().connection().peer_address().expect("a peer");
    let SocketAddr::V4(peer) = peer else { unreachable!("all are of IPv4") };
    Ok(peer.ip().octets()[3])
}

/// The same addresses without a name before them.
#[derive(Clone, Debug)]
pub(super) struct Numbers(pub(super) Names);

#[async_trait]
impl Connector for Numbers {
    type Address = SocketAddr;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        address: &SocketAddr,
        options: &ConnectOptions,
    ) -> io::Result<Connected<DuplexStream>> {
        self.0.connect(&"number", &options.clone().with_peer(*address)).await
    }

    fn target(&self, _: &SocketAddr) -> Target {
        Target::http(Authority::from_static("number.test"))
    }
}

#[async_trait]
impl Connector for Names {
    type Address = &'static str;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        _: &Self::Address,
        options: &ConnectOptions,
    ) -> io::Result<Connected<DuplexStream>> {
        let peer = options.peer.expect("one of those behind the name");
        let behaviour = {
            let mut state = self.state();
            state.connects.push(peer);
            state.behaviours.get(&peer).copied().unwrap_or_default()
        };
        match behaviour {
            Behaviour::Takes => {}
            Behaviour::TakesAfter(time) => let_pass(time).await,
            Behaviour::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Behaviour::RefusesAfter(time) => {
                let_pass(time).await;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::ShakesHandsFor(time) => {
                options.reached_peer();
                let_pass(time).await;
            }
        }
        let (ours, theirs) = duplex(1024);
        *self.state().open.entry(peer).or_default() += 1;
        tokio::spawn(serve(theirs, self.clone(), peer));
        Ok(Connected::new(ours).with_addresses(None, Some(peer)))
    }

    fn resolve<'a>(&'a self, _: &'a Self::Address) -> Option<Resolving<'a>> {
        Some(Box::pin(async {
            let mut state = self.state();
            state.resolutions += 1;
            if let Some(code) = state.fails_once.take() {
                return Err(io::Error::from_raw_os_error(code));
            }
            match state.fails {
                Some(kind) => Err(kind.into()),
                None => Ok(Resolved::interleaved(state.answer.iter().copied())
                    .with_good_for(state.good_for)),
            }
        }))
    }

    fn target(&self, name: &Self::Address) -> Target {
        Target::http(Authority::from_static(name))
    }
}

/// How long the second half of the answer to `/slow` takes.
pub(super) const SLOW: Duration = Duration::from_secs(300);

/// Answers every request, until the connection closes.
async fn serve(mut stream: DuplexStream, names: Names, peer: SocketAddr) {
    let mut request = Vec::new();
    while stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if request.ends_with(b"\r\n\r\n") {
            let is_slow = request.starts_with(b"GET /slow ");
            request.clear();
            if is_slow {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await.ok();
                let_pass(SLOW).await;
                stream.write_all(b"half").await.ok();
            } else {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
            }
        }
    }
    *names.state().open.entry(peer).or_default() -= 1;
}
