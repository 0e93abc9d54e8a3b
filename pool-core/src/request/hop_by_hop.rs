//! What a request says of the connection that it came over is not passed on to the next, RFC 9110 7.6.1.
//!
//! A request of HTTP/1.1 that goes over HTTP/1 is sent as its caller has written it: there these fields are the caller's
//! own. A head of another version was written for another hop, and HTTP/2 has none of them.
//!
//! What must hold: a field that frames or routes the message stays, whatever `Connection` says of it.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, Entry, HOST, HeaderMap, HeaderName, HeaderValue, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Extensions, Version};

/// Has a request of version HTTP/1.0 written as HTTP/1.0, with its `Connection` and `Keep-Alive`.
///
/// Without it such a request is written in the version of this client, as RFC 9110 2.5 and RFC 9112 2.3 ask of clients
/// and of proxies alike: nginx for one speaks HTTP/1.0 to what it takes for a server, and that says nothing of the hop
/// behind. A request that is written as HTTP/1.0 needs a body of known length, is refused where the server speaks HTTP/2,
/// and is the last on its connection unless it says `Connection: keep-alive`. On a request of another version the
/// extension means nothing.
///
/// # Examples
///
/// ```
/// let mut request = http::Request::get("/").version(http::Version::HTTP_10).body(String::new())?;
/// request.extensions_mut().insert(pool_core::Http10);
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Http10;

impl Http10 {
    /// Whether a request asks to be written so, if its version is HTTP/1.0.
    pub(super) fn is_in(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }
}

/// Whether a field is of one connection, and unknown to HTTP/2, RFC 9113 8.2.2.
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == TRANSFER_ENCODING || REMOVED.iter().any(|removed| removed == name)
}

/// Removes what a head of that version says of its connection alone, and what `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap, of: Version) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|option| option.trim().parse().ok())
        .filter(|name| !KEPT.contains(name))
        .collect();
    for name in REMOVED.iter().chain(&named) {
        headers.remove(name);
    }
    if of == Version::HTTP_10 {
        // Its sender can do with neither, RFC 9110 10.1.1 and 6.5.
        headers.remove(EXPECT);
        headers.remove(TE);
    }
}

/// `TE` goes out as `trailers` or not at all, and gives whether it does.
///
/// HTTP/2 knows no other value, RFC 9113 8.2.2; over HTTP/1 another would ask for codings that the pool does not take off.
pub(super) fn keep_trailers(headers: &mut HeaderMap) -> bool {
    let Entry::Occupied(mut asked) = headers.entry(TE) else { return false };
    let trailers = asked.iter().any(|value| names(value, "trailers"));
    if trailers {
        asked.insert(HeaderValue::from_static("trailers"));
    } else {
        asked.remove_entry_mult();
    }
    trailers
}

/// A field of one connection is named in `Connection`, RFC 9110 7.6.1, so that a recipient that does not know it does not
/// pass it on.
pub(super) fn name_in_connection(headers: &mut HeaderMap, option: &'static str) {
    if !headers.get_all(CONNECTION).iter().any(|value| names(value, option)) {
        headers.append(CONNECTION, HeaderValue::from_static(option));
    }
}

fn names(list: &HeaderValue, option: &str) -> bool {
    let list = list.to_str().unwrap_or_default();
    list.split(',').any(|named| named.trim().eq_ignore_ascii_case(option))
}

static REMOVED: [HeaderName; 4] = [
    CONNECTION,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

static KEPT: [HeaderName; 3] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING];
