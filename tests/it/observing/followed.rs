//! A request is followed to its end, which is told once, whichever way it ends.

use std::io;
use std::mem::ManuallyDrop;

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full};
use pool_core::{Event, Follower, Observer, RequestBody, RequestEvent, ServerInfo};
use pooled_fetch_tests::{
    Backend, Whole, answer, bounded, ends_idle, feed, for_each_backend, get, post, start_with,
};

use super::Log;
use crate::http2::{start_http2, under_way};

for_each_backend! {
    each_way_out_is_told_once,
    a_request_that_is_sent_again_is_followed_once,
}

const HALF: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

const ANSWERED: &str = "answered 200 HTTP/1.1 use 1";

async fn each_way_out_is_told_once(backend: Backend) {
    let log = Log::default();
    let (caller, mut server) = start_with(backend, |settings| settings.observer(log.clone())).await;

    let (mut connection, _, response) =
        server.open(caller.send(get("/whole")), answer("whole")).await;
    assert_eq!(log.take(), ["GET /whole", ANSWERED, "ended 5"], "whether it is read or not");
    drop(response);
    assert_eq!(log.take(), [""; 0]);

    server.reuse(&mut connection, caller.fetch(get("/empty")), answer("")).await;
    assert_eq!(log.take(), ["GET /empty", "answered 200 HTTP/1.1 use 2", "ended 0"]);
    caller.pool.close_idle();

    let (mut connection, _, response) = server.open(caller.send(get("/streamed")), HALF).await;
    let mut body = response.into_body();
    assert_eq!(log.take(), ["GET /streamed", ANSWERED]);
    body.frame().await.expect("a frame").expect("it comes");
    assert_eq!(log.take(), [""; 0]);
    connection.write("half").await;
    assert_eq!(body.collect().await.expect("the rest").to_bytes(), "half");
    assert_eq!(log.take(), ["ended 8"]);
    caller.pool.close_idle();

    let (connection, _, response) = server.open(caller.send(get("/cut")), HALF).await;
    drop(connection);
    Whole::read(response).await.expect_err("cut in the middle");
    assert_eq!(log.take(), ["GET /cut", ANSWERED, "failed response_body 4"]);

    let (mut connection, _, response) = server.open(caller.send(get("/left")), HALF).await;
    drop(response);
    assert_eq!(log.take(), ["GET /left", ANSWERED, "dropped 0"]);
    connection.ends().await;

    let client = tokio::spawn(caller.fetch(get("/given-up")));
    let mut connection = server.accept().await;
    connection.read_request().await;
    client.abort();
    connection.ends().await;
    assert_eq!(log.take(), ["GET /given-up", "dropped 0"]);

    caller.watch.fail_next(io::ErrorKind::ConnectionRefused);
    caller.fetch(get("/refused")).await.expect_err("refused");
    assert_eq!(log.take(), ["GET /refused", "failed connect 0"]);

    let odd =
        Request::get("/odd").header("content-length", "x").body(Empty::new()).expect("a head");
    caller.fetch(odd).await.expect_err("it contradicts itself");
    assert_eq!(log.take(), ["GET /odd", "failed invalid_request 0"]);

    let lease = server.open(
        Box::pin({
            let (pool, address) = (caller.pool.clone(), caller.address.clone());
            async move { pool.lease(&address).await?.http(get("/leased")).await }
        }),
        answer("leased"),
    );
    lease.await;
    assert_eq!(log.take(), ["GET /leased", ANSWERED, "ended 6"]);

    caller.pool.drain(&caller.address).await;
    caller.fetch(get("/retired")).await.expect_err("retired");
    assert_eq!(log.take(), ["GET /retired", "failed retired 0"]);
    ends_idle(caller).await;
}

async fn a_request_that_is_sent_again_is_followed_once(backend: Backend) {
    let log = Log::default();
    let (caller, mut server) = start_with(backend, |settings| settings.observer(log.clone())).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    log.take();
    let client = tokio::spawn(caller.fetch(get("/again")));
    connection.read_request().await;
    drop(connection);
    let mut connection = server.accept().await;
    connection.read_request().await;
    connection.write(answer("again")).await;
    client.await.expect("no panic").expect("a response");
    assert_eq!(log.take(), ["GET /again", "retried response", ANSWERED, "ended 5"]);
    ends_idle(caller).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_followed_as_a_connection_is() {
    bounded(async {
        let log = Log::default();
        let (caller, mut server) =
            start_http2(100, |settings| settings.observer(log.clone())).await;
        let (client, stream) = under_way(&caller, &mut server, "/whole").await;
        assert_eq!(log.take(), ["GET /whole"]);
        stream.answer("whole");
        client.await.expect("no panic").expect("a response");
        assert_eq!(log.take(), ["answered 200 HTTP/2.0 use 1", "ended 5"]);

        let (client, stream) = under_way(&caller, &mut server, "/given-up").await;
        client.abort();
        client.await.expect_err("aborted");
        assert_eq!(log.take(), ["GET /given-up", "dropped 0"]);
        drop(stream);

        for (path, ends) in [("/cut", "failed response_body 4"), ("/left", "dropped 4")] {
            let client = tokio::spawn(caller.send(get(path)));
            let mut sending = server.next().await.begin("half");
            let response = client.await.expect("no panic").expect("a head");
            let use_number = response.body().connection().use_number();
            let answered = format!("answered 200 HTTP/2.0 use {use_number}");
            assert_eq!(log.take(), [format!("GET {path}"), answered]);
            let mut body = response.into_body();
            body.frame().await.expect("a frame").expect("it comes");
            if path == "/cut" {
                sending.send_reset(h2::Reason::INTERNAL_ERROR);
                body.frame().await.expect("a frame").expect_err("it was reset");
            }
            drop(body);
            assert_eq!(log.take(), [ends]);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_whole_has_come_however_much_of_the_request_is_still_to_go() {
    bounded(async {
        let log = Log::default();
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(log.clone())).await;
        for (early, ended) in [("early", "ended 5"), ("", "ended 0")] {
            let (_feed, body) = feed();
            let request = Request::post("/").body(body).expect("a head");
            let client = tokio::spawn(caller.send(request));
            let mut connection = server.accept().await;
            connection.read_head().await;
            connection.write(answer(early)).await;
            let mut response = client.await.expect("no panic").expect("an early answer");
            while !response.body().is_end_stream() {
                response.body_mut().frame().await.expect("a frame").expect("it comes");
            }
            drop(response);
            assert_eq!(log.take(), ["POST /", ANSWERED, ended]);
        }
    })
    .await;
}

/// What is told of a request is dropped with its span, and that may panic too.
struct PanicsAsItDrops;

impl Observer for PanicsAsItDrops {
    fn observe(&self, _: &ServerInfo, _: &Event<'_>) {}

    fn follow(&self, _: &ServerInfo, _: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        Some(Box::new(Self))
    }
}

impl Follower for PanicsAsItDrops {
    fn observe(&mut self, _: &RequestEvent<'_>) {}
}

impl Drop for PanicsAsItDrops {
    fn drop(&mut self) {
        panic!("as it drops");
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_panics_as_it_drops_costs_no_response() {
    bounded(async {
        let observer = ManuallyDrop::new(PanicsAsItDrops);
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(Follows(observer))).await;
        let (mut connection, whole, _) = server.open(caller.fetch(get("/")), answer("whole")).await;
        drop(whole);
        server.reuse(&mut connection, caller.fetch(get("/")), answer("again")).await;
        let error = {
            caller.pool.drain(&caller.address).await;
            caller.fetch(get("/")).await.expect_err("retired")
        };
        assert_eq!(error.kind(), pool_core::ErrorKind::Retired);
    })
    .await;
}

/// Keeps the observer itself, whose end is no part of this.
struct Follows(ManuallyDrop<PanicsAsItDrops>);

impl Observer for Follows {
    fn observe(&self, _: &ServerInfo, _: &Event<'_>) {}

    fn follow(
        &self,
        server: &ServerInfo,
        request: &Request<RequestBody>,
    ) -> Option<Box<dyn Follower>> {
        self.0.follow(server, request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_over_a_held_connection_is_followed() {
    bounded(async {
        let log = Log::default();
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(log.clone())).await;
        let lease = tokio::spawn({
            let (pool, address) = (caller.pool.clone(), caller.address.clone());
            async move { pool.lease(&address).await }
        });
        let mut connection = server.accept().await;
        let mut held = lease.await.expect("no panic").expect("a connection").hold();
        for number in 1..=2 {
            let request = tokio::spawn(async move {
                let whole = Whole::read(held.http(post("/held", "content")).await?).await;
                whole.map(|_| held)
            });
            connection.read_request().await;
            connection.write(answer("held")).await;
            held = request.await.expect("no panic").expect("a response");
            let answered = format!("answered 200 HTTP/1.1 use {number}");
            assert_eq!(log.take(), ["POST /held", &answered, "ended 4"]);
        }
        drop(connection);
        held.http(get("/gone")).await.expect_err("it has closed");
        assert_eq!(log.take(), ["GET /gone", "failed unsent 0"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_to_any_address_is_followed_once_and_one_to_none_fails() {
    bounded(async {
        let log = Log::default();
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(log.clone())).await;
        let any = |path| {
            let (pool, address) = (caller.pool.clone(), caller.address.clone());
            async move { pool.http_any(&[address.clone(), address], get(path)).await }
        };
        let _open = server.open(Box::pin(any("/any")), answer("any")).await;
        assert_eq!(log.take(), ["GET /any", ANSWERED, "ended 3"]);
        caller.pool.http_any(&[], get("/none")).await.expect_err("there is no address");
        assert_eq!(log.take(), ["GET /none", "failed invalid_request 0"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_ends_its_request_with_the_head() {
    bounded(async {
        let log = Log::default();
        let (caller, mut server) =
            start_with(Backend::Memory, |settings| settings.observer(log.clone())).await;
        let request = Request::get("/chat")
            .header("connection", "upgrade")
            .header("upgrade", "chat")
            .body(Full::<Bytes>::default())
            .expect("a head");
        let head =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n";
        let (_tunnel, _, response) = server.open(caller.send(request), head).await;
        assert_eq!(log.take(), ["GET /chat", "answered 101 HTTP/1.1 use 1", "ended 0"]);
        drop(response);
        assert_eq!(log.take(), [""; 0]);
    })
    .await;
}

/// Follows, and panics whenever it is told anything.
struct Panics;

impl Observer for Panics {
    fn observe(&self, _: &ServerInfo, _: &Event<'_>) {
        panic!("of a connection");
    }

    fn follow(&self, _: &ServerInfo, _: &Request<RequestBody>) -> Option<Box<dyn Follower>> {
        Some(Box::new(Self))
    }
}

impl Follower for Panics {
    fn observe(&mut self, _: &RequestEvent<'_>) {
        panic!("of a request");
    }
}

#[tokio::test(start_paused = true)]
async fn every_observer_is_told_in_the_order_in_which_they_came_and_whatever_the_others_do() {
    bounded(async {
        let (first, last) = (Log::default(), Log::default());
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.observer(first.clone()).observer(Panics).observer(last.clone())
        })
        .await;
        let (_open, ..) = server.open(caller.fetch(get("/")), answer("whole")).await;
        let told = first.take();
        assert_eq!(told, ["GET /", ANSWERED, "ended 5"]);
        assert_eq!(last.take(), told);

        let both = Log::default();
        let (caller, mut server) = start_with(Backend::Memory, |settings| {
            settings.observer(both.clone()).observer(both.clone())
        })
        .await;
        let (_open, ..) = server.open(caller.fetch(get("/")), answer("whole")).await;
        let told = both.take();
        assert_eq!(told, ["GET /", "GET /", ANSWERED, ANSWERED, "ended 5", "ended 5"]);
    })
    .await;
}
