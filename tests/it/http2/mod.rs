//! HTTP/2: many requests over one connection, no more streams than its server allows, and no request lost that the
//! server has not processed.

mod blocked;
mod bodies;
mod ending;
mod faults;
mod kernel;
mod limits;
mod lost;
mod sharing;
mod signs;
mod uploads;
mod versions;

use std::cell::Cell;

use pool_core::Http2;
use pooled_fetch_tests::raw_http2::RawHttp2;
use pooled_fetch_tests::{Backend, Caller, Http2Server, Settings, Stream, Whole, get, start_with};

thread_local! {
    /// What the test of this thread runs over: each has a runtime of one thread.
    static BACKEND: Cell<Backend> = const { Cell::new(Backend::Memory) };
}

/// Runs tests of this module, which are over streams in the clear, over TLS as well.
macro_rules! over_tls_too {
    ($($test:ident),+ $(,)?) => {
        mod over_tls {
            $(
                #[test]
                fn $test() {
                    crate::http2::over_tls(super::$test);
                }
            )+
        }
    };
}
use over_tls_too;

fn over_tls(test: fn()) {
    BACKEND.set(Backend::TlsInMemory);
    test();
    BACKEND.set(Backend::Memory);
}

/// A caller that speaks HTTP/2 from the first byte, and a server that allows so many streams.
pub(crate) async fn start_http2(
    streams: u32,
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, Http2Server) {
    let (caller, server) =
        start_with(BACKEND.get(), |builder| settings(builder.http2(Http2::Assumed))).await;
    (caller, Http2Server::start(server.into_acceptor(), streams))
}

/// A caller that speaks HTTP/2 from the first byte, and a server that writes what the test says.
pub(crate) async fn start_raw(
    settings: impl FnOnce(Settings) -> Settings + Send,
) -> (Caller, RawHttp2) {
    let (caller, server) =
        start_with(BACKEND.get(), |builder| settings(builder.http2(Http2::Assumed))).await;
    (caller, RawHttp2::new(server.into_acceptor()))
}

/// Answers every stream with its path.
pub(crate) fn echo(mut server: Http2Server) -> tokio::task::JoinHandle<Http2Server> {
    tokio::spawn(async move {
        loop {
            let stream = server.next().await;
            let path = stream.path();
            if path == "/end" {
                stream.answer("end");
                return server;
            }
            stream.answer(path);
        }
    })
}

/// A request that the server has, and has not answered.
pub(crate) async fn under_way(
    caller: &Caller,
    server: &mut Http2Server,
    path: &str,
) -> (tokio::task::JoinHandle<Result<Whole, pool_core::Error>>, Stream) {
    let client = tokio::spawn(caller.fetch(get(path)));
    (client, server.next().await)
}

/// A connection that has served, and rests.
pub(crate) async fn served(caller: &Caller, server: &mut Http2Server) {
    let (client, stream) = under_way(caller, server, "/first").await;
    stream.answer("first");
    assert_eq!(client.await.expect("no panic").expect("a response").body, "first");
}
