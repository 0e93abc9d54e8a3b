//! What happens is counted for each address, and told to an observer.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};

use pool_core::{ErrorKind, Event, Observer, Reason, ServerInfo};
use pooled_fetch_tests::{
    Backend, Whole, answer, ends_idle, for_each_backend, get, start, start_with,
};

for_each_backend! {
    an_address_has_counts_of_its_own,
    an_observer_is_told_what_the_counts_say,
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";

async fn an_address_has_counts_of_its_own(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    assert!(caller.pool.stats_of(&caller.address).is_none(), "no caller has named it");
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    server.reuse(&mut connection, caller.fetch(get("/")), LAST).await;
    let stats = caller.pool.stats_of(&caller.address).expect("a known address");
    assert_eq!((stats.opened, stats.reused, stats.closed(Reason::Ended)), (1, 1, 1));
    assert_eq!(stats, caller.pool.stats(), "there is no other");
    ends_idle(caller).await;
}

/// What an observer was told, connection by connection.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Told>>);

impl Log {
    fn told(&self) -> Told {
        self.0.lock().expect("no thread panicked with it").clone()
    }
}

#[derive(Clone, Debug, Default)]
struct Told {
    open: HashSet<u64>,
    /// Opened twice, or closed and not open.
    astray: Vec<u64>,
    opened: u64,
    failed: Vec<ErrorKind>,
    lent: Vec<(u64, u64)>,
    home: Vec<u64>,
    closed: HashMap<Reason, u64>,
    addresses: HashSet<String>,
}

impl Observer for Log {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        let mut told = self.0.lock().expect("no thread panicked with it");
        told.addresses.insert(server.address().to_owned());
        match *event {
            Event::Opened { id, .. } => {
                told.opened += 1;
                if !told.open.insert(id) {
                    told.astray.push(id);
                }
            }
            Event::OpenFailed { error, .. } => told.failed.push(error.kind()),
            Event::CheckedOut { id, use_number, .. } => told.lent.push((id, use_number)),
            Event::CheckedIn { id, .. } => told.home.push(id),
            Event::Closed { id, reason, .. } => {
                if !told.open.remove(&id) {
                    told.astray.push(id);
                }
                *told.closed.entry(reason).or_default() += 1;
            }
            _ => {}
        }
    }
}

async fn an_observer_is_told_what_the_counts_say(backend: Backend) {
    let log = Log::default();
    let (caller, mut server) =
        start_with(backend, |settings| settings.observer(log.clone()).quarantine(false)).await;
    caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
    caller.fetch(get("/")).await.expect_err("refused");

    let (mut connection, _, response) = server.open(caller.send(get("/")), answer("first")).await;
    let id = response.body().connection().id();
    Whole::read(response).await.expect("a body");
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    connection.write("stray").await;
    caller.watch.until_open(0).await;
    let told = log.told();
    assert_eq!((told.lent, told.home), (vec![(id, 1), (id, 2)], vec![id, id]));
    assert_eq!((told.opened, told.open.len(), told.failed), (1, 0, vec![ErrorKind::Connect]));
    assert_eq!(told.addresses, HashSet::from([format!("{:?}", caller.address)]));

    server.open(caller.fetch(get("/")), LAST).await;
    let (_, _, response) = server.open(caller.send(get("/")), HALF).await;
    Whole::read(response).await.expect_err("cut in the middle");
    let (mut connection, _, response) = server.open(caller.send(get("/")), HALF).await;
    drop(response);
    connection.ends().await;
    let client = tokio::spawn(caller.fetch(get("/")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    client.abort();
    connection.ends().await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
    connection.finish().await;
    caller.watch.until_open(0).await;
    let (_retired, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;
    caller.pool.drain(&caller.address).await;
    caller.pool.sync([caller.address.clone()]);
    let (_idle, ..) = server.open(caller.fetch(get("/")), answer("idle")).await;

    let stats = caller.pool.stats();
    let told = log.told();
    assert_eq!((told.opened, told.open.len()), (stats.opened, stats.idle));
    for (reason, count) in &told.closed {
        assert_eq!(*count, stats.closed(*reason), "{reason:?}");
    }
    assert_eq!(told.closed.values().sum::<u64>(), stats.closed_total());
    assert_eq!(told.closed.len(), 7, "so many reasons: {:?}", told.closed);
    ends_idle(caller).await;
    let told = log.told();
    assert_eq!((told.open.len(), told.closed[&Reason::PoolClosed]), (0, 1));
    assert_eq!(told.astray, [0_u64; 0]);
}
