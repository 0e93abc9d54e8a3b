//! The clients that are always there: ours, and what it is held against.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use pool_core::{Pool, Stats};
use pool_tcp::TcpConnector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{BODY, REQUEST};
use crate::task::{Kind, Task, Way};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// One of those at once. Clones of a pooled client share its pool.
pub(crate) trait Client: Send + Sized + 'static {
    /// As many as the task has at once.
    fn open(
        task: &Task,
        addresses: &[SocketAddr],
    ) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;

    /// Sends a request to the address of that number, reads the response, and tells the length of its body.
    fn get(&mut self, address: usize) -> impl Future<Output = Result<usize, Error>> + Send;

    /// What the pool holds, where it is ours.
    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// The request of every client over HTTP; with `closes` the server closes the connection after its response.
// Inlined, or every client would pay for moving it once more.
#[inline(always)]
pub(crate) fn request(closes: bool) -> Result<Request<Empty<Bytes>>, Error> {
    Ok(if closes {
        Request::get("/").header(CONNECTION, CLOSE).body(Empty::new())?
    } else {
        Request::get("/").body(Empty::new())?
    })
}

pub(crate) const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The length of a body that is read to its end.
pub(crate) async fn length<B>(mut body: B) -> Result<usize, Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.map_err(Into::into)?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

/// No client: what is left when there is nothing to measure.
pub(crate) struct Loop;

impl Client for Loop {
    async fn open(task: &Task, _: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        Ok((0..task.at_once).map(|_| Self).collect())
    }

    async fn get(&mut self, _: usize) -> Result<usize, Error> {
        Ok(BODY.len())
    }
}

/// A socket for each address, and no HTTP.
pub(crate) struct BareSocket(Vec<(SocketAddr, Option<TcpStream>)>);

impl Client for BareSocket {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let client = |_| Self(addresses.iter().map(|address| (*address, None)).collect());
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let (address, stream) = &mut self.0[address];
        let stream = match stream {
            Some(stream) => stream,
            None => stream.insert(connect(*address).await?),
        };
        stream.write_all(REQUEST).await?;
        let (mut bytes, mut length) = ([0; 4096], 0);
        while !bytes[..length].ends_with(BODY) {
            match stream.read(&mut bytes[length..]).await? {
                0 => return Err("the server closed the connection".into()),
                read => length += read,
            }
        }
        Ok(BODY.len())
    }
}

type Sender = SendRequest<Empty<Bytes>>;

/// A connection of hyper's for each address, driven by a task of its own, and no pool.
pub(crate) struct BareHyper {
    connections: Vec<(SocketAddr, Option<Sender>)>,
    host: HeaderValue,
    closes: bool,
}

impl Client for BareHyper {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let host = HeaderValue::try_from(addresses[0].to_string())?;
        let client = |_| Self {
            connections: addresses.iter().map(|address| (*address, None)).collect(),
            host: host.clone(),
            closes: task.opens(),
        };
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let (address, sender) = &mut self.connections[address];
        if self.closes {
            *sender = None;
        }
        let sender = match sender {
            Some(sender) => sender,
            None => sender.insert(handshake(*address).await?),
        };
        // hyper leaves both to its caller: to wait for the end of the last exchange, and the field.
        sender.ready().await?;
        let mut request = Request::get("/").header(HOST, self.host.clone());
        if self.closes {
            request = request.header(CONNECTION, CLOSE);
        }
        let request = request.body(Empty::new())?;
        length(sender.send_request(request).await?.into_body()).await
    }
}

async fn handshake(address: SocketAddr) -> Result<Sender, Error> {
    let stream = TokioIo::new(connect(address).await?);
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Our pool.
pub(crate) struct Ours {
    pool: Pool<TcpConnector>,
    addresses: Arc<[SocketAddr]>,
    closes: bool,
}

/// So many are opened at once, or the listener's queue overflows.
const STEP: usize = 500;

/// Soon enough for a bench, and late enough for the heap of idle connections to be read before.
const PARK_AFTER: Duration = Duration::from_secs(3);

impl Client for Ours {
    async fn open(task: &Task, addresses: &[SocketAddr]) -> Result<Vec<Self>, Error> {
        let mut builder = Pool::builder(TcpConnector::new()).probe(task.client == Kind::Ours);
        if task.way == Way::Rest {
            builder = builder.park_after(PARK_AFTER);
        }
        let pool = builder.build()?;
        for count in (STEP..task.idle).step_by(STEP).chain([task.idle]) {
            pool.warm(&addresses[0], count).await?;
        }
        let addresses: Arc<[_]> = addresses.into();
        let closes = task.opens();
        let client = |_| Self { pool: pool.clone(), addresses: Arc::clone(&addresses), closes };
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let request = request(self.closes)?;
        let response = self.pool.http(&self.addresses[address], request).await?;
        length(response.into_body()).await
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.pool.stats())
    }
}
