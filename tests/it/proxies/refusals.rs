//! A proxy that refuses, or is no proxy: the error names it, the target, the step and what it said, and no credentials.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pool_core::{
    ConnectOptions, Connected, Connector, ErrorKind, Event, Fault, Observer, Pool, ServerInfo,
    Target, async_trait,
};
use pool_tcp::{Proxy, ProxyAddress, ProxyConnector, ProxyError};
use pooled_fetch_tests::{Duplex, bounded, get};
use tokio::io::{AsyncReadExt, DuplexStream};

use super::{FakeProxy, read_head, through, write};

/// All that an observer is told.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Observer for Log {
    fn observe(&self, server: &ServerInfo, event: &Event<'_>) {
        let mut log = self.0.lock().expect("no thread panicked with it");
        *log += &format!("{server:?} {} {event:?} {event:#?}\n", server.address());
    }
}

/// What one dial ends with, if the proxy answers with `said` and then closes.
async fn refused(known: Proxy<&'static str>, said: &[u8]) -> (pool_core::Error, String) {
    let (connector, mut proxy) = FakeProxy::start();
    let log = Log::default();
    let pool = Pool::builder(connector).observer(log.clone()).build();
    let pool = pool.expect("settings that make sense");
    let known = known.with_credentials("somebody", "secret");
    let address = through(known, "site.test", 443);
    let server = async {
        let mut stream = proxy.accept().await;
        write(&mut stream, said).await;
        drain(stream).await;
    };
    let (answered, ()) = tokio::join!(pool.http(&address, get("/")), server);
    let error = answered.expect_err("no tunnel");
    let told = log.0.lock().expect("no thread panicked with it").clone();
    (error, told)
}

/// Reads what the client says for as long as it likes, and closes the writing side at once.
async fn drain(mut stream: Box<dyn Duplex>) {
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.ok();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
}

#[tokio::test]
async fn each_way_to_refuse_has_an_error_of_its_own_and_none_shows_credentials() {
    const ASKED: &str = "asking the proxy for a tunnel: ";
    const SHOOK: &str = "shaking hands with the proxy: ";
    let endless = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 10_000]].concat();
    let tunnel = || Proxy::tunnel("proxy.test");
    let socks5 = || Proxy::socks5("proxy.test");
    let cases: Vec<(Proxy<&'static str>, &[u8], &str, &str)> = vec![
        (
            tunnel(),
            b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n",
            ASKED,
            "it wants other credentials (407)",
        ),
        (tunnel(), b"HTTP/1.0 502 Bad\r\n\r\n", ASKED, "it answered 502 Bad Gateway"),
        (tunnel(), b"HTTP/1.1 403 somebody:secret\r\n\r\n", ASKED, "it answered 403 Forbidden"),
        (tunnel(), b"SSH-2.0-OpenSSH_9.2\r\n", ASKED, "its answer is not HTTP"),
        (tunnel(), &[0; 64], ASKED, "its answer is not HTTP"),
        (tunnel(), b"HTTP/1.1 200 OK\r\nvia: x", ASKED, "in the middle of its answer"),
        (tunnel(), b"HTTP/1.1 20", ASKED, "in the middle of its answer"),
        (tunnel(), b"HTTP/1.1 502 Bad\r\nvia: x", ASKED, "in the middle of its answer"),
        (tunnel(), b"", ASKED, "it closed the connection without an answer"),
        (tunnel(), &endless, ASKED, "headers too long"),
        (socks5(), b"", SHOOK, "it closed the connection without an answer"),
        (socks5(), b"HTTP/1.1 400 Bad Request\r\n\r\n", SHOOK, "failed parsing server response"),
        (socks5(), &[5, 0xFF], SHOOK, "does not support user/pass"),
        (socks5(), &[5, 0], SHOOK, "implements authentication incorrectly"),
        (socks5(), &[5, 2, 1, 1], SHOOK, "credentials not accepted"),
        (socks5(), &[5, 2, 1, 0, 5], SHOOK, "in the middle of its answer"),
        (socks5(), &[5, 2, 1, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], SHOOK, "refused"),
    ];
    bounded(async {
        for (known, said, step, why) in cases {
            let name = format!("site.test:443 through the {known:?}: ");
            let (error, events) = refused(known, said).await;
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Connect, "{text}");
            for part in [&name, step.trim_end_matches(": "), why] {
                assert!(text.contains(part), "{part:?} is not in {text:?}");
            }
            let all = format!("{text} {error:?} {error:#?} {events}");
            for secret in ["somebody", "secret", "c29tZWJvZHk6c2VjcmV0"] {
                assert!(!all.contains(secret), "{secret:?} is in {all}");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_says_nothing_is_an_error_that_names_the_step() {
    bounded(async {
        for known in [Proxy::tunnel("proxy.test"), Proxy::socks5("proxy.test")] {
            let (connector, mut proxy) = FakeProxy::start();
            let connector = connector.with_handshake_timeout(Duration::from_secs(2));
            let address = through(known, "site.test", 443);
            let pool = Pool::new(connector);
            let request = get("/");
            let (answered, _open) = tokio::join!(pool.http(&address, request), proxy.accept());
            let text = answered.expect_err("no answer").to_string();
            assert!(text.contains("it has not answered in time"), "{text}");
            assert!(text.contains("proxy.test") && text.contains("site.test:443"), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_status_of_a_refusal_can_be_asked_for_and_is_held_against_the_address() {
    bounded(async {
        let (connector, mut proxy) = FakeProxy::start();
        let address = through(Proxy::tunnel("proxy.test"), "site.test", 443);
        let options = ConnectOptions::new();
        let server = async {
            let mut stream = proxy.accept().await;
            read_head(&mut stream).await;
            write(&mut stream, "HTTP/1.1 407 Who\r\n\r\n").await;
            drain(stream).await;
        };
        let (refused, ()) = tokio::join!(connector.connect(&address, &options), server);
        let Err(error) = refused else { panic!("no tunnel") };
        let inner: &ProxyError = error.get_ref().and_then(|cause| cause.downcast_ref()).unwrap();
        assert_eq!(inner.status().map(|status| status.as_u16()), Some(407));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(connector.fault(&error), Fault::Peer);
    })
    .await;
}

#[tokio::test]
async fn credentials_that_cannot_be_sent_are_an_error_that_does_not_show_them() {
    bounded(async {
        let long = "s".repeat(256);
        for (known, why) in [
            (Proxy::tunnel("proxy.test").with_credentials("a:secret", "b"), "with a colon"),
            (Proxy::forward("proxy.test").with_credentials("a:secret", "b"), "with a colon"),
            (Proxy::socks5("proxy.test").with_credentials("secret", long), "more than can be sent"),
        ] {
            let (connector, _proxy) = FakeProxy::start();
            let address = through(known, "site.test", 443);
            let error = Pool::new(connector).http(&address, get("/")).await.expect_err("no way");
            let all = format!("{error} {error:?}");
            assert!(all.contains(why) && !all.contains("secret") && !all.contains("sss"), "{all}");
        }
    })
    .await;
}

/// It lacks a descriptor, and judges its own errors in its own way.
#[derive(Debug)]
struct Lacking(Fault);

#[async_trait]
impl Connector for Lacking {
    type Address = &'static str;
    type Stream = DuplexStream;

    async fn connect(
        &self,
        _: &&'static str,
        options: &ConnectOptions,
    ) -> io::Result<Connected<DuplexStream>> {
        assert!(!options.http2, "HTTP/2 may be agreed upon with the target, and not with a proxy");
        Err(io::Error::from_raw_os_error(24))
    }

    fn target(&self, _: &&'static str) -> Target {
        Target::http("lacking.test".parse().expect("an authority"))
    }

    fn fault(&self, error: &io::Error) -> Fault {
        assert_eq!(error.raw_os_error(), Some(24), "it gets back what it gave");
        self.0
    }
}

#[tokio::test]
async fn what_keeps_the_proxy_from_being_reached_is_judged_by_the_inner_connector() {
    bounded(async {
        let address = through(Proxy::tunnel("proxy.test"), "site.test", 443);
        for fault in [Fault::Descriptors, Fault::Machine, Fault::Runtime, Fault::Peer] {
            let connector = ProxyConnector::new(ProxyConnector::new(Lacking(fault)));
            let address = ProxyAddress::new(Proxy::tunnel(address.clone()), "behind.test", 80);
            let options = ConnectOptions::new();
            let refused = connector.connect(&address.expect("a host"), &options).await;
            let error = refused.expect_err("no way");
            assert_eq!(connector.fault(&error), fault);
            assert!(error.to_string().starts_with("reaching the proxy"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_behind_a_proxy_that_only_forwards_is_out_of_reach_and_told_no_secret() {
    bounded(async {
        let (inner, mut proxy) = FakeProxy::start();
        let first = Proxy::forward("first.test").with_credentials("somebody", "secret");
        let first = through(first, "second.test", 3128);
        let address = ProxyAddress::new(Proxy::tunnel(first), "site.test", 80).expect("a host");
        let pool = Pool::new(ProxyConnector::new(inner));
        let error = pool.http(&address, get("/")).await.expect_err("no way");
        assert!(error.to_string().contains("only forwards requests"), "{error}");
        let mut said = Vec::new();
        proxy.accept().await.read_to_end(&mut said).await.expect("an end");
        assert!(said.is_empty());
    })
    .await;
}
