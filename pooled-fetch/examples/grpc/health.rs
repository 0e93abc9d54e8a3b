//! The service that every gRPC implementation brings, `grpc.health.v1.Health`, as a client of tonic.
//!
//! Its two messages are short enough to be written by hand here; a real client has them generated, and hands the channel to
//! `HealthClient::new`.

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use pooled_fetch::{GrpcChannel, TcpConnector};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

/// The name of a service, of which nothing means the whole server.
pub(crate) type Name = String;

/// `HealthCheckResponse.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Unknown,
    Serving,
    NotServing,
}

/// Asks a server for the health of its services.
#[derive(Clone, Debug)]
pub(crate) struct HealthClient(Grpc<GrpcChannel<TcpConnector>>);

impl HealthClient {
    pub(crate) fn new(channel: GrpcChannel<TcpConnector>) -> Self {
        Self(Grpc::new(channel))
    }

    pub(crate) async fn check(&mut self, service: &str) -> Result<Health, Status> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        let answer = self.0.unary(Request::new(service.to_owned()), path, Questions).await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn watch(&mut self, service: &str) -> Result<Streaming<Health>, Status> {
        self.0.ready().await?;
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Watch");
        let request = Request::new(service.to_owned());
        Ok(self.0.server_streaming(request, path, Questions).await?.into_inner())
    }
}

/// The messages as a client writes and reads them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Questions;

/// The messages as a server does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answers;

impl Codec for Questions {
    type Encode = Name;
    type Decode = Health;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Codec for Answers {
    type Encode = Health;
    type Decode = Name;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Questions {
    type Item = Name;
    type Error = Status;

    /// `HealthCheckRequest { service = 1 }`.
    fn encode(&mut self, name: Name, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let length = u8::try_from(name.len()).ok().filter(|length| *length < 128);
        let length =
            length.ok_or_else(|| Status::invalid_argument("a name of 127 bytes at most"))?;
        buffer.put_slice(&[0x0a, length]);
        buffer.put_slice(name.as_bytes());
        Ok(())
    }
}

impl Decoder for Questions {
    type Item = Health;
    type Error = Status;

    /// `HealthCheckResponse { status = 1 }`; what is zero is left out.
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Health>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        Ok(Some(match &*message {
            [0x08, 1] => Health::Serving,
            [0x08, 2] => Health::NotServing,
            _ => Health::Unknown,
        }))
    }
}

impl Encoder for Answers {
    type Item = Health;
    type Error = Status;

    fn encode(&mut self, health: Health, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        match health {
            Health::Unknown => {}
            Health::Serving => buffer.put_slice(&[0x08, 1]),
            Health::NotServing => buffer.put_slice(&[0x08, 2]),
        }
        Ok(())
    }
}

impl Decoder for Answers {
    type Item = Name;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Name>, Status> {
        let message = buffer.copy_to_bytes(buffer.remaining());
        let name = message.get(2..).unwrap_or_default();
        String::from_utf8(name.to_vec())
            .map(Some)
            .map_err(|_| Status::invalid_argument("a name in UTF-8"))
    }
}
