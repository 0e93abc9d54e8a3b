//! An observer is told how old a connection is that closes, and what it has carried.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pool_core::{Carried, Event, Observer, Reason, ServerInfo};
use pooled_fetch_tests::{Backend, answer, bounded, for_each_backend, get, post, start_with};
use tokio::time::advance;

use crate::http2::{start_http2, under_way};

for_each_backend! {
    what_a_connection_has_carried_is_told_as_it_closes,
}

/// What was told of connections that closed.
#[derive(Clone, Debug, Default)]
struct Closed(Arc<Mutex<Vec<(Reason, Duration, Carried)>>>);

impl Observer for Closed {
    fn observe(&self, _: &ServerInfo, event: &Event<'_>) {
        if let Event::Closed { reason, age, carried, .. } = *event {
            self.0.lock().push((reason, age, carried));
        }
    }
}

impl Closed {
    fn only(&self) -> (Reason, Duration, Carried) {
        let all = self.0.lock();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }
}

async fn what_a_connection_has_carried_is_told_as_it_closes(backend: Backend) {
    let closed = Closed::default();
    let (caller, mut server) =
        start_with(backend, |settings| settings.observer(closed.clone())).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let content = "x".repeat(1000);
    server.reuse(&mut connection, caller.fetch(post("/", content)), answer("next")).await;
    caller.pool.close_idle();
    let (reason, _, carried) = closed.only();
    assert_eq!((reason, carried.requests), (Reason::Unwanted, 2));
    assert!((1000..1500).contains(&carried.written), "{carried:?}");
    let answers = answer("first").len() + answer("next").len();
    assert_eq!(carried.read, answers as u64);
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_or_detached_has_carried_what_it_has_and_grows_old() {
    bounded(async {
        let hour = Duration::from_secs(3600);
        for parked in [true, false] {
            let closed = Closed::default();
            let (caller, mut server) = start_with(Backend::Memory, |settings| {
                settings
                    .observer(closed.clone())
                    .idle_timeout(hour * 2)
                    .park_after(Duration::from_secs(1))
            })
            .await;
            let (_open, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
            let held = if parked {
                advance(hour).await;
                while caller.pool.stats().parked == 0 {
                    tokio::task::yield_now().await;
                }
                caller.pool.close_idle();
                None
            } else {
                let mut held = caller.pool.lease(&caller.address).await.expect("idle").hold();
                advance(hour).await;
                held.detach().await.expect("HTTP/1");
                Some(held)
            };
            let (reason, age, carried) = closed.only();
            assert_eq!(reason, if parked { Reason::Unwanted } else { Reason::Detached });
            assert_eq!((age, carried.requests), (hour, 1));
            drop(held);
            closed.only();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_has_carried_what_went_over_its_streams() {
    bounded(async {
        let closed = Closed::default();
        let (caller, mut server) =
            start_http2(100, |settings| settings.observer(closed.clone())).await;
        for number in 1..=3_u8 {
            let path = format!("/{number}");
            let (client, stream) = under_way(&caller, &mut server, &path).await;
            stream.answer("content");
            client.await.expect("no panic").expect("a response");
        }
        let before = (caller.watch.written(), caller.watch.read());
        caller.pool.close_idle();
        caller.watch.until_open(0).await;
        let (reason, _, carried) = closed.only();
        assert_eq!((reason, carried.requests), (Reason::Unwanted, 3));
        assert_eq!(carried.read, before.1);
        assert!(carried.written >= before.0, "{carried:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_carries_nothing_is_told_too() {
    bounded(async {
        let closed = Closed::default();
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(closed.clone())).await;
        let warm = tokio::spawn({
            let (pool, address) = (caller.pool.clone(), caller.address.clone());
            async move { pool.warm(&address, 1).await.map(|_| ()) }
        });
        let _connection = server.accept().await;
        warm.await.expect("no panic").expect("it opens");
        caller.pool.close_idle();
        let (reason, _, carried) = closed.only();
        assert_eq!((reason, carried), (Reason::Unwanted, Carried::default()));
    })
    .await;
}
