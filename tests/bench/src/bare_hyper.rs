//! hyper without a pool: what every pool is held against.

use std::marker::PhantomData;
use std::net::SocketAddr;

use http::header::HOST;
use http::{HeaderValue, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::client::{Client, Error, Outgoing, Template, connect, length};
use crate::place::Place;
use crate::task::Task;

/// How bytes reach the server.
pub(crate) trait Transport: Clone + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn new(task: &Task, place: &Place) -> Result<Self, Error>;

    fn connect(&self, to: SocketAddr) -> impl Future<Output = Result<Self::Stream, Error>> + Send;
}

#[derive(Clone)]
pub(crate) struct Tcp;

impl Transport for Tcp {
    type Stream = TcpStream;

    fn new(_: &Task, _: &Place) -> Result<Self, Error> {
        Ok(Self)
    }

    async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        connect(to).await
    }
}

/// A connection for each address, driven by a task of its own.
pub(crate) struct BareHttp1<T, B> {
    transport: T,
    connections: Vec<(SocketAddr, Option<http1::SendRequest<B>>)>,
    path: String,
    host: HeaderValue,
    template: Template<B>,
}

impl<T: Transport, B: Outgoing> Client for BareHttp1<T, B> {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        let transport = T::new(task, place)?;
        let host = HeaderValue::try_from(place.addresses[0].to_string())?;
        let client = |_| Self {
            transport: transport.clone(),
            connections: place.addresses.iter().map(|address| (*address, None)).collect(),
            path: place.path.clone(),
            host: host.clone(),
            template: Template::new(task),
        };
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, address: usize) -> Result<usize, Error> {
        let (address, sender) = &mut self.connections[address];
        if self.template.closes {
            *sender = None;
        }
        let sender = match sender {
            Some(sender) => sender,
            None => {
                let stream = TokioIo::new(self.transport.connect(*address).await?);
                let (opened, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                sender.insert(opened)
            }
        };
        // hyper leaves both to its caller: to wait for the end of the last exchange, and the field.
        sender.ready().await?;
        let mut request = self.template.request(&*self.path)?;
        request.headers_mut().insert(HOST, self.host.clone());
        length::<Incoming>(sender.send_request(request).await?.into_body()).await
    }
}

/// One connection for all of those at once, driven by a task of its own.
pub(crate) struct BareHttp2<T, B> {
    sender: http2::SendRequest<B>,
    uri: Uri,
    template: Template<B>,
    over: PhantomData<T>,
}

impl<T: Transport, B: Outgoing> Client for BareHttp2<T, B> {
    async fn open(task: &Task, place: &Place) -> Result<Vec<Self>, Error> {
        let stream = T::new(task, place)?.connect(place.addresses[0]).await?;
        let builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let uri = place.uris()?.swap_remove(0);
        let client = |_| Self {
            sender: sender.clone(),
            uri: uri.clone(),
            template: Template::new(task),
            over: PhantomData,
        };
        Ok((0..task.at_once).map(client).collect())
    }

    async fn get(&mut self, _: usize) -> Result<usize, Error> {
        self.sender.ready().await?;
        let request = self.template.request(self.uri.clone())?;
        length::<Incoming>(self.sender.send_request(request).await?.into_body()).await
    }
}
