//! An upload is not cut off because its server does not read for a while.
//!
//! What the kernel does when a window is shut only the kernel shows, by its own clock: so one test here waits for time to
//! pass.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pool_core::{
    ConnectOptions, Connected, Connector, KernelCheck, Pool, Protocol, Reuse, Target, async_trait,
    reuse,
};
use pool_tcp::TcpConnector;
use pool_tls::{ServerName, TlsAddress, TlsConnector};
use pooled_fetch_tests::{
    AnyStream, Authority, Duplex, EchoServer, Endpoint, MemoryConnector, Pattern, Server, Valid,
    Whole, answer, bounded, eventually, feed, memory_endpoint, post,
};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "site.test";

/// As short as the kernel heeds: it probes a window that is shut after a fifth of a second, and then at twice the time.
const USER_TIMEOUT: Duration = Duration::from_millis(500);

const PAUSE: Duration = Duration::from_millis(1_500);

/// A socket that takes little in without being read.
fn small_listener() -> (TcpListener, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    socket.set_nonblocking(true).expect("a socket for tokio");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    socket.bind(&any.into()).expect("a port on the loopback");
    socket.listen(16).expect("a listener");
    let listener = TcpListener::from_std(socket.into()).expect("a listener of tokio");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

/// Serves one connection: reads nothing of a body before the pause is over, and answers with how much of the pattern came.
async fn pausing(stream: impl Duplex + 'static) {
    let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
        timeout(PAUSE, pending::<()>()).await.ok();
        let content = request.into_body().collect().await?.to_bytes();
        let whole = content == Pattern::bytes(content.len());
        let told = format!("{} {whole}", content.len());
        Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(told))))
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// Sends uploads of each kind, all at once, each over a connection of its own.
async fn nothing_is_lost<C: Connector>(connector: C, address: C::Address) {
    let pool = Pool::new(connector);
    let mut uploads = JoinSet::new();
    // More than the kernel takes in at once, and less, so that it has all of the body while the server pauses.
    for (length, streams) in
        [(8 << 20, false), (8 << 20, true), (64 << 10, false), (64 << 10, true), (6_000, false)]
    {
        let (pool, address) = (pool.clone(), address.clone());
        uploads.spawn(async move {
            let content = Bytes::from(Pattern::bytes(length));
            let sent = if streams {
                let (upload, body) = feed();
                for from in (0..length).step_by(16 << 10) {
                    let piece = content.slice(from..length.min(from + (16 << 10)));
                    upload.send(piece).expect("a body that listens");
                }
                drop(upload);
                pool.http(&address, Request::post("/").body(body).expect("a request")).await
            } else {
                pool.http(&address, post("/", content)).await
            };
            let case = format!("{length} bytes, streaming: {streams}");
            let response = sent.unwrap_or_else(|error| panic!("{case}: {error}"));
            let whole = Whole::read(response).await.expect("a body");
            assert_eq!(whole.body, format!("{length} true"), "{case}");
        });
    }
    while let Some(done) = uploads.join_next().await {
        done.expect("nothing is lost");
    }
}

#[tokio::test]
async fn a_server_that_stops_reading_for_longer_than_the_user_timeout_loses_nothing() {
    bounded(async {
        let connector = TcpConnector::builder().user_timeout(USER_TIMEOUT).build();
        let (listener, address) = small_listener();
        let plain = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pausing(stream));
            }
        });
        let authority = Authority::new();
        let config = authority.issue(&[NAME], Valid::Now).server(&["http/1.1"], None);
        let (listener, tls_address) = small_listener();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let secret = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    pausing(acceptor.accept(stream).await.expect("a handshake")).await;
                });
            }
        });
        let over_tls = TlsConnector::builder(connector.clone()).roots(authority.roots());
        let over_tls = over_tls.build().expect("a provider that can be used");
        let name = ServerName::try_from(NAME).expect("a valid name");
        tokio::join!(
            nothing_is_lost(connector, address),
            nothing_is_lost(over_tls, TlsAddress::new(tls_address, name)),
        );
        plain.abort();
        secret.abort();
    })
    .await;
}

/// Streams in memory that pretend to lie above a socket, and note at each call whether an upload is under way.
struct Told {
    inner: MemoryConnector,
    log: Log,
}

type Log = Arc<Mutex<Vec<(&'static str, bool)>>>;

#[async_trait]
impl Connector for Told {
    type Address = &'static str;
    type Stream = ToldStream;

    async fn connect(
        &self,
        address: &&'static str,
        options: &ConnectOptions,
    ) -> io::Result<Connected<ToldStream>> {
        let (check, log) = (KernelCheck::new(), Arc::clone(&self.log));
        let connected =
            self.inner.connect(address, options).await?.with_kernel_check(check.clone());
        Ok(connected.with_protocol(Protocol::Http1).map_stream(|stream| ToldStream {
            stream,
            check,
            log,
        }))
    }

    fn target(&self, address: &&'static str) -> Target {
        self.inner.target(address)
    }
}

struct ToldStream {
    stream: AnyStream,
    check: KernelCheck,
    log: Log,
}

impl ToldStream {
    fn note(&self, call: &'static str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push((call, self.check.is_uploading()));
    }
}

impl AsyncRead for ToldStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.note("read");
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ToldStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note("write");
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_stream_knows_of_an_upload_before_its_first_byte_and_until_it_carries_another_or_is_parked()
 {
    bounded(async {
        let Endpoint { connector, address, acceptor } = memory_endpoint();
        let _site = EchoServer::start(Server::new(acceptor), |_| answer("taken"));
        let log = Log::default();
        let pool = Pool::new(Told { inner: connector, log: Arc::clone(&log) });
        let long = || Bytes::from(vec![b'x'; 100_000]);
        for (content, is_upload) in [
            (Bytes::new(), false),
            ("short".into(), false),
            (long(), true),
            ("short".into(), false),
        ] {
            for again in [false, true] {
                let mut request = post("/", content.clone());
                if !again {
                    reuse(&mut request, Reuse::Never);
                }
                log.lock().expect("no thread panicked with it").clear();
                let response = pool.http(&address, request).await.expect("a response");
                Whole::read(response).await.expect("a body");
                eventually("it is idle", || pool.stats().leased == 0).await;
                let log = log.lock().expect("no thread panicked with it").clone();
                let case = format!("{} bytes, again: {again}: {log:?}", content.len());
                let writes = log.iter().filter(|(call, _)| *call == "write");
                assert!(
                    writes.clone().count() > 0
                        && writes.clone().all(|(_, told)| *told == is_upload),
                    "{case}"
                );
                assert_eq!(log.last(), Some(&("read", is_upload)), "{case}");
            }
        }
        let (upload, body) = feed();
        drop(upload.send("piece".into()));
        drop(upload);
        log.lock().expect("no thread panicked with it").clear();
        let request = Request::post("/").body(body).expect("a request");
        Whole::read(pool.http(&address, request).await.expect("a response")).await.expect("a body");
        let streamed = log.lock().expect("no thread panicked with it").clone();
        assert!(streamed.contains(&("write", true)) && !streamed.contains(&("write", false)));
        pool.close();
        let Endpoint { connector, address, acceptor } = memory_endpoint();
        let _site = EchoServer::start(Server::new(acceptor), |_| answer("taken"));
        let connector = Told { inner: connector, log: Arc::clone(&log) };
        let pool = Pool::builder(connector).park_after(Duration::ZERO).build().expect("a pool");
        let response = pool.http(&address, post("/", long())).await.expect("a response");
        Whole::read(response).await.expect("a body");
        eventually("it is parked, and was read since", || {
            log.lock().expect("no thread panicked with it").last() == Some(&("read", false))
        })
        .await;
    })
    .await;
}
