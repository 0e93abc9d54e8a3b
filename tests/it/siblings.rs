//! What one connection that fails tells of the idle ones to the same address: of a path that has forgotten its connections
//! one request learns, and not each of them anew.
//!
//! Where time matters the clock is paused, which it can be only in memory.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use pool_core::{Builder, Error, ErrorKind, Pool, Reason};
use pooled_fetch_tests::{
    Address, AnyConnector, Backend, EchoServer, Endpoint, OverPath, Path, Probe, Server, Watch,
    Whole, answer, bounded, eventually, for_each_backend, get, post, settle,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

for_each_backend! {
    an_error_of_the_path_closes_what_had_been_idle_as_long_and_leaves_what_is_younger,
    an_error_after_bytes_were_read_says_nothing_of_the_path,
    an_end_in_order_says_nothing_of_the_path,
}

const SECOND: Duration = Duration::from_secs(1);

type Via = OverPath<Probe<AnyConnector>>;

/// A pool over a path, and its server, which never answers requests to `/slow`.
struct World {
    pool: Pool<Via>,
    address: Address,
    path: Path,
    watch: Watch,
    site: EchoServer,
}

impl World {
    async fn new(backend: Backend, settings: impl FnOnce(Builder<Via>) -> Builder<Via>) -> Self {
        let Endpoint { connector, address, acceptor } = backend.start().await;
        let (connector, watch) = Probe::new(connector);
        let (connector, path) = OverPath::new(connector);
        let settings = settings(Pool::builder(connector));
        let site = EchoServer::start(Server::new(acceptor), |request| match request.target() {
            "/slow" => Bytes::new(),
            "/half" => Bytes::from_static(b"HTTP/1.1 200"),
            target => answer(target),
        });
        let pool = settings.build().expect("settings that make sense");
        Self { pool, address, path, watch, site }
    }

    /// With a response timeout, and connections that have been idle for two seconds.
    async fn resting(idle: usize, limit: Duration) -> Self {
        let world = Self::new(Backend::Memory, |settings| settings.response_timeout(limit)).await;
        world.rest(idle).await;
        advance(2 * SECOND).await;
        world
    }

    /// Has so many connections become idle, in the order of their numbers.
    async fn rest(&self, count: usize) {
        let mut leases = Vec::new();
        for _ in 0..count {
            leases.push(self.pool.lease(&self.address).await.expect("a connection"));
        }
        for lease in leases {
            let response = lease.http(get("/first")).await.expect("nothing is lost yet");
            Whole::read(response).await.expect("nothing is lost yet");
        }
        assert_eq!(self.idle(), count);
    }

    fn fetch(
        &self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Whole, Error>> + Send + 'static {
        let (pool, address) = (self.pool.clone(), self.address.clone());
        async move { Whole::read(pool.http(&address, request).await?).await }
    }

    /// Sends requests at once; gives how many failed.
    async fn at_once(&self, requests: impl IntoIterator<Item = Request<Full<Bytes>>>) -> usize {
        let mut tasks: JoinSet<_> = requests.into_iter().map(|one| self.fetch(one)).collect();
        let mut failed = 0;
        while let Some(done) = tasks.join_next().await {
            failed += usize::from(done.expect("no panic").is_err());
        }
        failed
    }

    async fn times_out(&self, request: Request<Full<Bytes>>) {
        let error = self.fetch(request).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
    }

    fn idle(&self) -> usize {
        let stats = self.pool.stats();
        stats.idle + stats.parked
    }

    fn closed(&self, reason: Reason) -> usize {
        usize::try_from(self.pool.stats().closed(reason)).expect("a small number")
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_has_forgotten_its_connections_costs_one_request() {
    bounded(async {
        for (idle, limit) in [(20, SECOND), (3, SECOND), (20, SECOND / 20), (1, 30 * SECOND)] {
            let world = World::resting(idle, limit).await;
            world.path.forget();
            world.times_out(get("/")).await;
            for _ in 0..idle {
                let begun = Instant::now();
                let answered = world.fetch(get("/next")).await.expect("not over the old path");
                assert_eq!(answered.body, "/next");
                assert!(begun.elapsed() < limit / 2, "it has waited for {:?}", begun.elapsed());
            }
            // The one that was tried timed out as well, but its request went on over another.
            let lost = idle.saturating_sub(2);
            eventually("the others close", || world.closed(Reason::SiblingFailed) == lost).await;
            assert_eq!((world.idle(), world.path.opened()), (1, idle + 1));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_be_sent_again_tries_nothing() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.path.forget();
            world.times_out(post("/", "once")).await;
            for _ in 0..idle {
                world.fetch(post("/", "next")).await.expect("over a fresh connection");
            }
            // All but the one that failed, and one of many, whose place the fresh one has.
            let aside = if idle > 8 { idle - 2 } else { idle - 1 };
            assert_eq!((world.idle(), world.path.opened()), (aside + 1, idle + 1));
            // Nor is one of them leased, because that would not be known before its request has failed.
            let lease = world.pool.lease(&world.address).await.expect("a connection");
            lease.http(get("/leased")).await.expect("a response");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn while_one_connection_is_tried_other_requests_go_over_younger_or_fresh_ones() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.path.forget();
            world.times_out(get("/")).await;
            let begun = Instant::now();
            let tries = tokio::spawn(world.fetch(get("/tries")));
            settle().await;
            assert_eq!(world.at_once((0..10).map(|_| get("/other"))).await, 0);
            assert_eq!(begun.elapsed(), Duration::ZERO, "nothing has waited");
            assert!(!tries.is_finished());
            tries.await.expect("no panic").expect("it went on over another");
            assert_eq!(world.at_once((0..30).map(|_| get("/later"))).await, 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_one_that_was_set_aside_clears_all() {
    bounded(async {
        for idle in [20, 3] {
            let world = World::resting(idle, SECOND).await;
            world.times_out(get("/slow")).await;
            assert_eq!(world.idle(), idle - 1);
            world.fetch(get("/tries")).await.expect("its path is alive");
            assert_eq!(world.at_once((1..idle).map(|_| post("/", "all"))).await, 0);
            assert_eq!(world.path.opened(), idle, "none was opened beside");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_is_served_when_the_others_are_cleared() {
    bounded(async {
        let world = World::resting(3, SECOND).await;
        world.times_out(get("/slow")).await;
        // No dial helps. The first that waits is handed the one that was tried, and keeps it.
        world.watch.close_gate();
        let begun = Instant::now();
        let tries = tokio::spawn(world.fetch(get("/tries")));
        let keeps = tokio::spawn(world.fetch(post("/slow", "keeps")));
        let waits = tokio::spawn(world.fetch(post("/", "waits")));
        tries.await.expect("no panic").expect("an answer");
        waits.await.expect("no panic").expect("an answer");
        assert_eq!((begun.elapsed(), keeps.is_finished()), (Duration::ZERO, false));
        assert_eq!(world.path.opened(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_gives_the_one_that_is_tried_all_of_its_time() {
    bounded(async {
        let world = World::resting(5, SECOND).await;
        world.times_out(get("/slow")).await;
        let begun = Instant::now();
        world.times_out(get("/half")).await;
        let took = begun.elapsed();
        assert!((SECOND..SECOND * 11 / 10).contains(&took), "{took:?}");
        assert_eq!(world.at_once((0..3).map(|_| post("/", "all"))).await, 0);
        assert_eq!(world.path.opened(), 5, "its path was seen to be alive");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_cancelled_lets_another_try() {
    bounded(async {
        let world = World::resting(5, 40 * SECOND).await;
        world.path.forget();
        world.times_out(get("/")).await;
        for left in [3, 2] {
            let tries = tokio::time::timeout(SECOND, world.fetch(get("/tries"))).await;
            assert!(tries.is_err(), "no answer, and its caller has given up");
            assert_eq!((world.idle(), world.path.opened()), (left, 5));
        }
        assert_eq!(world.closed(Reason::SiblingFailed), 0, "a caller that gives up proves nothing");
        world.fetch(get("/tries")).await.expect("over a fresh connection at last");
        eventually("the others close", || world.closed(Reason::SiblingFailed) == 1).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_comes_back_unused_does_not_pass_for_one_that_has_just_answered() {
    bounded(async {
        let world = World::resting(3, SECOND).await;
        let lease = world.pool.lease(&world.address).await.expect("an idle connection");
        world.path.forget();
        world.times_out(get("/")).await;
        drop(lease);
        assert_eq!((world.closed(Reason::SiblingFailed), world.idle()), (1, 1));
        world.fetch(post("/", "next")).await.expect("over a fresh connection");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_sets_nothing_aside() {
    bounded(async {
        let world = World::resting(5, 40 * SECOND).await;
        for _ in 0..3 {
            let slow = tokio::time::timeout(2 * SECOND, world.fetch(get("/slow"))).await;
            assert!(slow.is_err(), "no answer");
        }
        assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
        assert_eq!(world.path.opened(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_on_a_connection_that_has_hardly_rested_sets_nothing_aside() {
    bounded(async {
        let world = World::resting(5, SECOND).await;
        world.fetch(get("/")).await.expect("an answer");
        advance(SECOND * 9 / 10).await;
        world.times_out(get("/slow")).await;
        assert_eq!(world.at_once((0..4).map(|_| post("/", "all"))).await, 0);
        assert_eq!(world.path.opened(), 5);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_makes_way_where_a_limit_is_reached() {
    bounded(async {
        for total in [false, true] {
            let world = World::new(Backend::Memory, |settings| {
                let settings = settings.response_timeout(SECOND);
                if total {
                    settings.max_connections(3)
                } else {
                    settings.max_connections_per_address(3)
                }
            })
            .await;
            world.rest(3).await;
            advance(2 * SECOND).await;
            world.path.forget();
            world.times_out(post("/", "once")).await;
            assert_eq!(world.at_once((0..9).map(|_| post("/", "next"))).await, 0);
            assert_eq!((world.path.most_open(), world.idle()), (3, 3));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_timeouts_of_one_slow_path_open_hardly_more_than_is_used_at_once() {
    bounded(async {
        const FEW: usize = 10;
        // How many requests are sent at once after each timeout, and whether they may try.
        for (at_once, may_try) in [(1, true), (8, true), (8, false), (40, true)] {
            let world = World::resting(at_once, SECOND).await;
            let timeouts = 1_000 / at_once;
            for _ in 0..timeouts {
                world.times_out(get("/slow")).await;
                let one = || if may_try { get("/fast") } else { post("/fast", "once") };
                assert_eq!(world.at_once((0..at_once).map(|_| one())).await, 0);
                advance(2 * SECOND).await;
            }
            let most = world.path.most_open();
            assert!(most <= at_once + FEW, "{most} at once, for {at_once} requests");
            // And all requests at once, one of them slow.
            let before = world.path.opened();
            for _ in 0..timeouts {
                let requests = (1..at_once).map(|_| get("/fast")).chain([get("/slow")]);
                assert_eq!(world.at_once(requests).await, 1);
                advance(2 * SECOND).await;
            }
            let opened = world.path.opened() - before;
            assert!(opened <= timeouts + FEW, "{opened} opened, for {timeouts} that timed out");
            assert!(world.path.most_open() <= at_once + FEW);
        }
    })
    .await;
}

async fn an_error_of_the_path_closes_what_had_been_idle_as_long_and_leaves_what_is_younger(
    backend: Backend,
) {
    for (idle, kind) in [
        (20, io::ErrorKind::ConnectionReset),
        (3, io::ErrorKind::TimedOut),
        (4, io::ErrorKind::HostUnreachable),
    ] {
        let world = World::new(backend, |settings| settings).await;
        world.rest(idle).await;
        world.path.forget();
        let waits = tokio::spawn(world.fetch(get("/waits")));
        let newest_is_lent = || world.pool.stats().leased == 1;
        eventually("it goes over the newest", newest_is_lent).await;
        // What another request opens meanwhile, and leaves idle, is younger.
        let mut fresh = get("/fresh");
        pool_core::reuse(&mut fresh, pool_core::Reuse::Never);
        world.fetch(fresh).await.expect("a fresh connection");
        settle().await;
        world.path.fail(idle, kind);
        assert_eq!(waits.await.expect("no panic").expect("it went on").body, "/waits");
        eventually("the others close", || world.closed(Reason::SiblingFailed) == idle - 1).await;
        assert_eq!((world.path.opened(), world.idle()), (idle + 2, 2), "{kind:?}");
        assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
        assert_eq!(world.path.opened(), idle + 2, "what is younger was lent");
        assert!(!world.site.served().is_empty());
    }
}

async fn an_error_after_bytes_were_read_says_nothing_of_the_path(backend: Backend) {
    let world = World::new(backend, |settings| settings).await;
    world.rest(3).await;
    let before = world.path.read();
    let waits = tokio::spawn(world.fetch(get("/half")));
    eventually("half of a head is read", || world.path.read() > before).await;
    world.path.fail(3, io::ErrorKind::ConnectionReset);
    let error = waits.await.expect("no panic").expect_err("it was cut off");
    assert!(error.evidence().bytes_read() > 0);
    assert_eq!(world.at_once([post("/", "one"), post("/", "two")]).await, 0);
    assert_eq!((world.path.opened(), world.closed(Reason::SiblingFailed)), (3, 0));
}

async fn an_end_in_order_says_nothing_of_the_path(backend: Backend) {
    let world = World::new(backend, |settings| settings).await;
    world.rest(3).await;
    drop(world.site);
    let stats = || world.pool.stats();
    eventually("all ends", || stats().idle == 0).await;
    assert_eq!(
        (stats().closed(Reason::SiblingFailed), stats().closed(Reason::ClosedByPeer)),
        (0, 3)
    );
}
