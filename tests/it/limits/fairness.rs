//! No request waits for ever beside others that are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pool_core::{Builder, Error, Pool};
use pooled_fetch_tests::{
    Backend, Boxed, Caller, Connection, EchoServer, Endpoint, Interrupted, Lent, Server, Whole,
    answer, bounded, ends_idle, eventually, for_each_backend, get, poll_once, settle,
    start_many_addresses, start_with,
};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

for_each_backend! {
    a_busy_address_leaves_room_for_another,
    a_request_that_comes_while_the_one_connection_is_looked_after_is_served,
    a_runtime_that_stands_still_blocks_no_other,
    a_runtime_that_stands_still_costs_no_other_its_connection,
    a_request_lets_those_read_first_whose_responses_have_come,
    a_request_does_not_give_way_to_one_that_has_gone,
    a_request_that_is_cancelled_while_it_gives_way_leaves_its_connection_idle,
    a_connection_that_was_handed_on_rests_when_its_request_is_cancelled_before_it_began,
}

async fn a_busy_address_leaves_room_for_another(backend: Backend) {
    let settings = |builder: Builder<_>| builder.max_connections(1);
    let (mut callers, servers) = start_many_addresses(backend, 2, settings).await;
    let _services: Vec<_> =
        servers.into_iter().map(|server| EchoServer::start(server, |_| answer("served"))).collect();
    let mut busy = JoinSet::new();
    for _ in 0..2 {
        let caller = callers[0].clone();
        busy.spawn(async move {
            loop {
                caller.fetch(get("/busy")).await.expect("a response");
            }
        });
    }
    eventually("the address is busy", || callers[0].pool.stats().reused > 10).await;
    for _ in 0..20 {
        callers[1].fetch(get("/other")).await.expect("its turn comes");
    }
    busy.shutdown().await;
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

/// The task that looks after a connection, or parks it, takes it out of rest meanwhile and lays it back. A request
/// that comes just then finds nothing at rest, and no room.
async fn a_request_that_comes_while_the_one_connection_is_looked_after_is_served(backend: Backend) {
    // As soon as it stirs, or at the watcher's next pass.
    for (park_after, stirs) in [(None, true), (Some(Duration::ZERO), false)] {
        let Endpoint { connector, address, acceptor } = backend.start().await;
        let _service = EchoServer::start(Server::new(acceptor), |_| answer("served"));
        let (connector, next_read) = Interrupted::new(connector);
        let settings = Pool::builder(connector).max_connections_per_address(1);
        let settings = settings.park_after(park_after).checkout_timeout(None);
        let pool = settings.build().expect("sensible settings");
        let fetch = || {
            let (pool, address) = (pool.clone(), address.clone());
            Box::pin(async move { Whole::read(pool.http(&address, get("/")).await?).await })
        };
        fetch().await.expect("a response");
        let (begin, mut begun) = mpsc::unbounded_channel();
        let mut client = fetch();
        next_read.interrupt(move || {
            let waits = poll_once(client.as_mut()).is_pending();
            begin.send((client, waits)).ok();
        });
        if stirs {
            next_read.stir();
        }
        let (client, waits) = begun.recv().await.expect("a look at the connection");
        assert!(waits, "its connection was not at rest");
        client.await.expect("a response");
        assert_eq!(pool.stats().opened, 1);
    }
}

async fn a_runtime_that_stands_still_blocks_no_other(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections(1).checkout_timeout(None)).await;
    let lent = Lent::open(&caller, &mut server).await;
    // No thread drives it after this.
    let still = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut waiting = caller.fetch(get("/still"));
    {
        let _there = still.enter();
        assert!(poll_once(waiting.as_mut()).is_pending());
    }
    drop(lent);
    let _service = EchoServer::start(server, |_| answer("served"));
    for _ in 0..3 {
        bounded(caller.fetch(get("/here"))).await.expect("a response");
    }
    drop(waiting);
    still.shutdown_background();
    ends_idle(caller).await;
}

/// It is called as soon as there is room, and does not come. Others use the room, and what they lay to rest is
/// not closed for its sake time and again; but when it wakes up at last, it is served.
async fn a_runtime_that_stands_still_costs_no_other_its_connection(backend: Backend) {
    let limits: [fn(Builder<_>) -> Builder<_>; 2] = [
        |settings| settings.max_connections(1),
        |settings| settings.max_connections_per_address(1),
    ];
    for limit in limits {
        let (caller, mut server) =
            start_with(backend, |settings| limit(settings).checkout_timeout(None)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let still = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut waiting = caller.fetch(get("/still"));
        {
            let _there = still.enter();
            assert!(poll_once(waiting.as_mut()).is_pending());
        }
        drop(lent.come_home().await);
        let service = EchoServer::start(server, |request| answer(request.target()));
        for _ in 0..5 {
            bounded(caller.fetch(get("/here"))).await.expect("a response");
        }
        let by: Vec<_> = service.served().into_iter().map(|(connection, _)| connection).collect();
        assert_eq!(by, [2; 5], "one connection served them all");

        let woken = std::thread::spawn(move || still.block_on(waiting));
        eventually("it ends", || woken.is_finished()).await;
        let whole = woken.join().expect("no panic").expect("a response");
        assert_eq!((whole.body.as_ref(), caller.watch.peak()), (b"/still".as_ref(), 1));
        drop(service);
        ends_idle(caller).await;
    }
}

async fn a_request_lets_those_read_first_whose_responses_have_come(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings).await;
    let (mut connection, due) = next_to_a_pending_read(&caller, &mut server).await;
    let written = caller.watch.written();
    let mut next = caller.fetch(get("/next"));
    assert!(poll_once(next.as_mut()).is_pending());
    assert_eq!(caller.watch.written(), written, "nothing is sent before it");

    due.await.expect("a response");
    assert!(poll_once(next.as_mut()).is_pending());
    assert!(caller.watch.written() > written, "no request is left that it could wait for");
    server.reuse(&mut connection, next, answer("next")).await;
    ends_idle(caller).await;
}

/// It would wake another thread each time that it gave way.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn in_a_runtime_of_many_threads_a_request_is_sent_at_once() {
    bounded(async {
        let (caller, mut server) = start_with(Backend::Tcp, |settings| settings).await;
        let (mut connection, due) = next_to_a_pending_read(&caller, &mut server).await;
        let written = caller.watch.written();
        let mut next = caller.fetch(get("/next"));
        assert!(poll_once(next.as_mut()).is_pending());
        assert!(caller.watch.written() > written, "it waits for another");
        due.await.expect("a response");
        server.reuse(&mut connection, next, answer("next")).await;
        ends_idle(caller).await;
    })
    .await;
}

async fn a_request_does_not_give_way_to_one_that_has_gone(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings).await;
    let (mut connection, due) = next_to_a_pending_read(&caller, &mut server).await;
    drop(due);
    let written = caller.watch.written();
    let mut next = caller.fetch(get("/next"));
    assert!(poll_once(next.as_mut()).is_pending());
    assert!(caller.watch.written() > written, "it is sent at once");
    server.reuse(&mut connection, next, answer("next")).await;
    ends_idle(caller).await;
}

async fn a_request_that_is_cancelled_while_it_gives_way_leaves_its_connection_idle(
    backend: Backend,
) {
    let (caller, mut server) = start_with(backend, |settings| settings).await;
    let (mut connection, due) = next_to_a_pending_read(&caller, &mut server).await;
    let content = Arc::new(*b"content");
    let body = Full::new(Bytes::from_owner(Content(Arc::clone(&content))));
    let mut next = caller.fetch(Request::put("/next").body(body).expect("a request"));
    assert!(poll_once(next.as_mut()).is_pending());
    drop(next);
    let stats = caller.pool.stats();
    assert_eq!((stats.idle, stats.closed_total()), (1, 0));
    assert_eq!(Arc::strong_count(&content), 1, "nothing is kept of it");
    due.await.expect("a response");
    server.reuse(&mut connection, caller.fetch(get("/again")), answer("again")).await;
    ends_idle(caller).await;
}

async fn a_connection_that_was_handed_on_rests_when_its_request_is_cancelled_before_it_began(
    backend: Backend,
) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(2)).await;
    let mut first = caller.fetch(get("/first"));
    let mut connection = under_way(&mut server, &mut first).await;
    let mut due = caller.fetch(get("/due"));
    let mut beside = under_way(&mut server, &mut due).await;
    let mut waiting = caller.fetch(get("/waiting"));
    assert!(poll_once(waiting.as_mut()).is_pending());
    connection.write(answer("first")).await;
    first.await.expect("a response");
    beside.write(answer("due")).await;
    settle().await;

    let written = caller.watch.written();
    assert!(poll_once(waiting.as_mut()).is_pending());
    assert_eq!((caller.watch.written(), caller.pool.stats().waiting), (written, 0));
    drop(waiting);
    let stats = caller.pool.stats();
    assert_eq!((stats.idle, stats.closed_total()), (1, 0));
    due.await.expect("a response");
    ends_idle(caller).await;
}

/// Leads a request to where the server has read it; the connection that it came over.
async fn under_way(server: &mut Server, request: &mut Boxed<Result<Whole, Error>>) -> Connection {
    tokio::select! {
        response = request => panic!("no server has answered it: {response:?}"),
        connection = async {
            let mut connection = server.accept().await;
            connection.read_request().await;
            connection
        } => connection,
    }
}

/// Content that tells by its count how often it is kept.
struct Content(Arc<[u8; 7]>);

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}

/// An idle connection, and a request whose response has come and which has not run since.
async fn next_to_a_pending_read(
    caller: &Caller,
    server: &mut Server,
) -> (Connection, Boxed<Result<Whole, Error>>) {
    let (mut first, mut due) = (caller.fetch(get("/first")), caller.fetch(get("/due")));
    let mut idle = under_way(server, &mut first).await;
    let mut beside = under_way(server, &mut due).await;
    idle.write(answer("first")).await;
    first.await.expect("a response");
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    assert!(due.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    beside.write(answer("due")).await;
    eventually("its response has come", || woken.0.load(Ordering::SeqCst)).await;
    (idle, due)
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
