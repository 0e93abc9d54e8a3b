//! What every client is to the load, the requests that all of them send, and the clients without HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use pool_core::Stats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::place::Place;
use crate::server::{BODY, LARGE, REQUEST};
use crate::task::{Payload, Protocol, Task};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// One of those at once. Clones of a pooled client share its pool.
pub(crate) trait Client: Send + Sized + 'static {
    /// As many as the task has at once.
    fn open(task: &Task, place: &Place) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;

    /// Sends a request to the address of that number, reads the response, and tells the length of its body.
    fn get(&mut self, address: usize) -> impl Future<Output = Result<usize, Error>> + Send;

    /// What the pool holds, where it is ours.
    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// The body of a request, by which its method goes.
pub(crate) trait Outgoing:
    Body<Data = Bytes, Error = Infallible> + Clone + Send + Sync + Unpin + 'static
{
    const METHOD: Method;

    fn of(payload: Payload) -> Self;
}

impl Outgoing for Empty<Bytes> {
    const METHOD: Method = Method::GET;

    fn of(_: Payload) -> Self {
        Self::new()
    }
}

impl Outgoing for Full<Bytes> {
    const METHOD: Method = Method::POST;

    fn of(payload: Payload) -> Self {
        Self::new(uploaded(payload).unwrap_or_default())
    }
}

/// The content of the body of a request, if it has one.
pub(crate) fn uploaded(payload: Payload) -> Option<Bytes> {
    match payload {
        Payload::Up(length) => Some(LARGE.slice(..length)),
        Payload::Small | Payload::Down(_) => None,
    }
}

/// What the requests of a task have in common, in every client that takes those of `http`.
#[derive(Clone)]
pub(crate) struct Template<B> {
    body: B,
    /// Whether the server is asked to close the connection after its response.
    pub(crate) closes: bool,
}

impl<B: Outgoing> Template<B> {
    pub(crate) fn new(task: &Task) -> Self {
        Self { body: B::of(task.payload), closes: task.opens() }
    }

    // Inlined, or every client would pay for moving it once more.
    #[inline(always)]
    pub(crate) fn request<U>(&self, uri: U) -> Result<Request<B>, Error>
    where
        Uri: TryFrom<U, Error: Into<http::Error>>,
    {
        let mut request = Request::builder().method(B::METHOD).uri(uri);
        if self.closes {
            request = request.header(CONNECTION, CLOSE);
        }
        Ok(request.body(self.body.clone())?)
    }
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

/// Refuses what a client does not do.
pub(crate) fn only_small_over_http1(task: &Task) -> Result<(), Error> {
    if task.protocol == Protocol::Http1 && task.payload == Payload::Small {
        return Ok(());
    }
    Err(format!("{} is measured with small messages over HTTP/1 only", task.client).into())
}

/// No client: what is left when there is nothing to measure.
pub(crate) struct Loop;

impl Client for Loop {
    async fn open(task: &Task, _: &Place) -> Result<Vec<Self>, Error> {
        only_small_over_http1(task)?;
        Ok((0..task.at_once).map(|_| Self).collect())
    }

    async fn get(&mut self, _: usize) -> Result<usize, Error> {
        Ok(BODY.len())
    }
}

/// A socket for each address, and no HTTP.
pub(crate) struct BareSocket(Vec<(SocketAddr, Option<TcpStream>)>);

impl Client for BareSocket {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        only_small_over_http1(task)?;
        let client = |_| Self(place.addresses.iter().map(|address| (*address, None)).collect());
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

pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
