//! What is of one connection and is not passed on (RFC 9110 7.6.1), and what a proxy adds.
//!
//! What must hold: a field that frames or routes a message stays, whatever `Connection` says of it.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{Request, Uri, Version};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// `TE` is left to the pool, which asks for trailers where it was asked for them, and names it in `Connection`.
static OF_ONE_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

static KEPT: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TE];

/// Removes what is of one connection; gives the protocol of an upgrade, if it is one that can be passed on.
///
/// Only WebSocket can: an `Upgrade: h2c` that went through would be a tunnel past everything that is checked here.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let upgrade = headers.get(UPGRADE).filter(|_| named.contains(&UPGRADE)).cloned();
    let named = named.iter().filter(|name| !KEPT.contains(name));
    for name in OF_ONE_CONNECTION.iter().chain(named) {
        headers.remove(name);
    }
    upgrade.filter(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// An upgrade is of one connection too, and is asked for anew on the next.
pub(crate) fn restore_upgrade(headers: &mut HeaderMap, upgrade: HeaderValue) {
    headers.insert(UPGRADE, upgrade);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
}

/// Gives a request one `Host`, and a target without an authority.
///
/// The authority of the target counts where there is one: a proxy that believed the field instead would send a request
/// to a host that nobody has checked (RFC 9112 3.2.2, RFC 9113 8.3.1). False if no host can be told.
pub(crate) fn settle_host<B>(request: &mut Request<B>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host =
        authority.map(|all| all.rsplit('@').next().unwrap_or(all)).map(HeaderValue::from_str);
    match host {
        Some(Ok(host)) => drop(request.headers_mut().insert(HOST, host)),
        Some(Err(_)) => return false,
        None => {
            let mut hosts = request.headers().get_all(HOST).iter();
            let one = hosts.next().is_some() && hosts.next().is_none();
            if !one && request.version() != Version::HTTP_10 {
                return false;
            }
        }
    }
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
    true
}

/// Says for whom a request is passed on, and through whom.
pub(crate) fn add_forwarded(
    headers: &mut HeaderMap,
    client: IpAddr,
    is_secure: bool,
    believe: bool,
) {
    let mut chain = String::new();
    for before in headers.get_all(FORWARDED_FOR).iter().filter(|_| believe) {
        chain += before.to_str().unwrap_or("unknown");
        chain += ", ";
    }
    chain += &client.to_canonical().to_string();
    match HeaderValue::try_from(chain) {
        Ok(chain) => headers.insert(FORWARDED_FOR, chain),
        Err(_) => headers.remove(FORWARDED_FOR),
    };
    if !believe || !headers.contains_key(FORWARDED_PROTO) {
        let scheme = if is_secure { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if !believe || !headers.contains_key(FORWARDED_HOST) {
        match headers.get(HOST).cloned() {
            Some(host) => headers.insert(FORWARDED_HOST, host),
            None => headers.remove(FORWARDED_HOST),
        };
    }
}

/// What `Via` says of a message, by the version that it came in.
#[derive(Debug)]
pub(crate) struct Via([HeaderValue; 3]);

impl Via {
    /// With this name of the proxy.
    pub(crate) fn new(name: &str) -> Result<Self, InvalidHeaderValue> {
        let through = |version| HeaderValue::try_from(format!("{version} {name}"));
        Ok(Self([through("1.0")?, through("1.1")?, through("2.0")?]))
    }

    pub(crate) fn add(&self, headers: &mut HeaderMap, version: Version) {
        let [http10, http11, http2] = &self.0;
        let through = match version {
            Version::HTTP_10 => http10,
            Version::HTTP_2 => http2,
            _ => http11,
        };
        headers.append(VIA, through.clone());
    }
}
