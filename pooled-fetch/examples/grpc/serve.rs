//! A server of its own, for when none is named: healthy at first, then about to go.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;

use futures_util::stream::{self, Iter};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};

use super::health::{Answers, Health, Name};

struct Check;

impl UnaryService<Name> for Check {
    type Response = Health;
    type Future = Ready<Result<tonic::Response<Health>, Status>>;

    fn call(&mut self, name: tonic::Request<Name>) -> Self::Future {
        ready(match &**name.get_ref() {
            "" => Ok(tonic::Response::new(Health::Serving)),
            other => Err(Status::not_found(format!("no service {other}"))),
        })
    }
}

struct Watch;

impl ServerStreamingService<Name> for Watch {
    type Response = Health;
    type ResponseStream = Iter<std::array::IntoIter<Result<Health, Status>, 2>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: tonic::Request<Name>) -> Self::Future {
        let changes = [Ok(Health::Serving), Ok(Health::NotServing)];
        ready(Ok(tonic::Response::new(stream::iter(changes))))
    }
}

async fn respond(request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let mut grpc = Grpc::new(Answers);
    Ok(match request.uri().path() {
        "/grpc.health.v1.Health/Watch" => grpc.server_streaming(Watch, request).await,
        _ => grpc.unary(Check, request).await,
    })
}

pub(crate) async fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let http2 = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http2.serve_connection(TokioIo::new(stream), service_fn(respond)));
        }
    });
    Ok(address)
}
