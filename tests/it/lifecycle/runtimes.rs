//! Runtimes share the limits of their pool, though they never share a connection.

use std::time::Duration;

use pool_core::ErrorKind;
use pooled_fetch_tests::{
    Backend, Lent, Whole, answer, ends_idle, eventually, for_each_backend, get, poll_once,
    start_many_addresses, start_with,
};
use tokio::runtime::Runtime;

for_each_backend! {
    an_idle_connection_of_another_runtime_makes_room,
    a_connection_that_comes_home_in_another_runtime_makes_room,
    a_runtime_that_ends_makes_room,
    a_request_that_outlives_its_runtime_keeps_no_place_in_the_line,
    a_request_that_outlives_its_runtime_gets_an_error,
}

/// Another runtime. Dropping it ends it without waiting, as it must within an asynchronous test.
struct Elsewhere(Option<Runtime>);

impl Elsewhere {
    fn new() -> Self {
        Self(Some(Runtime::new().expect("a runtime")))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it has not been dropped")
    }

    /// Ends it, and waits until all of its tasks have.
    async fn end(self) {
        let metrics = self.runtime().metrics();
        drop(self);
        eventually("its tasks end", || metrics.num_alive_tasks() == 0).await;
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn an_idle_connection_of_another_runtime_makes_room(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let other = Elsewhere::new();
    let there = other.runtime().spawn(caller.fetch(get("/there")));
    let there = async { there.await.expect("no panic") };
    let (mut theirs, ..) = server.open(there, answer("there")).await;
    server.open(caller.fetch(get("/here")), answer("here")).await;
    theirs.ends().await;
    assert_eq!(caller.watch.peak(), 1);
    drop(other);
    ends_idle(caller).await;
}

async fn a_connection_that_comes_home_in_another_runtime_makes_room(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(1)).await;
    let other = Elsewhere::new();
    let there = other.runtime().spawn(caller.send(get("/there")));
    let there = async { there.await.expect("no panic") };
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
    let (mut theirs, _, response) = server.open(there, half).await;
    let here = tokio::spawn(caller.fetch(get("/here")));
    eventually("it waits", || caller.pool.stats().waiting == 1).await;

    theirs.write("half").await;
    other.runtime().spawn(Whole::read(response)).await.expect("no panic").expect("the other half");
    server.open(async { here.await.expect("no panic") }, answer("here")).await;
    theirs.ends().await;
    assert_eq!(caller.watch.peak(), 1);
    drop(other);
    ends_idle(caller).await;
}

async fn a_runtime_that_ends_makes_room(backend: Backend) {
    for still_dialling in [true, false] {
        let (caller, mut server) =
            start_with(backend, |settings| settings.max_connections_per_address(1)).await;
        let other = Elsewhere::new();
        if still_dialling {
            caller.watch.close_gate();
        }
        let there = other.runtime().spawn(caller.fetch(get("/there")));
        let mut theirs = None;
        if still_dialling {
            caller.watch.until_waiting(1).await;
        } else {
            let connection = theirs.insert(server.accept().await);
            connection.read_request().await;
        }
        let here = tokio::spawn(caller.fetch(get("/here")));
        // Theirs has its connection already, unless it still waits for its dial.
        let waiting = 1 + usize::from(still_dialling);
        eventually("it waits", || caller.pool.stats().waiting == waiting).await;
        // To its end, or its dial might still slip through the gate.
        other.end().await;
        caller.watch.open_gate();
        assert!(there.await.expect_err("gone with its runtime").is_cancelled());
        let (_, request, _) =
            server.open(async { here.await.expect("no panic") }, answer("here")).await;
        assert_eq!((request.target(), caller.watch.peak()), ("/here", 1));
        drop(theirs);
        ends_idle(caller).await;
    }
}

async fn a_request_that_outlives_its_runtime_keeps_no_place_in_the_line(backend: Backend) {
    let (mut callers, mut servers) = start_many_addresses(backend, 3, |settings| {
        settings.max_connections(1).drain_limit(0, Duration::ZERO)
    })
    .await;
    let lent = Lent::open(&callers[0], &mut servers[0]).await;
    let other = Elsewhere::new();
    let mut stray = callers[1].fetch(get("/stray"));
    {
        let _there = other.runtime().enter();
        assert!(poll_once(stray.as_mut()).is_pending());
    }
    // Its watcher goes with it, and nothing else could dial for it.
    other.end().await;
    let next = tokio::spawn(callers[2].fetch(get("/next")));
    eventually("it waits", || {
        callers[2].pool.stats_of(&callers[2].address).is_some_and(|at| at.waiting == 1)
    })
    .await;
    drop(lent);
    servers[2].open(async { next.await.expect("no panic") }, answer("served")).await;
    drop(stray);
    let caller = callers.swap_remove(0);
    drop(callers);
    ends_idle(caller).await;
}

async fn a_request_that_outlives_its_runtime_gets_an_error(backend: Backend) {
    // Without a timeout, which would belong to the runtime that has ended.
    let (caller, mut server) = start_with(backend, |settings| {
        settings.max_connections_per_address(1).checkout_timeout(None)
    })
    .await;
    let lent = Lent::open(&caller, &mut server).await;
    let other = Elsewhere::new();
    let mut stray = caller.fetch(get("/stray"));
    {
        let _there = other.runtime().enter();
        assert!(poll_once(stray.as_mut()).is_pending());
    }
    other.end().await;
    let error = stray.await.expect_err("its runtime has gone");
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    let mut connection = lent.come_home().await;
    server.reuse(&mut connection, caller.fetch(get("/")), answer("next")).await;
    ends_idle(caller).await;
}
