//! What this machine lacks is not held against an address, and a descriptor that it lacks is taken from an idle connection.

use std::io;

use pool_core::{ConnectOptions, Error, ErrorKind, Reason};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Fate, Lent, answer, bounded, ends_idle, eventually,
    for_each_backend, get, poll_once, start, start_many_addresses,
};

for_each_backend! {
    an_error_of_this_machine_is_never_a_failure_of_the_address,
    an_error_of_the_address_is_one,
    without_descriptors_the_connection_idle_longest_gives_way,
    without_descriptors_and_idle_connections_the_request_fails,
    a_second_failure_is_final,
}

// Codes of Linux.
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;
const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;

async fn fails_ten_times(caller: &Caller, fate: Fate) {
    caller.watch.set_fate(&caller.address, fate);
    for _ in 0..10 {
        let error = caller.fetch(get("/")).await.expect_err("no connection");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let step = format!("connecting to {:?}: ", caller.address);
        assert!(error.to_string().starts_with(&step), "{error}");
    }
}

async fn an_error_of_this_machine_is_never_a_failure_of_the_address(backend: Backend) {
    let own = [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EPERM, EACCES];
    let fates = own.map(Fate::Fails).into_iter().chain([Fate::Panics]);
    for fate in fates {
        let (caller, server) = start(backend).await;
        fails_ten_times(&caller, fate).await;
        assert_eq!(caller.pool.stats().backing_off, 0, "{fate:?}");
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.watch.set_fate(&caller.address, Fate::Taken);
        caller.fetch(get("/")).await.expect("all is well");
        ends_idle(caller).await;
    }
}

async fn an_error_of_the_address_is_one(backend: Backend) {
    for fate in [Fate::Refused, Fate::Fails(ECONNREFUSED), Fate::Fails(EHOSTUNREACH)] {
        let (caller, _server) = start(backend).await;
        fails_ten_times(&caller, fate).await;
        let stats = caller.pool.stats();
        assert_eq!((stats.backing_off, stats.failed_to_open), (1, 10), "{fate:?}");
    }
}

async fn without_descriptors_the_connection_idle_longest_gives_way(backend: Backend) {
    for code in [EMFILE, ENFILE] {
        let (callers, mut servers) = start_many_addresses(backend, 3, |settings| settings).await;
        let mut idle = Vec::new();
        for number in [1, 0] {
            let lent = Lent::open(&callers[number], &mut servers[number]).await;
            idle.push(lent.come_home().await);
        }
        callers[2].watch.set_next_fate(Fate::Fails(code));
        servers[2].open(callers[2].fetch(get("/")), answer("served")).await;
        idle[0].ends().await;
        let stats = callers[2].pool.stats();
        assert_eq!((stats.closed(Reason::Evicted), stats.idle), (1, 2));
        assert_eq!(callers[1].pool.stats_of(&callers[1].address).expect("known").idle, 0);
        assert_eq!((stats.failed_to_open, callers[2].watch.connects().len()), (0, 4));
    }
}

async fn without_descriptors_and_idle_connections_the_request_fails(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let lent = Lent::open(&caller, &mut server).await;
    caller.watch.set_fate(&caller.address, Fate::Fails(EMFILE));
    let error: Error = caller.fetch(get("/")).await.expect_err("no descriptor");
    assert_eq!(error.kind(), ErrorKind::Connect);
    assert_eq!(caller.watch.connects().len(), 2, "there is nothing to try again with");
    lent.come_home().await;
    ends_idle(caller).await;
}

async fn a_second_failure_is_final(backend: Backend) {
    let (callers, mut servers) = start_many_addresses(backend, 2, |settings| settings).await;
    for _ in 0..2 {
        let first = Lent::open(&callers[0], &mut servers[0]).await;
        let second = Lent::open(&callers[0], &mut servers[0]).await;
        let _idle = [first.come_home().await, second.come_home().await];
        let before = callers[0].pool.stats();
        callers[1].watch.set_fate(&callers[1].address, Fate::Fails(ENFILE));
        callers[1].fetch(get("/")).await.expect_err("no descriptor");
        let evicted = callers[0].pool.stats().closed(Reason::Evicted);
        assert_eq!(evicted, before.closed(Reason::Evicted) + 1);
        callers[0].pool.retain(|_| false);
        callers[0].pool.retain(|_| true);
    }
}

/// A request that joined the dial of another is not left alone when that panics.
#[tokio::test]
async fn a_connector_that_panics_fails_the_request_that_it_was_for_and_no_other() {
    bounded(async {
        let (caller, server) = start(Backend::Memory).await;
        caller.watch.set_next_fate(Fate::Panics);
        caller.watch.close_gate();
        let mut left = caller.fetch(get("/"));
        assert!(poll_once(left.as_mut()).is_pending());
        caller.watch.until_waiting(1).await;
        drop(left);
        let joined = tokio::spawn(caller.fetch(get("/")));
        eventually("it relies on that dial", || caller.pool.stats().waiting == 1).await;
        caller.watch.open_gate();
        eventually("it has a dial of its own", || caller.watch.connects().len() == 2).await;
        let _service = EchoServer::start(server, |_| answer("served"));
        joined.await.expect("no panic").expect("a dial of its own");
        ends_idle(caller).await;
    })
    .await;
}

/// A connector that says otherwise is believed.
#[tokio::test]
async fn a_connector_may_judge_its_errors_itself() {
    use pool_core::{Connected, Connector, Fault, Pool, Target, async_trait};
    use pooled_fetch_tests::AnyStream;

    struct Proxy;

    #[async_trait]
    impl Connector for Proxy {
        type Address = &'static str;
        type Stream = AnyStream;

        async fn connect(
            &self,
            _: &&'static str,
            _: &ConnectOptions,
        ) -> io::Result<Connected<AnyStream>> {
            Err(io::Error::other("the proxy is overloaded"))
        }

        fn target(&self, address: &&'static str) -> Target {
            Target::http(address.parse().expect("a valid authority"))
        }

        fn fault(&self, _: &io::Error) -> Fault {
            Fault::Machine
        }
    }

    let pool = Pool::new(Proxy);
    for _ in 0..5 {
        pool.http(&"there", get("/")).await.expect_err("overloaded");
    }
    assert_eq!(pool.stats().backing_off, 0);
}
