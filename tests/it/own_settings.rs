//! Settings of one address, and of one request: which of them wins.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use pool_core::{
    AddressSettings, ErrorKind, Http2, body_timeout, deadline, response_timeout, total_timeout,
};
use pooled_fetch_tests::{
    Address, Backend, Caller, EchoServer, Http2Server, Protocol, Server, Settings, answer, bounded,
    ends_idle, eventually, get, let_pass, start_many_addresses, start_protocol,
};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Servers in memory, and a pool in which the second address has settings of its own.
async fn start(
    set: impl FnOnce(Settings) -> Settings,
    own: impl Fn(AddressSettings) -> AddressSettings + Send + Sync + 'static,
) -> (Vec<Caller>, Vec<Server>) {
    start_many_addresses(Backend::Memory, 2, |settings| {
        set(settings).settings_by_address(move |address: &Address, settings| {
            if address.get() == Some(&1_usize) { own(settings) } else { settings }
        })
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn one_address_speaks_http2_without_asking_and_the_other_http1() {
    bounded(async {
        let (callers, servers) =
            start(|settings| settings, |settings| settings.http2(Http2::Assumed)).await;
        let mut servers = servers.into_iter();
        let _first = EchoServer::start(servers.next().expect("two"), |_| answer("over HTTP/1"));
        let mut second = Http2Server::start(servers.next().expect("two").into_acceptor(), 100);
        for _ in 0..3 {
            let whole = callers[0].fetch(get("/")).await.expect("a response");
            assert_eq!((whole.head.version, &*whole.body), (Version::HTTP_11, &b"over HTTP/1"[..]));
            let response = tokio::spawn(callers[1].fetch(get("/")));
            second.next().await.answer("over HTTP/2");
            let whole = response.await.expect("no panic").expect("a response");
            assert_eq!((whole.head.version, &*whole.body), (Version::HTTP_2, &b"over HTTP/2"[..]));
        }
        assert_eq!(callers[0].pool.stats().opened, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_has_limits_and_times_of_its_own() {
    bounded(async {
        let (callers, mut servers) = start(
            |settings| settings.max_connections_per_address(2).checkout_timeout(SECOND * 9),
            |settings| {
                settings
                    .max_connections(1)
                    .checkout_timeout(SECOND)
                    .idle_timeout(SECOND * 2)
                    .response_timeout(SECOND * 3)
            },
        )
        .await;
        let mut kept = Vec::new();
        for (number, allowed) in [(0, 2), (1, 1)] {
            let caller = &callers[number];
            let mut held = Vec::new();
            for _ in 0..allowed {
                let half = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";
                held.push(servers[number].open(caller.send(get("/")), half).await);
            }
            let since = Instant::now();
            let error = caller.fetch(get("/")).await.expect_err("the limit is reached");
            assert_eq!(error.kind(), ErrorKind::CheckoutTimeout, "{error}");
            assert_eq!(since.elapsed().as_secs(), if number == 0 { 9 } else { 1 });
            for (mut connection, _, response) in held {
                connection.write("half").await;
                pooled_fetch_tests::Whole::read(response).await.expect("a body");
                kept.push(connection);
            }
        }
        let idle = |number: usize| {
            let caller = &callers[number];
            caller.pool.stats_of(&caller.address).map_or(0, |stats| stats.idle)
        };
        assert_eq!((idle(0), idle(1)), (2, 1));
        let_pass(SECOND * 4).await;
        eventually("what was idle there for too long closes", || idle(1) == 0).await;
        assert_eq!(idle(0), 2, "not here");
        let since = Instant::now();
        let error = callers[1].fetch(get("/")).await.expect_err("silence");
        assert_eq!(error.kind(), ErrorKind::ResponseTimeout, "{error}");
        assert_eq!(since.elapsed().as_secs(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_is_asked_for_once_and_its_settings_stay() {
    bounded(async {
        let asked = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&asked);
        let (callers, servers) = start(
            |settings| settings,
            move |settings| {
                count.fetch_add(1, Ordering::SeqCst);
                settings.max_uses(1)
            },
        )
        .await;
        let services: Vec<_> = servers
            .into_iter()
            .map(|server| EchoServer::start(server, |_| answer("served")))
            .collect();
        for caller in &callers {
            for _ in 0..3 {
                caller.fetch(get("/")).await.expect("a response");
            }
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        let opened = |number: usize| {
            let served = services[number].served();
            served.iter().map(|(connection, _)| *connection).max().expect("served")
        };
        assert_eq!((opened(0), opened(1)), (1, 3));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn settings_that_make_no_sense_fail_the_requests_to_their_address_alone() {
    bounded(async {
        let (callers, servers) = start(|settings| settings, |settings| settings.max_uses(0)).await;
        let mut servers = servers.into_iter();
        let _service = EchoServer::start(servers.next().expect("two"), |_| answer("served"));
        let error = callers[1].fetch(get("/")).await.expect_err("with zero nothing could be sent");
        assert_eq!(error.kind(), ErrorKind::Settings);
        let text = error.to_string();
        assert!(
            text.starts_with("choosing the settings for 1: ") && text.contains("max_uses"),
            "{text}"
        );
        error.into_request().expect("it never left");
        callers[1].pool.drain(&callers[1].address).await;
        callers[0].fetch(get("/")).await.expect("all is well here");
    })
    .await;
}

/// How long a request that is set so, to a server that answers only with half a response, or with nothing, takes to fail.
async fn fails(
    protocol: Protocol,
    answers: bool,
    set: impl FnOnce(&mut Request<Full<Bytes>>),
) -> (ErrorKind, Duration) {
    let all = |settings: Settings| {
        settings.response_timeout(SECOND * 10).body_timeout(SECOND * 10).total_timeout(SECOND * 100)
    };
    let (caller, server) = start_protocol(protocol, all).await;
    let acceptor = server.into_acceptor();
    let mut request = get("/");
    set(&mut request);
    let since = Instant::now();
    let exchange = async {
        let response = caller.send(request).await?;
        response.into_body().collect().await
    };
    let serve = async {
        if protocol == Protocol::MemoryHttp1 {
            let mut server = Server::new(acceptor);
            let mut connection = server.accept().await;
            connection.read_request().await;
            if answers {
                connection.write("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").await;
            }
            connection.read_to_end().await;
            std::future::pending::<()>().await;
        } else {
            let mut server = Http2Server::start(acceptor, 100);
            let mut stream = server.next().await;
            let held = answers.then(|| stream.begin("half"));
            std::future::pending::<()>().await;
            drop((stream, held));
        }
    };
    let error = tokio::select! {
        result = exchange => result.expect_err("no whole response"),
        () = serve => unreachable!("it never ends"),
    };
    let took = since.elapsed();
    ends_idle(caller).await;
    (error.kind(), took)
}

const BOTH: [Protocol; 2] = [Protocol::MemoryHttp1, Protocol::MemoryHttp2];

#[tokio::test(start_paused = true)]
async fn a_request_has_times_of_its_own() {
    bounded(async {
        for protocol in BOTH {
            for (answers, kind, set, seconds) in [
                (false, ErrorKind::ResponseTimeout, None, 10),
                (false, ErrorKind::ResponseTimeout, Some(SECOND * 3), 3),
                (false, ErrorKind::ResponseTimeout, Some(SECOND * 30), 30),
                (true, ErrorKind::BodyTimeout, None, 10),
                (true, ErrorKind::BodyTimeout, Some(SECOND * 3), 3),
                (true, ErrorKind::BodyTimeout, Some(SECOND * 30), 30),
            ] {
                let failed = fails(protocol, answers, |request| match set {
                    None => {}
                    Some(limit) if answers => body_timeout(request, limit),
                    Some(limit) => response_timeout(request, limit),
                });
                let (failed, took) = failed.await;
                assert_eq!((failed, took.as_secs()), (kind, seconds), "{protocol:?} {set:?}");
            }
            for answers in [false, true] {
                let failed = fails(protocol, answers, |request| {
                    response_timeout(request, None);
                    body_timeout(request, None);
                });
                let (failed, took) = failed.await;
                assert_eq!((failed, took.as_secs()), (ErrorKind::TotalTimeout, 100));
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_request_and_a_total_time_end_it_whichever_comes_first() {
    bounded(async {
        for protocol in BOTH {
            for answers in [false, true] {
                for (at, total, seconds) in [(4, 5, 4), (5, 4, 4), (0, 5, 0)] {
                    let failed = fails(protocol, answers, |request| {
                        deadline(request, Instant::now() + SECOND * at);
                        total_timeout(request, SECOND * total);
                    });
                    let (kind, took) = failed.await;
                    assert_eq!(kind, ErrorKind::TotalTimeout, "{protocol:?} {answers}");
                    assert_eq!(took.as_secs(), seconds);
                }
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_is_over_is_not_sent() {
    bounded(async {
        for protocol in BOTH {
            let (caller, _server) = start_protocol(protocol, |settings: Settings| settings).await;
            let mut request = get("/");
            deadline(&mut request, Instant::now());
            let error = caller.send(request).await.expect_err("too late");
            assert_eq!(error.kind(), ErrorKind::TotalTimeout);
            error.into_request().expect("it never left");
            assert_eq!(caller.watch.opened(), 0);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_address_leaves_as_the_pool_has_it_gives_way_to_what_it_sets() {
    bounded(async {
        let (callers, servers) = start(
            |settings| settings.max_idle_per_address(10).min_idle(3),
            |settings| settings.max_connections(2),
        )
        .await;
        let _services: Vec<_> = servers
            .into_iter()
            .map(|server| EchoServer::start(server, |_| answer("served")))
            .collect();
        for caller in &callers {
            caller.fetch(get("/")).await.expect("a response");
        }
    })
    .await;
}
