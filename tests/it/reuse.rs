//! A connection serves one request after another, and the one that came home last serves next.

use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use pool_core::{Body, Pool};
use pooled_fetch_tests::{
    Backend, Caller, Connection, Endpoint, Probe, Server, Whole, answer, bounded, ends_idle,
    for_each_backend, get, start, tcp_endpoint,
};
use tokio::task::JoinSet;

for_each_backend! {
    sequential_requests_share_one_connection,
    the_connection_that_came_home_last_serves_next,
    sixty_four_at_once_and_again_open_sixty_four_in_all,
    a_connection_is_home_when_its_message_has_ended_though_the_body_is_held,
    a_connection_is_home_with_the_head_when_no_body_follows,
    a_body_tells_its_length_and_its_end,
}

async fn sequential_requests_share_one_connection(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let client = caller.fetch(get("/0"));
    let (mut connection, ..) = server.open(client, answer("0")).await;
    for number in 1..100 {
        let number = number.to_string();
        let client = caller.fetch(get(&format!("/{number}")));
        let (request, whole) = server.reuse(&mut connection, client, answer(&number)).await;
        assert_eq!(request.target(), format!("/{number}"));
        assert_eq!(whole.body, number);
    }
    let stats = caller.pool.stats();
    assert_eq!((stats.opened, stats.reused), (1, 99));
    ends_idle(caller).await;
}

/// Opens so many connections at once that each request has one of its own; their bodies are half sent.
async fn burst(
    caller: &Caller,
    server: &mut Server,
    size: usize,
) -> Vec<(Connection, Response<Body>)> {
    let mut clients = JoinSet::new();
    for number in 0..size {
        let client = caller.send(get(&format!("/{number}")));
        clients.spawn(async move { (number, client.await.expect("a response")) });
    }
    let mut connections = Vec::new();
    for _ in 0..size {
        let mut connection = server.accept().await;
        let target = connection.read_request().await.target()[1..].to_owned();
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await;
        connections.push((target.parse().expect("a number"), connection));
    }
    connections.sort_by_key(|(number, _): &(usize, _)| *number);
    let mut responses = clients.join_all().await;
    responses.sort_by_key(|(number, _)| *number);
    let pairs = connections.into_iter().zip(responses);
    pairs.map(|((_, connection), (_, response))| (connection, response)).collect()
}

async fn the_connection_that_came_home_last_serves_next(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut leased: Vec<_> = burst(&caller, &mut server, 5).await.into_iter().map(Some).collect();
    let mut home = Vec::new();
    for number in [2, 0, 4, 1, 3] {
        let (mut connection, response) = leased[number].take().expect("each comes home once");
        connection.write("lf").await;
        Whole::read(response).await.expect("the other half");
        home.push(connection);
    }

    let last = home.last_mut().expect("five");
    for _ in 0..20 {
        server.reuse(last, caller.fetch(get("/")), answer("again")).await;
    }

    // Unanswered, each request keeps its connection, so that the next must take the next older one.
    let mut waiting = JoinSet::new();
    for connection in home.iter_mut().rev() {
        waiting.spawn(caller.fetch(get("/")));
        connection.read_request().await;
    }
    for connection in &mut home {
        connection.write(answer("done")).await;
    }
    assert!(waiting.join_all().await.iter().all(Result::is_ok));
    assert_eq!(caller.watch.opened(), 5);
    ends_idle(caller).await;
}

async fn sixty_four_at_once_and_again_open_sixty_four_in_all(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let mut connections = Vec::new();
    for (mut connection, response) in burst(&caller, &mut server, 64).await {
        connection.write("lf").await;
        Whole::read(response).await.expect("the other half");
        connections.push(connection);
    }
    assert_eq!(caller.pool.stats().idle, 64);

    let mut clients = JoinSet::new();
    for _ in 0..64 {
        clients.spawn(caller.fetch(get("/")));
    }
    for connection in &mut connections {
        connection.read_request().await;
    }
    for connection in &mut connections {
        connection.write(answer("again")).await;
    }
    assert!(clients.join_all().await.iter().all(Result::is_ok));
    let stats = caller.pool.stats();
    assert_eq!((stats.opened, stats.reused, stats.idle), (64, 64, 64));
    ends_idle(caller).await;
}

async fn a_connection_is_home_when_its_message_has_ended_though_the_body_is_held(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, ..) = server.open(caller.fetch(get("/")), answer("first")).await;
    for (half, other_half) in [
        ("content-length: 8\r\n\r\nhalf", "half"),
        ("transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "4\r\nhalf\r\n0\r\n\r\n"),
    ] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{half}");
        let client = caller.send(get("/held"));
        let (_, mut held) = server.reuse(&mut connection, client, bytes).await;
        next_is_half(&mut held).await;
        assert_eq!(caller.pool.stats().idle, 0);
        connection.write(other_half).await;
        next_is_half(&mut held).await;
        // A proxy stops asking for more of a message as soon as the message says that it has ended.
        if !held.body().is_end_stream() {
            assert!(held.body_mut().frame().await.is_none(), "only its end is left");
        }

        let client = caller.fetch(get("/next"));
        let (request, _) = server.reuse(&mut connection, client, answer("next")).await;
        assert_eq!(request.target(), "/next");
        drop(held);
        assert_eq!(caller.pool.stats().idle, 1, "the held body has nothing left to give back");
    }
    assert_eq!(caller.watch.opened(), 1);
    ends_idle(caller).await;
}

async fn next_is_half(response: &mut Response<Body>) {
    let frame = response.body_mut().frame().await.expect("a frame").expect("a whole one");
    assert_eq!(frame.into_data().expect("content"), "half");
}

async fn a_connection_is_home_with_the_head_when_no_body_follows(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, _, held) =
        server.open(caller.send(get("/held")), "HTTP/1.1 204 No Content\r\n\r\n").await;
    server.reuse(&mut connection, caller.fetch(get("/next")), answer("next")).await;
    drop(held);
    assert_eq!(caller.pool.stats().idle, 1);
    ends_idle(caller).await;
}

const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast";

async fn a_body_tells_its_length_and_its_end(backend: Backend) {
    let (caller, mut server) = start(backend).await;
    let (mut connection, _, response) = server.open(caller.send(get("/")), answer("four")).await;
    let mut body = response.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    body.frame().await.expect("a frame").expect("all of it");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));

    let (_, response) = server.reuse(&mut connection, caller.send(get("/")), answer("")).await;
    assert_eq!(response.body().size_hint().exact(), Some(0));
    assert!(response.body().is_end_stream());

    let (_, response) = server.reuse(&mut connection, caller.send(get("/")), LAST).await;
    let mut body = response.into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    body.frame().await.expect("a frame").expect("all of it");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));

    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let (_, _, response) = server.open(caller.send(get("/")), chunked).await;
    assert_eq!(response.body().size_hint().exact(), None);
    assert!(!response.body().is_end_stream());
    assert_eq!(Whole::read(response).await.expect("a body").body, "body");
    ends_idle(caller).await;
}

#[tokio::test]
async fn two_addresses_never_share_a_connection() {
    bounded(async {
        let Endpoint { connector, address: here, acceptor } = tcp_endpoint().await;
        let mut server_here = Server::new(acceptor);
        let Endpoint { address: there, acceptor, .. } = tcp_endpoint().await;
        let mut server_there = Server::new(acceptor);
        let (connector, watch) = Probe::new(connector);
        let pool = Pool::new(connector);
        let fetch = async |address, path| {
            let request = Request::get(path).body(Empty::new()).expect("a request");
            Whole::read(pool.http(address, request).await?).await
        };

        let (mut one, ..) = server_here.open(fetch(&here, "/here"), answer("here")).await;
        let (mut two, ..) = server_there.open(fetch(&there, "/there"), answer("there")).await;
        server_here.reuse(&mut one, fetch(&here, "/here"), answer("here")).await;
        server_there.reuse(&mut two, fetch(&there, "/there"), answer("there")).await;
        assert_eq!(watch.opened(), 2);
    })
    .await;
}
