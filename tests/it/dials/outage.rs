//! An address that fails is dialled by one dial at a time, and no request is refused for longer than the outage took.

use std::time::Duration;

use futures_util::future::join_all;
use pool_core::{Error, ErrorKind, Http2};
use pooled_fetch_tests::{
    Backend, Boxed, Caller, EchoServer, Fate, Lent, Settings, Whole, answer, bounded, ends_idle,
    eventually, for_each_backend, get, let_pass, settle, start, start_many_addresses, start_with,
};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

for_each_backend! {
    a_request_is_not_failed_by_a_dial_that_had_begun_before_it_came,
    after_three_failures_one_dial_is_for_all_requests,
    a_success_ends_the_outage,
    where_a_limit_is_reached_a_request_waits_though_its_address_fails,
    a_dial_fails_no_more_requests_than_the_limit_has_room_for,
}

const GAP: Duration = Duration::from_millis(5);

const SECOND: Duration = Duration::from_secs(1);

/// So long a dial may take.
const LIMIT: Duration = Duration::from_secs(10);

async fn fail_three_times(caller: &Caller) {
    caller.watch.set_fate(&caller.address, Fate::Refused);
    for _ in 0..3 {
        let error = caller.fetch(get("/")).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Connect);
    }
    assert_eq!(caller.pool.stats().backing_off, 1);
}

/// Requests that all wait.
async fn crowd(caller: &Caller, of: usize) -> JoinSet<Result<Whole, Error>> {
    let before = caller.pool.stats().waiting;
    let crowd = (0..of).map(|_| caller.fetch(get("/"))).collect();
    eventually("all wait", || caller.pool.stats().waiting == before + of).await;
    crowd
}

async fn all_fail(crowd: JoinSet<Result<Whole, Error>>, kind: ErrorKind) {
    for whole in crowd.join_all().await {
        assert_eq!(whole.expect_err("no server").kind(), kind);
    }
}

async fn all_are_served(crowd: JoinSet<Result<Whole, Error>>) {
    for whole in crowd.join_all().await {
        whole.expect("a response");
    }
}

async fn a_request_is_not_failed_by_a_dial_that_had_begun_before_it_came(backend: Backend) {
    for joiners in [1, 3] {
        let (caller, server) =
            start_with(backend, |settings| settings.max_connections_per_address(1)).await;
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.watch.close_gate();
        let first = crowd(&caller, 1).await;
        caller.watch.until_waiting(1).await;
        let joined = crowd(&caller, joiners).await;
        caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
        caller.watch.open_gate();
        all_fail(first, ErrorKind::Connect).await;
        all_are_served(joined).await;
        ends_idle(caller).await;
    }
}

/// The dial is that of a request which has left, and so it is all that the others wait for.
#[tokio::test(start_paused = true)]
async fn what_hangs_closes_no_connection_of_another_address_to_dial_once_more() {
    bounded(async {
        let (mut callers, mut servers) =
            start_many_addresses(Backend::Memory, 2, |settings| settings.max_connections(3)).await;
        let (hole, living) = (callers.remove(0), callers.remove(0));
        let mut server = servers.remove(1);
        let (one, two) =
            (Lent::open(&living, &mut server).await, Lent::open(&living, &mut server).await);
        let _idle = [one.come_home().await, two.come_home().await];
        hole.watch.set_fate(&hole.address, Fate::Refused);
        for _ in 0..3 {
            hole.fetch(get("/")).await.expect_err("refused");
        }
        hole.watch.set_fate(&hole.address, Fate::Lost);
        let waits = tokio::spawn(hole.fetch(get("/")));
        let_pass(Duration::from_millis(5_500)).await;
        let stats = living.pool.stats();
        assert_eq!((stats.idle, stats.opening), (2, 1));
        waits.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_joins_just_before_a_dial_times_out_takes_part_in_the_next() {
    for early in [Duration::from_millis(1), SECOND * 4, SECOND * 9] {
        bounded(async {
            let (caller, server) = start(Backend::Memory).await;
            let _service = EchoServer::start(server, |_| answer("served"));
            caller.watch.set_next_fate(Fate::Lost);
            let mut left = caller.fetch(get("/"));
            assert!(pooled_fetch_tests::poll_once(left.as_mut()).is_pending());
            drop(left);
            let_pass(LIMIT - early).await;
            let since = Instant::now();
            caller.fetch(get("/")).await.expect("the next dial");
            assert!(since.elapsed() <= early + GAP, "{:?}", since.elapsed());
            assert_eq!(caller.watch.connects().len(), 2);
            ends_idle(caller).await;
        })
        .await;
    }
}

async fn after_three_failures_one_dial_is_for_all_requests(backend: Backend) {
    let (caller, _server) = start(backend).await;
    fail_three_times(&caller).await;
    caller.watch.set_fate(&caller.address, Fate::Taken);
    caller.watch.close_gate();
    let waiting = crowd(&caller, 20).await;
    caller.watch.until_waiting(1).await;
    settle().await;
    assert_eq!((caller.watch.connects().len(), caller.pool.stats().opening), (4, 1));
    let later = crowd(&caller, 5).await;
    caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
    caller.watch.set_fate(&caller.address, Fate::Lost);
    caller.watch.open_gate();
    all_fail(waiting, ErrorKind::Connect).await;
    eventually("the others take part in the next", || caller.watch.connects().len() == 5).await;
    assert_eq!((caller.pool.stats().waiting, caller.pool.stats().opening), (5, 1));
    drop(later);
    let Caller { pool, watch, .. } = caller;
    pool.close();
    drop(pool);
    watch.until_waiting(0).await;
}

async fn a_success_ends_the_outage(backend: Backend) {
    let (caller, server) = start(backend).await;
    fail_three_times(&caller).await;
    caller.watch.set_fate(&caller.address, Fate::Taken);
    let _service = EchoServer::start(server, |_| answer("served"));
    all_are_served(crowd(&caller, 10).await).await;
    assert_eq!(caller.pool.stats().backing_off, 0);
    eventually("its dials end", || caller.pool.stats().opening == 0).await;
    caller.pool.retain(|_| false);
    caller.pool.retain(|_| true);
    caller.watch.close_gate();
    let waiting = crowd(&caller, 5).await;
    caller.watch.until_waiting(5).await;
    caller.watch.open_gate();
    all_are_served(waiting).await;
    ends_idle(caller).await;
}

async fn where_a_limit_is_reached_a_request_waits_though_its_address_fails(backend: Backend) {
    let (caller, mut server) =
        start_with(backend, |settings| settings.max_connections_per_address(2)).await;
    let first = Lent::open(&caller, &mut server).await;
    fail_three_times(&caller).await;
    caller.watch.set_fate(&caller.address, Fate::Taken);
    let second = Lent::open(&caller, &mut server).await;
    fail_or_wait(&caller).await;
    let waiting = caller.fetch(get("/waits"));
    let waiting = tokio::spawn(waiting);
    eventually("it waits", || caller.pool.stats().waiting == 1).await;
    let mut connection = first.come_home().await;
    assert_eq!(connection.read_request().await.target(), "/waits");
    connection.write(answer("served")).await;
    waiting.await.expect("no panic").expect("a response");
    second.come_home().await;
    ends_idle(caller).await;
}

async fn a_dial_fails_no_more_requests_than_the_limit_has_room_for(backend: Backend) {
    for (limit, fails) in [(3, 1), (5, 3)] {
        let (caller, mut server) =
            start_with(backend, |settings| settings.max_connections_per_address(limit)).await;
        let lent = Lent::open(&caller, &mut server).await;
        let other = Lent::open(&caller, &mut server).await;
        fail_three_times(&caller).await;
        caller.watch.set_fate(&caller.address, Fate::Taken);
        caller.watch.close_gate();
        let mut clients = crowd(&caller, 6).await;
        caller.watch.until_waiting(1).await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
        caller.watch.open_gate();
        for _ in 0..fails {
            let failed = clients.join_next().await.expect("a client").expect("no panic");
            assert_eq!(failed.expect_err("refused").kind(), ErrorKind::Connect);
        }
        settle().await;
        assert_eq!(caller.pool.stats().waiting, 6 - fails, "these the limit keeps waiting");
        let mut connection = lent.come_home().await;
        for _ in fails..6 {
            connection.read_request().await;
            connection.write(answer("served")).await;
        }
        all_are_served(clients).await;
        other.come_home().await;
        caller.pool.close();
    }
}

/// Whatever the address does now, no dial has room to find out.
async fn fail_or_wait(caller: &Caller) {
    caller.watch.set_fate(&caller.address, Fate::Refused);
    let waiting = crowd(caller, 3).await;
    settle().await;
    assert_eq!(caller.pool.stats().waiting, 3);
    drop(waiting);
    eventually("they leave", || caller.pool.stats().waiting == 0).await;
}

/// Requests one after another from several clients, for `time`.
fn load(
    caller: &Caller,
    clients: usize,
    apart: Duration,
    time: Duration,
) -> JoinHandle<Vec<(Instant, Instant, Option<Error>)>> {
    let caller = caller.clone();
    tokio::spawn(async move {
        let end = Instant::now() + time;
        let mut set = JoinSet::new();
        for number in 0..clients {
            let caller = caller.clone();
            set.spawn(async move {
                let mut told = Vec::new();
                // Not all at one instant.
                let_pass(Duration::from_millis(number as u64)).await;
                while Instant::now() < end {
                    let began = Instant::now();
                    let error = caller.fetch(get("/")).await.err();
                    told.push((began, Instant::now(), error));
                    let_pass(apart).await;
                }
                told
            });
        }
        set.join_all().await.into_iter().flatten().collect()
    })
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_length_nothing_is_refused() {
    for (outage, clients, apart) in [(3, 16, 17), (60, 2, 83)] {
        bounded(async {
            let (caller, server) = start(Backend::Memory).await;
            let _service = EchoServer::start(server, |_| {
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".into()
            });
            let apart = Duration::from_millis(apart);
            let load = load(&caller, clients, apart, SECOND * (outage + 4));
            let_pass(SECOND).await;
            caller.watch.set_fate(&caller.address, Fate::Refused);
            let_pass(SECOND * outage).await;
            let refused = caller.watch.connects().len();
            let_pass(SECOND).await;
            let in_a_second = caller.watch.connects().len() - refused;
            assert!((20..=200).contains(&in_a_second), "{in_a_second} dials in a second");
            caller.watch.set_fate(&caller.address, Fate::Taken);
            let back = Instant::now();
            let told = load.await.expect("no panic");
            assert!(told.iter().any(|(.., error)| error.is_some()));
            let late: Vec<_> =
                told.iter().filter(|(_, ended, error)| error.is_some() && *ended > back).collect();
            assert!(late.is_empty(), "{late:?}");
            let slow = |(began, ended, _): &&(Instant, Instant, _)| {
                *ended > back && *ended - (*began).max(back) > GAP * 2
            };
            assert_eq!(told.iter().filter(slow).count(), 0);
            ends_idle(caller).await;
        })
        .await;
    }
}

/// Each lost connect stays lost, as if its system sent nothing any more; those after it find the server.
#[tokio::test(start_paused = true)]
async fn beside_a_dial_that_hangs_another_begins_every_second_and_finds_the_server() {
    for outage in [SECOND * 3, SECOND * 60] {
        bounded(async {
            let (caller, server) = start(Backend::Memory).await;
            fail_three_times(&caller).await;
            caller.watch.set_fate(&caller.address, Fate::Lost);
            let start = Instant::now();
            let mut refused = 0;
            let mut clients = crowd(&caller, 3).await;
            while start.elapsed() < outage {
                let_pass(SECOND / 2).await;
                assert!(
                    caller.pool.stats().opening <= 10,
                    "as many as a connect timeout has seconds"
                );
                while let Some(client) = clients.try_join_next() {
                    let error = client.expect("no panic").expect_err("lost");
                    assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
                    refused += 1;
                    clients.spawn(caller.fetch(get("/")));
                }
            }
            let begun = &caller.watch.connects()[3..];
            assert!(begun.windows(2).all(|two| two[1] - two[0] >= SECOND), "{begun:?}");
            assert!(begun.len() as u64 * 10 >= outage.as_secs() * 9, "{}", begun.len());
            assert_eq!(refused > 0, outage > LIMIT);
            caller.watch.set_fate(&caller.address, Fate::Taken);
            let back = Instant::now();
            let _service = EchoServer::start(server, |_| answer("served"));
            all_are_served(clients).await;
            assert!(back.elapsed() <= SECOND + GAP, "{:?}", back.elapsed());
            let_pass(LIMIT).await;
            assert_eq!(caller.pool.stats().backing_off, 0, "old dials tell nothing new");
            ends_idle(caller).await;
        })
        .await;
    }
}

/// The first connection is not given back, and the dials that hang find the server no sooner than their time is over.
#[tokio::test(start_paused = true)]
async fn once_a_dial_has_found_the_server_no_request_waits_for_those_that_hang() {
    bounded(async {
        let (caller, mut server) = start(Backend::Memory).await;
        fail_three_times(&caller).await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        let clients = crowd(&caller, 4).await;
        let_pass(SECOND * 4 + SECOND / 2).await;
        assert_eq!(caller.pool.stats().opening, 5);
        caller.watch.set_fate(&caller.address, Fate::Taken);
        let back = Instant::now();
        let mut connections = Vec::new();
        for _ in 0..4 {
            connections.push(server.accept().await);
        }
        assert!(back.elapsed() <= SECOND + GAP, "{:?}", back.elapsed());
        assert_eq!((caller.watch.held(), caller.pool.stats().opening), (4, 0));
        for connection in &mut connections {
            connection.read_request().await;
            connection.write(answer("served")).await;
        }
        all_are_served(clients).await;
        ends_idle(caller).await;
    })
    .await;
}

/// While the next dial is not due, its lane asks for no room: a paused clock goes on only where no task is busy.
#[tokio::test(start_paused = true)]
async fn below_a_limit_too_the_next_dial_is_waited_for_in_peace() {
    let limits: [fn(Settings) -> Settings; 3] = [
        |settings| settings.max_connections(3),
        |settings| settings.max_connections_per_address(3),
        |settings| settings.max_connections(1).max_connections_per_address(1),
    ];
    for (limit, fate) in
        limits.into_iter().flat_map(|limit| [(limit, Fate::Refused), (limit, Fate::Lost)])
    {
        bounded(async {
            let (caller, server) =
                start_with(Backend::Memory, |settings| limit(settings).connect_timeout(SECOND * 2))
                    .await;
            fail_three_times(&caller).await;
            caller.watch.set_fate(&caller.address, fate);
            let start = Instant::now();
            while start.elapsed() < SECOND * 10 {
                let crowd: JoinSet<_> = (0..5).map(|_| caller.fetch(get("/"))).collect();
                let errors =
                    crowd.join_all().await.into_iter().map(|whole| whole.expect_err("no server"));
                assert!(errors.map(|error| error.kind()).all(|kind| match fate {
                    Fate::Lost => kind == ErrorKind::ConnectTimeout,
                    _ => kind == ErrorKind::Connect,
                }));
            }
            caller.watch.set_fate(&caller.address, Fate::Taken);
            let _service = EchoServer::start(server, |_| answer("served"));
            all_are_served((0..5).map(|_| caller.fetch(get("/"))).collect()).await;
            assert!(caller.watch.peak() <= 3);
            ends_idle(caller).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_has_waited_for_a_whole_connect_timeout_fails_with_what_its_dial_says() {
    bounded(async {
        let (caller, _server) = start(Backend::Memory).await;
        fail_three_times(&caller).await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        let start = Instant::now();
        let client: Boxed<_> = caller.fetch(get("/"));
        let error = client.await.expect_err("lost");
        assert_eq!(error.kind(), ErrorKind::ConnectTimeout);
        let told = format!("connecting to {:?}: not connected within 10s", caller.address);
        assert_eq!(error.to_string(), told);
        assert!(start.elapsed() <= LIMIT + GAP * 2, "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_may_wait_do_not_overflow_while_one_dial_is_for_all() {
    bounded(async {
        let (caller, server) =
            start_with(Backend::Memory, |settings| settings.max_waiters_per_address(2)).await;
        fail_three_times(&caller).await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        let waiting = crowd(&caller, 10).await;
        caller.watch.set_fate(&caller.address, Fate::Taken);
        let _service = EchoServer::start(server, |_| answer("served"));
        all_are_served(waiting).await;
    })
    .await;
}

/// It serves one of the requests that wait, and the others dial at once.
#[tokio::test(start_paused = true)]
async fn a_client_that_starts_before_its_server_is_served_as_soon_as_it_is_up() {
    for wait in [SECOND * 2, SECOND * 20] {
        bounded(async {
            let (caller, server) = start(Backend::Memory).await;
            caller.watch.set_fate(&caller.address, Fate::Refused);
            let start = Instant::now();
            while start.elapsed() < wait {
                caller.fetch(get("/")).await.expect_err("it is not up");
                let_pass(Duration::from_millis(50)).await;
            }
            caller.watch.set_fate(&caller.address, Fate::Taken);
            let _service = EchoServer::start(server, |_| answer("served"));
            caller.fetch(get("/")).await.expect("it is up");
            ends_idle(caller).await;
        })
        .await;
    }
}

/// None waits for as long as a dial may take, so none has failed, and the address is not taken to fail.
#[tokio::test(start_paused = true)]
async fn callers_of_little_patience_are_served_as_soon_as_the_server_is_back() {
    for limit in [None, Some(1), Some(3)] {
        for (outage, patience) in [(1_200, 150), (3_300, 150), (7_300, 400), (25_000, 700)] {
            let [outage, patience] = [outage, patience].map(Duration::from_millis);
            bounded(async {
                let (caller, server) = start_with(Backend::Memory, |settings| {
                    settings.max_connections_per_address(limit)
                })
                .await;
                caller.watch.set_fate(&caller.address, Fate::Lost);
                let start = Instant::now();
                while start.elapsed() < outage {
                    let three = [(); 3].map(|()| timeout(patience, caller.fetch(get("/"))));
                    join_all(three)
                        .await
                        .into_iter()
                        .for_each(|lost| assert!(lost.is_err(), "the server is away"));
                    settle().await;
                    assert!(caller.watch.held() <= 1, "only the oldest dial goes on");
                }
                caller.watch.set_fate(&caller.address, Fate::Taken);
                let _service = EchoServer::start(server, |_| answer("served"));
                let (back, mut served) = (Instant::now(), 0);
                while served < 3 {
                    let three = [(); 3].map(|()| timeout(patience, caller.fetch(get("/"))));
                    served = join_all(three).await.into_iter().filter(Result::is_ok).count();
                }
                // Where the limit leaves room for one dial only, that of the callers before has the time until it hangs.
                let late = if limit == Some(1) { SECOND } else { Duration::ZERO };
                assert!(back.elapsed() <= late, "{limit:?}, {outage:?}: {:?}", back.elapsed());
                ends_idle(caller).await;
            })
            .await;
        }
    }
}

/// The hanging dials of those that wait for long are not taken for the one that a newcomer needs.
#[tokio::test(start_paused = true)]
async fn who_waits_for_long_keeps_no_dial_of_a_newcomer_from_its_end() {
    const TAKES: Duration = Duration::from_millis(300);
    for patient in [1, 2, 3] {
        bounded(async {
            let (caller, _server) =
                start_with(Backend::Memory, |settings| settings.http2(Http2::Assumed)).await;
            caller.watch.set_fate(&caller.address, Fate::Lost);
            let mut waiting = JoinSet::new();
            for number in 1..=patient {
                if number == patient {
                    caller.watch.set_fate(&caller.address, Fate::TakenAfter(TAKES));
                }
                waiting.spawn(caller.fetch(get("/")));
                let_pass(if number == patient { Duration::ZERO } else { SECOND * 6 / 5 }).await;
            }
            let back = Instant::now();
            while caller.watch.opened() == 0 {
                // Others of little patience come and go meanwhile.
                timeout(TAKES / 3, caller.fetch(get("/"))).await.ok();
                assert!(back.elapsed() <= TAKES * 2, "{patient} wait: {:?}", back.elapsed());
            }
        })
        .await;
    }
}

/// The dial that is left behind gives way to the newcomer, which waits for that.
#[tokio::test(start_paused = true)]
async fn where_no_request_may_wait_one_is_served_in_place_of_a_dial_that_hangs() {
    bounded(async {
        let (caller, server) = start_with(Backend::Memory, |settings| {
            settings.max_connections_per_address(1).max_waiters_per_address(0)
        })
        .await;
        caller.watch.set_fate(&caller.address, Fate::Lost);
        timeout(SECOND / 10, caller.fetch(get("/"))).await.expect_err("lost");
        let_pass(SECOND * 3 / 2).await;
        caller.watch.set_fate(&caller.address, Fate::Taken);
        let _service = EchoServer::start(server, |_| answer("served"));
        caller.fetch(get("/")).await.expect("a response");
        ends_idle(caller).await;
    })
    .await;
}
