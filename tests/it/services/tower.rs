//! What tower puts around a service finds it as it should be: it sheds, limits, times out and balances.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream;
use pool_core::{Error, ErrorKind};
use pooled_fetch_tests::{
    Backend, Caller, EchoServer, Lent, Server, answer, bounded, ends_idle, eventually, get,
    let_pass, settle, start_many_addresses, start_with,
};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::{Change, ServiceList};
use tower::limit::ConcurrencyLimit;
use tower::load::{CompleteOnResponse, Load, PeakEwma};
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::timeout::Timeout;
use tower::timeout::error::Elapsed;

use super::{Get, To, ready, to};

async fn limited(connections: usize) -> (Caller, Server) {
    start_with(Backend::Memory, |settings| settings.max_connections(connections)).await
}

#[tokio::test(start_paused = true)]
async fn a_service_that_sheds_load_refuses_at_the_limit_and_serves_below_it() {
    bounded(async {
        let (caller, mut server) = limited(1).await;
        let lent = Lent::open(&caller, &mut server).await;
        let mut shedding = LoadShed::new(to(&caller));
        let shed = ready(&mut shedding).await.expect("always ready").call(get("/shed")).await;
        assert!(shed.expect_err("at the limit").is::<Overloaded>());
        let mut connection = lent.come_home().await;
        // Its position comes to its turn, whether or not it is looked at.
        let_pass(Duration::from_millis(1)).await;
        let service = ready(&mut shedding).await.expect("always ready");
        let (request, response) = tokio::join!(
            async {
                let request = connection.read_request().await;
                connection.write(answer("served")).await;
                request
            },
            service.call(get("/served"))
        );
        assert_eq!(request.target(), "/served");
        drop(response.expect("a response"));
        drop(shedding);
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_on_requests_and_a_timeout_hold_around_a_service() {
    bounded(async {
        let (caller, mut server) = limited(8).await;
        let limited = ConcurrencyLimit::new(to(&caller), 2);
        let service = Timeout::new(limited, Duration::from_secs(1));
        let mut clients = JoinSet::new();
        let start = Instant::now();
        for _ in 0..4 {
            let mut service = service.clone();
            clients.spawn(async move { ready(&mut service).await?.call(get("/")).await.map(drop) });
        }
        let mut connections = vec![server.accept().await, server.accept().await];
        settle().await;
        assert_eq!(caller.watch.opened(), 2, "two at once");
        connections.push(server.accept().await);
        while let Some(client) = clients.join_next().await {
            assert!(client.expect("no panic").expect_err("no answer").is::<Elapsed>());
        }
        assert_eq!(start.elapsed().as_secs(), 2);
        eventually("what was cancelled has closed", || caller.pool.stats().leased == 0).await;
        drop((connections, service));
        ends_idle(caller).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn two_services_that_are_balanced_share_one_connection_and_never_block_each_other() {
    bounded(async {
        for balancers in [1, 2] {
            let (caller, server) = limited(1).await;
            let _service = EchoServer::start(server, |_| answer("served"));
            let mut clients = JoinSet::new();
            // A balancer that is never used holds its services ready.
            let mut unused = balance([to(&caller), to(&caller)]);
            assert!(ready(&mut unused).await.is_ok());
            for _ in 0..balancers {
                let mut balanced = balance([to(&caller), to(&caller)]);
                clients.spawn(async move {
                    for _ in 0..100 {
                        let service = ready(&mut balanced).await.expect("no service is lost");
                        drop(service.call(get("/")).await.expect("a response"));
                    }
                });
            }
            let start = Instant::now();
            while let Some(client) = clients.join_next().await {
                client.expect("no panic");
            }
            assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
            drop(unused);
            ends_idle(caller).await;
        }
    })
    .await;
}

fn balance(services: [To; 2]) -> Balance<ServiceList<[To; 2]>, Get> {
    Balance::new(ServiceList::new::<Get>(services))
}

#[tokio::test]
async fn the_address_with_fewer_requests_under_way_gets_the_next() {
    bounded(async {
        let (callers, mut servers) =
            start_many_addresses(Backend::Memory, 2, |settings| settings).await;
        let [busy, free] = [to(&callers[0]), to(&callers[1])];
        let lent = Lent::open(&callers[0], &mut servers[0]).await;
        let _free = EchoServer::start(servers.remove(1), |_| answer("free"));
        assert_eq!((busy.load(), free.load()), (1, 0));
        let mut balanced = balance([busy.clone(), free]);
        for _ in 0..20 {
            let response = ready(&mut balanced).await.expect("a service").call(get("/")).await;
            drop(response.expect("a response"));
        }
        let connection = lent.come_home().await;
        assert_eq!(Load::load(&busy), 0);
        drop(connection);
    })
    .await;
}

#[tokio::test]
async fn latency_measured_by_tower_balances_a_changing_set() {
    bounded(async {
        let (callers, servers) =
            start_many_addresses(Backend::Memory, 2, |settings| settings).await;
        let _services: Vec<_> = servers
            .into_iter()
            .map(|server| EchoServer::start(server, |_| answer("served")))
            .collect();
        let measured = |caller: &Caller| {
            let second = Duration::from_secs(1);
            let completion = CompleteOnResponse::default();
            PeakEwma::new(
                to(caller),
                Duration::from_millis(1),
                second.as_nanos() as f64,
                completion,
            )
        };
        let changes = vec![
            Change::Insert(0, measured(&callers[0])),
            Change::Insert(1, measured(&callers[1])),
            Change::Remove(0),
        ];
        let changes = stream::iter(changes.into_iter().map(Ok::<_, Infallible>));
        let mut balanced = Balance::new(changes);
        for _ in 0..10 {
            let response = ready(&mut balanced).await.expect("a service").call(get("/")).await;
            drop(response.expect("a response"));
        }
        let requests = |caller: &Caller| {
            caller.pool.stats_of(&caller.address).map_or(0, |stats| stats.requests)
        };
        assert_eq!((requests(&callers[0]), requests(&callers[1])), (0, 10));
    })
    .await;
}

#[tokio::test]
async fn an_error_that_tower_passes_on_keeps_its_evidence() {
    bounded(async {
        let (caller, server) = limited(1).await;
        drop(server);
        let mut service = Timeout::new(to(&caller), Duration::from_secs(60));
        let error = ready(&mut service).await.expect("ready").call(get("/")).await;
        let error = error.expect_err("nobody listens").downcast::<Error>().expect("the pool's own");
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.evidence().is_unprocessed());
    })
    .await;
}
