//! A request on its way to an upstream, and the answer on its way back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{Either, Empty, Full};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use pooled_fetch::{Body, Error, ErrorKind};
use tracing::Level;

use super::balance::Tried;
use super::fields::{Via, add_forwarded, remove_hop_by_hop, restore_upgrade, settle_host};
use super::tally::UnderWay;
use super::tunnel::Tunnels;
use super::upstreams::{Upstream, Upstreams};
use super::verdict::{NoAnswer, answer, told};
use super::watched::{Entry, Watched};

/// What all requests have in common.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) tunnels: Tunnels,
    pub(crate) via: Via,
    pub(crate) believes_forwarded: bool,
}

/// Who has sent a request, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) is_secure: bool,
}

type Reply = Response<Either<Watched, Full<Bytes>>>;

impl Forwarder {
    /// Answers a request with what an upstream says, or with what became of it there.
    // One future and not several, one in another: hyper moves it about with each request.
    pub(crate) async fn forward(
        self: Arc<Self>,
        client: Client,
        mut request: Request<Incoming>,
    ) -> Result<Reply, NoAnswer> {
        let mut entry = tracing::enabled!(Level::INFO).then(|| Box::new(entry(client, &request)));
        let version = request.version();
        let upgraded = match self.prepare(client, &mut request) {
            Ok(upgraded) => upgraded,
            Err(status) => return Ok(own(answer(status), entry)),
        };
        let mut copy = (self.upstreams.all.len() > 1).then(|| copy(&request)).flatten();
        // There is always a first.
        let upstream = self.upstreams.next(&Tried::default()).unwrap_or(0);
        let began = Instant::now();
        let (first, tally) = &self.upstreams.all[upstream];
        let under_way = tally.begin();
        let sent = self.upstreams.pool.http(&first.endpoint, request).await;
        self.came(upstream, &sent, began, &mut entry);
        let sent = match sent {
            Ok(response) => Ok((under_way, response)),
            Err(error) => {
                drop(under_way);
                Box::pin(self.send_elsewhere(upstream, error, copy.take(), &mut entry)).await
            }
        };
        match sent {
            Ok((under_way, response)) => Ok(self.pass_on(under_way, response, upgraded, entry)),
            Err(error) => {
                tracing::warn!("{error}");
                match told(error, version) {
                    Ok(response) => Ok(own(response, entry)),
                    Err(no_answer) => {
                        if let Some(entry) = entry {
                            entry.log(0, "none");
                        }
                        Err(no_answer)
                    }
                }
            }
        }
    }

    /// Makes a request one of the gateway's own, or tells why it is none.
    fn prepare(
        &self,
        client: Client,
        request: &mut Request<Incoming>,
    ) -> Result<Option<OnUpgrade>, StatusCode> {
        let version = request.version();
        let upgrade = remove_hop_by_hop(request.headers_mut());
        if request.method() == Method::CONNECT {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !settle_host(request) {
            return Err(StatusCode::BAD_REQUEST);
        }
        let Client { address, is_secure } = client;
        add_forwarded(request.headers_mut(), address, is_secure, self.believes_forwarded);
        self.via.add(request.headers_mut(), version);
        Ok(upgrade.filter(|_| version == Version::HTTP_11).map(|protocol| {
            restore_upgrade(request.headers_mut(), protocol);
            hyper::upgrade::on(request)
        }))
    }

    /// Sends a request to one upstream after the other, for as long as it comes back unsent. One that was lost with an
    /// idle connection is sent to one other upstream, if it may be sent twice.
    async fn send_elsewhere(
        &self,
        mut upstream: usize,
        mut failed: Error,
        mut copy: Option<Request<Empty<Bytes>>>,
        entry: &mut Option<Box<Entry>>,
    ) -> Result<(UnderWay, Response<Body>), Error> {
        let mut tried = Tried::default();
        loop {
            tried.add(upstream);
            let Some(next) = self.upstreams.next(&tried) else { return Err(failed) };
            upstream = next;
            let (Upstream { endpoint, .. }, tally) = &self.upstreams.all[upstream];
            let (began, under_way) = (Instant::now(), tally.begin());
            let sent = match failed.into_request() {
                Ok(unsent) => self.upstreams.pool.http(endpoint, unsent).await,
                Err(lost) => match copy.take().filter(|_| was_idle(&lost)) {
                    Some(copy) => self.upstreams.pool.http(endpoint, copy).await,
                    None => return Err(lost),
                },
            };
            self.came(upstream, &sent, began, entry);
            match sent {
                Ok(response) => return Ok((under_way, response)),
                Err(error) => failed = error,
            }
        }
    }

    /// Counts what came of a request to an upstream.
    fn came(
        &self,
        upstream: usize,
        sent: &Result<Response<Body>, Error>,
        began: Instant,
        entry: &mut Option<Box<Entry>>,
    ) {
        let (upstream, tally) = &self.upstreams.all[upstream];
        match sent {
            Ok(response) => tally.answered(response.status(), began.elapsed()),
            Err(error) => tally.failed(error.kind()),
        }
        if let Some(entry) = entry {
            entry.upstream.clone_from(&upstream.name);
        }
    }

    /// Passes an answer on; after `101` all bytes, both ways, from there on.
    fn pass_on(
        &self,
        under_way: UnderWay,
        mut response: Response<Body>,
        upgraded: Option<OnUpgrade>,
        mut entry: Option<Box<Entry>>,
    ) -> Reply {
        let version = response.version();
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        remove_hop_by_hop(response.headers_mut());
        if let Some(client) = upgraded.filter(|_| switched) {
            restore_upgrade(response.headers_mut(), HeaderValue::from_static("websocket"));
            self.tunnels.open(client, &mut response);
        }
        self.via.add(response.headers_mut(), version);
        // An upstream that speaks HTTP/1.0 does not make its client speak it.
        *response.version_mut() = Version::HTTP_11;
        if let Some(entry) = &mut entry {
            entry.status = response.status();
        }
        response.map(|body| Either::Left(Watched::new(body, under_way, entry)))
    }
}

/// A request that may be sent twice, RFC 9110 9.2.2, and has nothing but a head.
fn copy(request: &Request<Incoming>) -> Option<Request<Empty<Bytes>>> {
    let is_upgrade = request.headers().contains_key(UPGRADE);
    if !request.method().is_idempotent() || !request.body().is_end_stream() || is_upgrade {
        return None;
    }
    let mut copy = Request::new(Empty::new());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    Some(copy)
}

/// Whether a request was lost with a connection that had been idle. One that was lost with a fresh connection may
/// have brought its upstream down, and is to do that to no other.
fn was_idle(lost: &Error) -> bool {
    let evidence = lost.evidence();
    match lost.kind() {
        // The pool has sent it again by itself, and found the upstream gone.
        ErrorKind::Connect | ErrorKind::ConnectTimeout | ErrorKind::BackingOff => true,
        ErrorKind::Response => !evidence.is_fresh() && !evidence.is_answered(),
        _ => false,
    }
}

fn own(response: Response<Full<Bytes>>, entry: Option<Box<Entry>>) -> Reply {
    if let Some(mut entry) = entry {
        entry.status = response.status();
        entry.log(response.body().size_hint().lower(), "own");
    }
    response.map(Either::Right)
}

fn entry(client: Client, request: &Request<Incoming>) -> Entry {
    Entry {
        client: client.address,
        method: request.method().clone(),
        target: request.uri().to_string(),
        version: request.version(),
        began: Instant::now(),
        upstream: String::new(),
        status: StatusCode::default(),
    }
}
