//! HTTP/2 servers that refuse, reset, leave and cut at random, and clients that give up at random.
//!
//! What must hold: every request ends; a POST is executed once at most; one that was answered was executed; and when all
//! is over, no stream, no lease and no waiter is left.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body_util::Full;
use pool_core::{Http2, Pool};
use pool_tcp::TcpConnector;
use pooled_fetch_tests::{Whole, eventually};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::knobs::{Seed, Watchdog, rounds};

const CLIENTS: u64 = 48;
const REQUESTS: u64 = 60;

/// How often the server has executed each request.
type Executed = Arc<Mutex<HashMap<String, u32>>>;

async fn start(executed: Executed, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(serve(stream, Arc::clone(&executed), Rng::with_seed(seed ^ number)));
        }
    });
    address
}

/// Serves one connection until it is to leave or to be cut.
async fn serve(stream: TcpStream, executed: Executed, mut rng: Rng) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(rng.u32(1..12));
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut left = rng.u32(3..80);
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, Arc::clone(&executed), rng.fork()));
        left -= 1;
        if left == 0 {
            if rng.bool() {
                // Whatever is under way is lost.
                return;
            }
            connection.graceful_shutdown();
            left = u32::MAX;
        }
    }
}

async fn answer(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    executed: Executed,
    mut rng: Rng,
) {
    if rng.u8(..) < 16 {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    while let Some(Ok(data)) = request.body_mut().data().await {
        request.body_mut().flow_control().release_capacity(data.len()).ok();
    }
    if !request.body().is_end_stream() {
        return;
    }
    let id = request.uri().path().to_owned();
    *executed.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
    for _ in 0..rng.u8(0..20) {
        yield_now().await;
    }
    match rng.u8(..) {
        0..8 => respond.send_reset(Reason::INTERNAL_ERROR),
        8..16 => {
            if let Ok(mut body) = respond.send_response(Response::new(()), false) {
                body.send_data(Bytes::from_static(b"half"), false).ok();
                body.send_reset(Reason::NO_ERROR);
            }
        }
        _ => {
            if let Ok(mut body) = respond.send_response(Response::new(()), false) {
                body.send_data(id.into(), true).ok();
            }
        }
    }
}

/// What became of a request.
enum Outcome {
    Answered,
    Failed,
    GivenUp,
}

async fn ask(pool: Pool<TcpConnector>, address: SocketAddr, id: String, mut rng: Rng) -> Outcome {
    let size = if rng.u8(..) < 32 { 100_000 } else { rng.usize(0..40) };
    let request = Request::post(&id).body(Full::new(Bytes::from(vec![7; size])));
    let fetch = async {
        let response = pool.http(&address, request.expect("a request")).await?;
        Whole::read(response).await
    };
    let patience = Duration::from_micros(rng.u64(50..3_000));
    let fetched = if rng.u8(..) < 64 {
        match timeout(patience, fetch).await {
            Ok(fetched) => fetched,
            Err(_) => return Outcome::GivenUp,
        }
    } else {
        fetch.await
    };
    match fetched {
        Ok(whole) => {
            assert_eq!(whole.body, id, "another's answer");
            Outcome::Answered
        }
        Err(_) => Outcome::Failed,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_over_shared_connections_that_fail_in_every_way_are_executed_once_at_most() {
    let rounds = rounds(3);
    let _watchdog = Watchdog::new(Duration::from_secs(30) * rounds);
    let seed = Seed::new();
    for round in 0..rounds as usize {
        let mut rng = seed.part(round);
        let executed = Executed::default();
        let address = start(Arc::clone(&executed), rng.u64(..)).await;
        let pool = Pool::builder(TcpConnector::new())
            .http2(Http2::Assumed)
            .max_connections(8)
            .http2_probe_after(Duration::ZERO)
            .build()
            .expect("settings that make sense");
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (pool, mut rng) = (pool.clone(), rng.fork());
            clients.spawn(async move {
                let mut answered = Vec::new();
                for turn in 0..REQUESTS {
                    let id = format!("/{client}-{turn}");
                    if let Outcome::Answered =
                        ask(pool.clone(), address, id.clone(), rng.fork()).await
                    {
                        answered.push(id);
                    }
                }
                answered
            });
        }
        let answered = clients.join_all().await.concat();
        {
            let executed = executed.lock().unwrap_or_else(PoisonError::into_inner);
            let twice: Vec<_> = executed.iter().filter(|(_, times)| **times > 1).collect();
            assert!(twice.is_empty(), "executed more than once: {twice:?}");
            let not: Vec<_> = answered.iter().filter(|id| !executed.contains_key(*id)).collect();
            assert!(not.is_empty(), "answered and not executed: {not:?}");
        }
        let all = CLIENTS * REQUESTS;
        assert!(answered.len() as u64 > all / 4, "{} of {all} were answered", answered.len());
        eventually("nothing is left", || {
            let stats = pool.stats();
            (stats.streams, stats.leased, stats.waiting, stats.opening) == (0, 0, 0, 0)
        })
        .await;
    }
}
