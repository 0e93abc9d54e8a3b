//! What becomes of requests to an address that fails: they wait for the next dial, or stay away, as the caller chooses.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{
    Backoff, ConnectOptions, Connected, Connector, ErrorKind, Event, Observer, Pool, ServerInfo,
    Target, async_trait,
};
use pooled_fetch_tests::{AnyStream, CutHttp1, Whole, bounded, get};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

/// Between two failures; three of them make an outage of twice that.
const APART: Duration = Duration::from_millis(100);

const RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

/// A server that can be up or down, and sees every dial.
#[derive(Clone, Debug)]
struct Switch {
    wires: CutHttp1,
    up: watch::Sender<bool>,
    dials: Arc<Mutex<Vec<Instant>>>,
}

impl Switch {
    fn down() -> Self {
        let (wires, up) = (CutHttp1::new(RESPONSE, []), watch::Sender::new(false));
        Self { wires, up, dials: Arc::default() }
    }

    fn dials(&self) -> Vec<Instant> {
        self.dials.lock().expect("no thread panics with it").clone()
    }
}

#[async_trait]
impl Connector for Switch {
    type Address = &'static str;
    type Stream = AnyStream;

    async fn connect(
        &self,
        address: &&'static str,
        options: &ConnectOptions,
    ) -> io::Result<Connected<AnyStream>> {
        self.dials.lock().expect("no thread panics with it").push(Instant::now());
        if *self.up.borrow() {
            self.wires.connect(address, options).await
        } else {
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    fn target(&self, address: &&'static str) -> Target {
        self.wires.target(address)
    }
}

fn pool(backoff: Backoff) -> (Pool<Switch>, Switch) {
    let switch = Switch::down();
    let pool =
        Pool::builder(switch.clone()).backoff(backoff).build().expect("settings that make sense");
    (pool, switch)
}

async fn kind(pool: &Pool<Switch>) -> ErrorKind {
    pool.http(&"wire", get("/")).await.expect_err("it is down").kind()
}

async fn fail_three_times(pool: &Pool<Switch>) {
    for _ in 0..3 {
        assert_eq!(pool.stats().backing_off, 0);
        advance(APART).await;
        assert_eq!(kind(pool).await, ErrorKind::Connect);
    }
    assert_eq!((pool.stats().backing_off, pool.stats().failed_to_open), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_requests_fail_at_once_without_a_dial() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Fail);
        fail_three_times(&pool).await;
        let since = Instant::now();
        for _ in 0..100 {
            assert_eq!(kind(&pool).await, ErrorKind::BackingOff);
        }
        assert_eq!((switch.dials().len(), since.elapsed()), (3, Duration::ZERO));
        let error = pool.http(&"wire", get("/")).await.expect_err("it is down");
        let told =
            "connecting to \"wire\": it could not be reached several times in a row, next try in ";
        assert!(error.to_string().starts_with(told), "{error}");
        assert!(error.into_request().is_ok(), "nothing was sent");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_with_the_outage_to_ten_seconds_and_end_with_the_first_success() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Fail);
        fail_three_times(&pool).await;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(300) {
            pool.http(&"wire", get("/")).await.expect_err("it is down");
            advance(Duration::from_millis(20)).await;
        }
        let dials = switch.dials();
        let longest = dials.windows(2).map(|two| two[1] - two[0]).max().expect("some dials");
        assert!(longest > Duration::from_secs(5), "{longest:?}");
        assert!(longest < Duration::from_millis(10_025), "{longest:?}");
        // Full jitter halves the pauses, so the mean is five seconds.
        assert!((30..150).contains(&dials.len()), "{} dials in five minutes", dials.len());
        switch.up.send_replace(true);
        advance(Duration::from_secs(10)).await;
        for _ in 0..2 {
            let response = pool.http(&"wire", get("/")).await.expect("it is up");
            Whole::read(response).await.expect("a body");
        }
        assert_eq!((pool.stats().backing_off, pool.stats().opened), (0, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_when_the_one_dial_that_tries_succeeds() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Wait);
        fail_three_times(&pool).await;
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let pool = pool.clone();
            clients.spawn(async move { pool.http(&"wire", get("/")).await });
        }
        switch.up.send_replace(true);
        while let Some(client) = clients.join_next().await {
            Whole::read(client.expect("no panic").expect("it is up")).await.expect("a body");
        }
        let dials = switch.dials();
        assert!(dials[3] > dials[2], "one tries after a pause");
        assert_eq!(pool.stats().backing_off, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_share_what_the_one_dial_says() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Wait);
        fail_three_times(&pool).await;
        let mut clients = JoinSet::new();
        for _ in 0..5 {
            let pool = pool.clone();
            clients.spawn(async move { kind(&pool).await });
        }
        assert_eq!(clients.join_all().await, [ErrorKind::Connect; 5]);
        assert_eq!(switch.dials().len(), 4, "one dial was for all of them");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cancelled_while_its_dial_was_to_try_leaves_the_try_to_others() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Wait);
        fail_three_times(&pool).await;
        let client = tokio::spawn({
            let pool = pool.clone();
            async move { pool.http(&"wire", get("/")).await }
        });
        tokio::task::yield_now().await;
        client.abort();
        switch.up.send_replace(true);
        let response = pool.http(&"wire", get("/")).await.expect("it is up");
        Whole::read(response).await.expect("a body");
        assert_eq!(pool.stats().backing_off, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_open_serves_while_others_cannot_be_opened() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Fail);
        switch.up.send_replace(true);
        let lease = pool.lease(&"wire").await.expect("it is up");
        switch.up.send_replace(false);
        fail_three_times(&pool).await;
        let client = tokio::spawn({
            let pool = pool.clone();
            async move { pool.http(&"wire", get("/")).await }
        });
        tokio::task::yield_now().await;
        drop(lease);
        let response = client.await.expect("no panic").expect("the open connection");
        assert_eq!(response.body().connection().id(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_it_is_turned_off_every_request_tries() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Off);
        for _ in 0..20 {
            assert_eq!(kind(&pool).await, ErrorKind::Connect);
        }
        assert_eq!((switch.dials().len(), pool.stats().backing_off), (20, 0));
    })
    .await;
}

/// Each request as soon as the one before has failed, and refusals as far as pauses make them.
#[tokio::test(start_paused = true)]
async fn no_pause_is_longer_than_the_outage_so_far() {
    for outage in [Duration::from_millis(30), Duration::from_secs(3), Duration::from_secs(60)] {
        bounded(async {
            let (pool, switch) = pool(Backoff::Fail);
            let start = Instant::now();
            while start.elapsed() < outage {
                pool.http(&"wire", get("/")).await.expect_err("it is down");
                advance(Duration::from_millis(1)).await;
            }
            switch.up.send_replace(true);
            let back = Instant::now();
            while let Err(error) = pool.http(&"wire", get("/")).await {
                assert_eq!(error.kind(), ErrorKind::BackingOff);
                advance(Duration::from_millis(1)).await;
            }
            let longest = (back - start).min(Duration::from_secs(10));
            assert!(back.elapsed() <= longest, "{:?} after {outage:?}", back.elapsed());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_when_the_caller_names_the_address() {
    for how in 0..3 {
        bounded(async {
            let (pool, switch) = pool(Backoff::Fail);
            // Until a pause has just begun, and is none of the shortest.
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(60)
                || kind(&pool).await != ErrorKind::BackingOff
            {
                pool.http(&"wire", get("/")).await.expect_err("it is down");
                advance(Duration::from_millis(50)).await;
            }
            switch.up.send_replace(true);
            assert_eq!(kind(&pool).await, ErrorKind::BackingOff);
            match how {
                0 => pool.warm(&"wire", 1).await.expect("it is up"),
                1 => assert!(pool.sync(["wire"]).is_empty()),
                _ => assert!(pool.retain(|address| *address == "wire").is_empty()),
            }
            let response = pool.http(&"wire", get("/")).await.expect("it is up");
            Whole::read(response).await.expect("a body");
            assert_eq!(pool.stats().backing_off, 0);
        })
        .await;
    }
}

/// They wait for the one dial that tries, and are not refused for it.
#[tokio::test(start_paused = true)]
async fn requests_after_the_caller_has_named_the_address_wait_for_one_dial() {
    bounded(async {
        let (pool, switch) = pool(Backoff::Fail);
        fail_three_times(&pool).await;
        pool.sync(["wire"]);
        let clients: JoinSet<_> = (0..5)
            .map(|_| {
                let pool = pool.clone();
                async move { kind(&pool).await }
            })
            .collect();
        assert_eq!(clients.join_all().await, [ErrorKind::Connect; 5]);
        assert_eq!(switch.dials().len(), 4);
    })
    .await;
}

#[derive(Default)]
struct Pauses(Mutex<Vec<Duration>>);

impl Observer for Pauses {
    fn observe(&self, _: &ServerInfo, event: &Event<'_>) {
        if let Event::BackingOff { pause, .. } = event {
            self.0.lock().expect("no thread panics with it").push(*pause);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_when_an_address_is_left_alone() {
    bounded(async {
        let (switch, pauses) = (Switch::down(), Arc::<Pauses>::default());
        let builder = Pool::builder(switch).backoff(Backoff::Fail).observer(Arc::clone(&pauses));
        let pool = builder.build().expect("settings that make sense");
        fail_three_times(&pool).await;
        let told = pauses.0.lock().expect("no thread panicked with it");
        assert!(matches!(told[..], [pause] if pause <= APART * 2), "{told:?}");
    })
    .await;
}
