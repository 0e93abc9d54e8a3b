//! gRPC, framed by hand: what a call needs of the pool is HTTP/2, bodies that stream, and trailers.

use std::fmt;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use pooled_fetch::{Body, BuildError, Error, FullBytes, Http2, Pool, TcpConnector};

/// Calls the methods of a server in the clear. Any number of calls share its connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pool: Pool<TcpConnector>,
    address: SocketAddr,
}

/// How a call has failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// One of the seventeen of gRPC.
    pub(crate) code: u32,
    /// What the server says about it, percent-encoded as it came, or what was wrong on the way.
    pub(crate) message: String,
}

const OK: u32 = 0;
const UNKNOWN: u32 = 2;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

impl Client {
    /// A client with a pool of its own.
    pub(crate) fn new(address: SocketAddr) -> Result<Self, BuildError> {
        let pool = Pool::builder(TcpConnector::new()).http2(Http2::Assumed).build()?;
        Ok(Self { pool, address })
    }

    /// The pool, for its numbers.
    pub(crate) fn pool(&self) -> &Pool<TcpConnector> {
        &self.pool
    }

    /// One message there, and one back.
    pub(crate) async fn unary(
        &self,
        path: &str,
        message: impl Into<Bytes>,
    ) -> Result<Bytes, Status> {
        let mut messages = self.streaming(path, message).await?;
        let Some(answer) = messages.next().await? else {
            return Err(Status::new(INTERNAL, "no message"));
        };
        match messages.next().await? {
            None => Ok(answer),
            Some(_) => Err(Status::new(INTERNAL, "more than one message")),
        }
    }

    /// One message there, and any number back.
    pub(crate) async fn streaming(
        &self,
        path: &str,
        message: impl Into<Bytes>,
    ) -> Result<Messages, Status> {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(FullBytes::new(framed(&message.into())))
            .map_err(|error| Status::new(INTERNAL, error))?;
        let response = self.pool.http(&self.address, request).await.map_err(Status::of_call)?;
        Messages::of(response)
    }
}

/// The messages of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Messages {
    body: Body,
    received: BytesMut,
}

impl Messages {
    fn of(response: Response<Body>) -> Result<Self, Status> {
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            return Err(Status::new(UNKNOWN, head.status));
        }
        // A call that fails before its first message has its status in the head.
        if head.headers.contains_key("grpc-status") {
            Status::check(&head.headers)?;
        }
        Ok(Self { body, received: BytesMut::new() })
    }

    /// The next message; none once the server has said that all went well.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = take_message(&mut self.received)? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| Status::new(UNKNOWN, error))?;
            match frame.into_data() {
                Ok(data) => self.received.put(data),
                Err(frame) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        Status::check(trailers)?;
                    }
                }
            }
        }
    }
}

/// A message is preceded by a byte that says whether it is compressed, and four for its length.
fn framed(message: &Bytes) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}

fn take_message(received: &mut BytesMut) -> Result<Option<Bytes>, Status> {
    let Some((&[compressed, a, b, c, d], content)) = received.split_first_chunk() else {
        return Ok(None);
    };
    if compressed != 0 {
        return Err(Status::new(INTERNAL, "compressed, which was not offered"));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if content.len() < length {
        return Ok(None);
    }
    received.advance(5);
    Ok(Some(received.split_to(length).freeze()))
}

impl Status {
    fn new(code: u32, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// A call that no server has acted upon is unavailable, so that the caller may try again.
    fn of_call(error: Error) -> Self {
        let code = if error.evidence().is_unprocessed() { UNAVAILABLE } else { UNKNOWN };
        Self::new(code, error)
    }

    /// What the server says at the end of a call.
    fn check(headers: &HeaderMap) -> Result<(), Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match text("grpc-status").and_then(|code| code.parse().ok()) {
            Some(OK) => Ok(()),
            Some(code) => Err(Self::new(code, text("grpc-message").unwrap_or_default())),
            None => Err(Self::new(UNKNOWN, "the call ended without a status")),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Status {}
