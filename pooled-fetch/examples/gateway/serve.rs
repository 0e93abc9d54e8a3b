//! Listening, and stopping without cutting anything.
//!
//! Told to stop, it takes no further client, lets those go whose requests are answered, and gives requests under way, and
//! tunnels, a grace period. Then the pool closes, and what is still lent gets what is left of that period.

use std::fmt;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::BoxError;
use super::admin;
use super::fields::Via;
use super::forward::{Client, Forwarder};
use super::options::{Options, limit};
use super::samples::Samples;
use super::tls;
use super::tunnel::Tunnels;
use super::upstreams::Upstreams;
use super::workers::Workers;

/// Between two accepts that fail: descriptors that were wanting are not there at once.
const BREATH: Duration = Duration::from_millis(50);

/// Serves until `stop` ends, and then what is under way.
pub(crate) async fn serve(
    options: Options,
    stop: impl Future<Output = ()>,
) -> Result<(), BoxError> {
    let upstreams = Arc::new(Upstreams::new(&options)?);
    let acceptor = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Some(tls::acceptor(cert, key)?),
        _ => None,
    };
    let workers = Workers::start(options.threads)?;
    let front = Front {
        forwarder: Arc::new(Forwarder {
            upstreams: Arc::clone(&upstreams),
            tunnels: Tunnels::default(),
            via: Via::new(&options.via)?,
            believes_forwarded: options.behind_proxy,
        }),
        acceptor,
        server: server(&options),
        client_timeout: limit(options.client_timeout),
    };
    let listener = listen(options.listen).await?;
    let scheme = if front.acceptor.is_some() { "https" } else { "http" };
    say(format_args!("listening on {scheme}://{}", listener.local_addr()?));
    let stopping = Arc::new(AtomicBool::default());
    let samples = Samples::start(Arc::clone(&upstreams));
    if let Some(address) = options.admin {
        let listener = listen(address).await?;
        say(format_args!("page on http://{}/", listener.local_addr()?));
        tokio::spawn(admin::serve(listener, samples, Arc::clone(&stopping)));
    }
    let front = Arc::new(front);
    let clients = GracefulShutdown::new();
    tokio::select! {
        () = accept(&listener, &workers, &front, &clients) => {}
        () = stop => {}
    }
    stopping.store(true, Ordering::Relaxed);
    say(format_args!("stopping"));
    accept_the_last(&listener, &workers, &front, &clients).await;
    drop(listener);
    let end = Instant::now() + options.grace;
    let ended = async {
        clients.shutdown().await;
        front.forwarder.tunnels.emptied().await;
    };
    if timeout_at(end, ended).await.is_err() {
        let tunnels = front.forwarder.tunnels.count();
        tracing::warn!("requests, or {tunnels} tunnels, did not end in {:?}", options.grace);
    }
    if let Err(left) = upstreams.pool.close().within(end - Instant::now()).await {
        tracing::warn!("{left} connections to upstreams were still lent");
    }
    Ok(())
}

/// Ends when the process is told to stop, as a service manager or a terminal does it.
#[cfg(unix)]
pub(crate) fn until_told_to_stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(crate) fn until_told_to_stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// For whoever started it, who may not listen any more.
fn say(what: fmt::Arguments<'_>) {
    writeln!(io::stdout(), "{what}").ok();
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BoxError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("listening on {address}: {error}").into())
}

fn server(options: &Options) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(limit(options.client_timeout));
    // A client whose path has gone would hold its streams for ever.
    server.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(60));
    server
}

/// What clients come in by.
struct Front {
    forwarder: Arc<Forwarder>,
    acceptor: Option<TlsAcceptor>,
    server: auto::Builder<TokioExecutor>,
    client_timeout: Option<Duration>,
}

async fn accept(
    listener: &TcpListener,
    workers: &Workers,
    front: &Arc<Front>,
    clients: &GracefulShutdown,
) {
    let mut breaths = interval(BREATH);
    breaths.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => welcome(stream, address, workers, front, clients),
            Err(error) => {
                tracing::warn!("accepting a client: {error}");
                breaths.tick().await;
            }
        }
    }
}

/// Takes those that have connected already: the kernel would reset them.
async fn accept_the_last(
    listener: &TcpListener,
    workers: &Workers,
    front: &Arc<Front>,
    clients: &GracefulShutdown,
) {
    while let Ok(Ok((stream, address))) = timeout(Duration::ZERO, listener.accept()).await {
        welcome(stream, address, workers, front, clients);
    }
}

fn welcome(
    stream: TcpStream,
    address: SocketAddr,
    workers: &Workers,
    front: &Arc<Front>,
    clients: &GracefulShutdown,
) {
    // It only makes small answers faster.
    stream.set_nodelay(true).ok();
    // Out of this runtime, and into that of its thread.
    let stream = stream.into_std();
    let client = Client { address: address.ip(), is_secure: front.acceptor.is_some() };
    let (front, watcher) = (Arc::clone(front), clients.watcher());
    workers.spawn(async move {
        let stream = match stream.and_then(TcpStream::from_std) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!("taking a client in: {error}"),
        };
        match &front.acceptor {
            None => front.serve(TokioIo::new(stream), client, watcher).await,
            Some(acceptor) => {
                let handshake = acceptor.accept(stream);
                let stream = match front.client_timeout {
                    Some(time) => timeout(time, handshake).await,
                    None => Ok(handshake.await),
                };
                if let Ok(Ok(stream)) = stream {
                    front.serve(TokioIo::new(stream), client, watcher).await;
                }
            }
        }
    });
}

impl Front {
    async fn serve<S>(&self, stream: S, client: Client, watcher: Watcher)
    where
        S: Read + Write + Unpin + Send + 'static,
    {
        let forwarder = Arc::clone(&self.forwarder);
        let service = service_fn(move |request| Arc::clone(&forwarder).forward(client, request));
        let served = self.server.serve_connection_with_upgrades(stream, service).into_owned();
        // A connection that ends in an error has told its client so.
        watcher.watch(served).await.ok();
    }
}
