//! Servers that end all their connections at once, paths that forget them, and servers that come back.
//!
//! What must hold: no GET is lost for which a connection could have been had. Only the request that finds out that a path
//! is dead may fail, and those that came while the server was away.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pool_core::{ErrorKind, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{
    Backend, EchoServer, Endpoint, Fate, OverPath, Server, Whole, answer, bounded, get, let_pass,
    start_with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, interval};

use crate::knobs::{Watchdog, rounds};

const STORM: usize = 400;

const BACKLOG: u32 = 1_024;

/// Answers one request over each connection, and resets the connection with the next.
async fn storm() -> io::Result<SocketAddr> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    tokio::spawn(accept(listener));
    Ok(address)
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_once(stream));
    }
}

async fn answer_once(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1_024];
    if stream.read(&mut bytes).await? == 0 {
        return Ok(());
    }
    stream.write_all(&answer("once")).await?;
    if stream.read(&mut bytes).await? > 0 {
        stream.set_zero_linger()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_all_reset_when_requests_want_them_lose_no_get() {
    let rounds = rounds(8);
    let _watchdog = Watchdog::new(Duration::from_secs(20) * rounds);
    let address = storm().await.expect("a listener");
    let pool = Pool::new(TcpConnector::new());
    let mut stale = 0;
    for round in 0..rounds {
        let mut requests: JoinSet<_> = (0..STORM)
            .map(|_| {
                let pool = pool.clone();
                async move { Whole::read(pool.http(&address, get("/")).await?).await }
            })
            .collect();
        while let Some(whole) = requests.join_next().await {
            let whole = whole.expect("no panic");
            assert_eq!(whole.unwrap_or_else(|error| panic!("round {round}: {error}")).body, "once");
        }
        assert!(round == 0 || pool.stats().stale > stale, "round {round} met no reset");
        stale = pool.stats().stale;
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_forgets_two_hundred_connections_costs_one_request() {
    const IDLE: usize = 200;
    for _ in 0..rounds(10) {
        bounded(async {
            let Endpoint { connector, address, acceptor } = Backend::Memory.start().await;
            let (connector, path) = OverPath::new(connector);
            let _site = EchoServer::start(Server::new(acceptor), |_| answer("whole"));
            let settings = Pool::builder(connector).response_timeout(Duration::from_secs(1));
            let pool = settings.build().expect("settings that make sense");
            pool.warm(&address, IDLE).await.expect("all are opened");
            advance(Duration::from_secs(2)).await;
            path.forget();
            let mut lost = 0;
            for _ in 0..IDLE {
                match pool.http(&address, get("/")).await {
                    Ok(response) => assert_eq!(Whole::read(response).await.unwrap().body, "whole"),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ResponseTimeout);
                        lost += 1;
                    }
                }
            }
            assert_eq!(lost, 1);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_for_three_seconds_refuses_none_that_come_after() {
    const CLIENTS: u64 = 64;
    const AWAY: Duration = Duration::from_secs(3);
    let (caller, server) = start_with(Backend::Memory, |settings| settings).await;
    let closes = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let _site = EchoServer::start(server, move |_| closes.into());
    for restart in 0..rounds(10) {
        bounded(async {
            caller.watch.set_fate(&caller.address, Fate::Refused);
            let back = Instant::now() + AWAY;
            let mut clients: JoinSet<_> = (0..CLIENTS)
                .map(|number| {
                    let caller = caller.clone();
                    let mut pace = interval(Duration::from_millis(10 + number));
                    async move {
                        let (mut failed, mut served) = (0, 0);
                        while Instant::now() < back + AWAY {
                            pace.tick().await;
                            let begun = Instant::now();
                            match caller.fetch(get("/")).await {
                                Ok(_) => served += 1,
                                Err(error) if begun > back => panic!("restart {restart}: {error}"),
                                Err(_) => failed += 1,
                            }
                        }
                        (failed, served)
                    }
                })
                .collect();
            let_pass(AWAY).await;
            caller.watch.set_fate(&caller.address, Fate::Taken);
            while let Some(client) = clients.join_next().await {
                let (failed, served) = client.expect("no request was lost");
                assert!(failed > 0 && served > 0, "it was away, and came back");
            }
        })
        .await;
    }
}
