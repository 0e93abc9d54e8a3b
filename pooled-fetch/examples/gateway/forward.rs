//! How a request goes to the backend, and what its client is told.

use std::error::Error as StdError;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pooled_fetch::pool_core::{Connector, Evidence, upgrade};
use pooled_fetch::{Body, Pool};
use tokio::io::copy_bidirectional;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What the client of a failed request is told.
#[derive(Debug)]
enum Verdict {
    /// No server has acted upon it: it may be sent again, whatever it is.
    Unprocessed,
    /// It was lost with a connection that the backend had just given up: its client may know whether it can be
    /// sent again, and a closed connection says just that.
    Lost,
    /// The backend has failed.
    BadGateway,
}

impl Verdict {
    fn of(evidence: &Evidence) -> Self {
        match evidence.connection() {
            None => Self::BadGateway,
            Some(_) if evidence.is_unprocessed() => Self::Unprocessed,
            Some(_) if !evidence.is_fresh() && !evidence.is_answered() => Self::Lost,
            Some(_) => Self::BadGateway,
        }
    }
}

/// Answers a request with what the backend says, or with what became of it there.
pub(crate) async fn forward<C: Connector>(
    pool: Pool<C>,
    backend: C::Address,
    mut request: Request<Incoming>,
) -> Result<Response<Either<Body, Full<Bytes>>>, BoxError> {
    let version = request.version();
    let upgrade = request.headers().get(UPGRADE).cloned();
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    remove_hop_by_hop(request.headers_mut());
    restore_upgrade(request.headers_mut(), upgrade);
    let error = match pool.http(&backend, request).await {
        Ok(response) => return Ok(pass_on(response, client)),
        Err(error) => error,
    };
    eprintln!("gateway: {error}");
    match (Verdict::of(error.evidence()), version) {
        // hyper resets the stream with the reason that it finds in the error.
        (Verdict::Unprocessed, Version::HTTP_2) => {
            Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into())
        }
        (Verdict::Lost, Version::HTTP_2) => Err(h2::Error::from(h2::Reason::INTERNAL_ERROR).into()),
        // In HTTP/1 it closes the connection without an answer.
        (Verdict::Unprocessed | Verdict::Lost, _) => Err(error.into()),
        (Verdict::BadGateway, _) => {
            let mut response = Response::new(Either::Right(Full::from(error.to_string())));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

/// Passes a response on; after `101` all bytes, both ways, from there on.
fn pass_on(
    mut response: Response<Body>,
    client: Option<OnUpgrade>,
) -> Response<Either<Body, Full<Bytes>>> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = response.headers().get(UPGRADE).cloned().filter(|_| switched);
    remove_hop_by_hop(response.headers_mut());
    restore_upgrade(response.headers_mut(), upgrade);
    if let Some(client) = client.filter(|_| switched) {
        let backend = upgrade::on(&mut response);
        tokio::spawn(async move {
            // The client has its answer before its connection becomes a stream of bytes.
            if let (Ok(client), Ok(mut backend)) = tokio::join!(client, backend) {
                let mut client = TokioIo::new(client);
                copy_bidirectional(&mut client, &mut backend).await.ok();
            }
        });
    }
    response.map(Either::Left)
}

/// An upgrade is of one connection too, and is asked for anew on the next.
fn restore_upgrade(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// What is of one connection is not passed on, RFC 9110 7.6.1.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let known =
        ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
    for name in known.into_iter().map(HeaderName::from_static).chain(named) {
        headers.remove(name);
    }
}
