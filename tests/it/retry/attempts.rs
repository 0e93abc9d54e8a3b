//! How often a request is sent again, over which connections, and what its caller is told and given back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use pool_core::{
    Builder, Error, ErrorKind, Event, Observer, Pool, Reuse, ServerInfo, Written, reuse,
};
use pooled_fetch_tests::{
    Backend, Cut, CutHttp1, How, Lent, Pieces, Whole, answer, bounded, ends_idle, for_each_backend,
    get, post, start, start_with,
};
use tokio::task::JoinSet;

for_each_backend! {
    a_get_that_the_server_cut_off_is_served_by_another_connection,
    a_post_with_a_key_that_the_server_cut_off_is_served_by_another_connection,
    a_request_that_may_never_reuse_goes_over_a_new_connection,
    a_safe_request_reuses_only_if_it_could_be_sent_again,
    a_request_that_found_no_connection_comes_back_as_it_was,
}

const RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";

/// Serves once, and fails its next request when twenty bytes of it were accepted.
const STALE: Cut = Cut { after: 1, how: How::Write(20) };

/// As [`STALE`], but in order: its siblings may be good.
const ENDED: Cut = Cut { after: 1, how: How::End(20) };

/// Serves once, and ends in order before it accepts a byte of its next request.
const CLOSED: Cut = Cut { after: 1, how: How::End(0) };

/// A pool with so many idle connections that have served once and are cut in their next request, and then such as are
/// planned.
async fn idle(count: usize, cut: Cut, then: &[Cut]) -> (Pool<CutHttp1>, CutHttp1) {
    let plans = vec![cut; count].into_iter().chain(then.iter().copied());
    let wires = CutHttp1::new(RESPONSE, plans);
    let pool = Pool::new(wires.clone());
    let mut leases = Vec::new();
    for _ in 0..count {
        leases.push(pool.lease(&"wire").await.expect("a connection"));
    }
    for lease in leases {
        let response = lease.http(get("/first")).await.expect("nothing is cut yet");
        Whole::read(response).await.expect("nothing is cut yet");
    }
    assert_eq!((pool.stats().idle, wires.opened()), (count, count));
    (pool, wires)
}

#[tokio::test]
async fn a_get_that_was_cut_off_goes_over_a_fresh_connection_however_many_are_idle() {
    bounded(async {
        let (pool, wires) = idle(5, ENDED, &[]).await;
        let response = pool.http(&"wire", get("/case")).await.expect("the fresh connection");
        let info = response.body().connection().clone();
        assert_eq!((info.attempt(), info.use_number()), (2, 1));
        Whole::read(response).await.expect("a body");
        let stats = pool.stats();
        assert_eq!((wires.opened(), stats.idle), (6, 5));
        assert_eq!((stats.stale, stats.retried), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn after_two_idle_connections_that_accepted_nothing_the_third_is_fresh() {
    bounded(async {
        let (pool, wires) = idle(5, CLOSED, &[]).await;
        let response =
            pool.http(&"wire", post("/case", "once")).await.expect("the fresh connection");
        let info = response.body().connection().clone();
        assert_eq!((info.attempt(), info.use_number()), (3, 1));
        Whole::read(response).await.expect("a body");
        let stats = pool.stats();
        assert_eq!((wires.opened(), stats.idle), (6, 4));
        assert_eq!((stats.stale, stats.retried), (2, 2));
    })
    .await;
}

#[tokio::test]
async fn a_crowd_of_idle_connections_that_ends_at_once_costs_no_get() {
    bounded(async {
        const CROWD: usize = 40;
        for _ in 0..8 {
            let (pool, wires) = idle(CROWD, ENDED, &[]).await;
            let mut requests: JoinSet<_> = (0..CROWD)
                .map(|_| {
                    let pool = pool.clone();
                    async move { Whole::read(pool.http(&"wire", get("/case")).await?).await }
                })
                .collect();
            while let Some(answer) = requests.join_next().await {
                assert_eq!(answer.expect("no panic").expect("a response").body, "done");
            }
            let stats = pool.stats();
            assert_eq!((stats.stale, stats.retried), (CROWD as u64, CROWD as u64));
            assert_eq!(wires.opened(), 2 * CROWD);
        }
    })
    .await;
}

#[tokio::test]
async fn a_fresh_connection_that_fails_after_a_stale_one_is_the_last() {
    bounded(async {
        let (pool, wires) = idle(1, STALE, &[Cut { after: 0, how: How::Write(0) }]).await;
        let error = pool.http(&"wire", get("/case")).await.expect_err("both are cut");
        let evidence = error.evidence();
        assert_eq!((evidence.attempts(), evidence.is_fresh(), wires.opened()), (2, true, 2));
        // The last connection accepted nothing, but the one before had.
        assert_eq!((evidence.written(), evidence.is_unsent()), (Written::Nothing, false));
        let told = "(request 1 of a fresh connection, not written, nothing read, attempt 2)";
        assert!(error.to_string().ends_with(told), "{error}");
        assert!(error.into_request().is_err(), "some of it had been accepted");
    })
    .await;
}

#[derive(Default)]
struct Retries(Mutex<Vec<String>>);

impl Observer for Retries {
    fn observe(&self, _: &ServerInfo, event: &Event<'_>) {
        if let Event::Retried { error, .. } = event {
            self.0.lock().expect("no thread panics with it").push(error.to_string());
        }
    }
}

#[tokio::test]
async fn an_observer_is_told_of_what_was_saved() {
    bounded(async {
        let retries = Arc::<Retries>::default();
        let wires = CutHttp1::new(RESPONSE, [STALE]);
        let builder: Builder<_> = Pool::builder(wires).observer(Arc::clone(&retries));
        let pool = builder.build().expect("settings that make sense");
        for _ in 0..2 {
            let response = pool.http(&"wire", get("/")).await.expect("a response");
            Whole::read(response).await.expect("a body");
        }
        let told = retries.0.lock().expect("no thread panicked with it");
        let [told] = &told[..] else { panic!("one was sent again: {told:?}") };
        assert!(told.contains("a reused connection") && told.contains("partly written"), "{told}");
    })
    .await;
}

async fn a_get_that_the_server_cut_off_is_served_by_another_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut first, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let client = tokio::spawn(caller.fetch(get("/again")));
    assert_eq!(first.read_request().await.target(), "/again");
    drop(first);
    let mut second = server.accept().await;
    assert_eq!(second.read_request().await.target(), "/again");
    second.write(answer("second")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "second");
    let stats = caller.pool.stats();
    assert_eq!((stats.opened, stats.stale, stats.retried), (2, 1, 1));
    ends_idle(caller).await;
}

async fn a_post_with_a_key_that_the_server_cut_off_is_served_by_another_connection(
    backend: Backend,
) {
    let (caller, mut server) = start(backend).await;
    let (mut first, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let mut request = post("/pay", "once");
    request.headers_mut().insert("idempotency-key", "7".parse().expect("a value"));
    let client = tokio::spawn(caller.fetch(request));
    let lost = first.read_request().await;
    drop(first);
    let mut second = server.accept().await;
    let again = second.read_request().await;
    assert_eq!((lost.line, lost.headers, lost.body), (again.line, again.headers, again.body));
    second.write(answer("paid")).await;
    assert_eq!(client.await.expect("no panic").expect("a response").body, "paid");
    ends_idle(caller).await;
}

async fn a_request_that_may_never_reuse_goes_over_a_new_connection(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| settings.max_connections(2)).await;
    let (first, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for round in 2..5_u64 {
        let mut request = get("/");
        reuse(&mut request, Reuse::Never);
        // Beyond the limit the idle ones make room.
        let (_connection, _, whole) = server.open(caller.fetch(request), answer("new")).await;
        assert_eq!((whole.body, caller.pool.stats().opened), (Bytes::from("new"), round));
    }
    drop(first);
    ends_idle(caller).await;
}

async fn a_safe_request_reuses_only_if_it_could_be_sent_again(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut kept, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    let mut safe = get("/safe");
    reuse(&mut safe, Reuse::Safe);
    let client = tokio::spawn(caller.fetch(safe));
    assert_eq!(kept.read_request().await.target(), "/safe");
    kept.write(answer("safe")).await;
    client.await.expect("no panic").expect("a response");
    let mut unsafe_post = post("/once", "content");
    reuse(&mut unsafe_post, Reuse::Safe);
    server.open(caller.fetch(unsafe_post), answer("new")).await;
    let body = Pieces::new(["bit ", "by ", "bit"]);
    let mut unsafe_put = Request::put("/once").body(body).expect("a request");
    reuse(&mut unsafe_put, Reuse::Safe);
    server.open(caller.fetch(unsafe_put), answer("new")).await;
    assert_eq!((caller.pool.stats().opened, caller.pool.stats().reused), (3, 1));
    ends_idle(caller).await;
}

/// A request with all that a pool may change on its way.
fn unmistakable() -> Request<Pieces> {
    Request::post("http://example.org/path?query")
        .header("x-mine", "value")
        .body(Pieces::new(["bit ", "by ", "bit"]))
        .expect("a request")
}

async fn check_back(error: Error, kind: ErrorKind) {
    assert_eq!((error.kind(), error.evidence().attempts()), (kind, 0));
    assert!(error.evidence().is_unsent());
    let (head, body) = error.into_request().expect("nothing was sent").into_parts();
    assert_eq!(head.uri, "http://example.org/path?query");
    let names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-mine"]);
    assert_eq!(body.collect().await.expect("the caller's body").to_bytes(), "bit by bit");
}

async fn a_request_that_found_no_connection_comes_back_as_it_was(backend: Backend) {
    let (caller, mut server) = start_with(backend, |settings| {
        settings
            .max_connections(1)
            .max_waiters_per_address(0)
            .checkout_timeout(Duration::from_secs(60))
    })
    .await;
    let lent = Lent::open(&caller, &mut server).await;
    let error = caller.send(unmistakable()).await.expect_err("no place in the queue");
    check_back(error, ErrorKind::QueueFull).await;
    lent.come_home().await;
    caller.pool.drain(&caller.address).await;
    let error = caller.send(unmistakable()).await.expect_err("a retired address");
    check_back(error, ErrorKind::Retired).await;
    caller.pool.retain(|_| true);
    caller.watch.fail_next(std::io::ErrorKind::ConnectionRefused);
    let error = caller.send(unmistakable()).await.expect_err("a refused connection");
    check_back(error, ErrorKind::Connect).await;
    caller.pool.close();
    let error = caller.send(unmistakable()).await.expect_err("a closed pool");
    check_back(error, ErrorKind::Closed).await;
    ends_idle(caller).await;
}

#[tokio::test]
async fn a_request_that_came_back_can_be_sent_elsewhere() {
    bounded(async {
        let refuses = CutHttp1::new(RESPONSE, [Cut { after: 0, how: How::Write(0) }]);
        let error = Pool::new(refuses).http(&"refuses", post("/path", "content")).await;
        let request =
            error.expect_err("it accepts nothing").into_request().expect("nothing was sent");
        assert!(request.headers().get("host").is_none(), "the address of another server");
        let takes = CutHttp1::new(RESPONSE, []);
        let response = Pool::new(takes.clone()).http(&"takes", request).await.expect("a response");
        assert_eq!(Whole::read(response).await.expect("a body").body, "done");
        assert_eq!(takes.executed(), ["post /path http/1.1"]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_request_comes_back_too() {
    bounded(async {
        let request = Request::post("/").header("content-length", "5").body(Full::from("four"));
        let pool = Pool::new(CutHttp1::new(RESPONSE, []));
        let error =
            pool.http(&"wire", request.expect("a request")).await.expect_err("a contradiction");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(
            error.into_request().expect("nothing was sent").headers()["content-length"],
            "5"
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_that_waits_for_100_continue_is_sent_again_whole() {
    bounded(async {
        let stale = Cut { after: 1, how: How::WhileIdle };
        let wires = CutHttp1::new(RESPONSE, [stale]);
        let pool = Pool::builder(wires.clone())
            .expect_continue_timeout(Duration::ZERO)
            .build()
            .expect("settings that make sense");
        Whole::read(pool.http(&"wire", get("/first")).await.expect("a response"))
            .await
            .expect("a body");
        wires.close_idle();
        let request = Request::post("/case")
            .header("expect", "100-continue")
            .body(Pieces::new(["bit ", "by ", "bit"]))
            .expect("a request");
        let response = pool.http(&"wire", request).await.expect("a response");
        assert_eq!(response.body().connection().attempt(), 2);
        assert_eq!(wires.executed().len(), 2);
    })
    .await;
}
